"""Slide cues: a small page that counts them, and a command that presses a key."""

from __future__ import annotations

import logging
import shlex
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from visavis.streamer.errors import BadRequest

logger = logging.getLogger(__name__)
_BEAT_S = 15.0  # a comment at least so often, so that a page that has gone is noticed
_MOST_PAGES = 8
_NAMES = ("127.0.0.1", "localhost", "[::1]", "::1")
_PAGE = b"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Slides</title>
<meta name="viewport" content="width=device-width">
<style>body{font:20vmin system-ui,sans-serif;display:grid;place-items:center;height:100vh;margin:0;
background:#111;color:#eee}p{margin:0}</style><p id="n" aria-live="polite">1</p>
<script>
// Every cue is an event of this page too: a slide deck that opened it can listen for "next".
const tell = () => (window.opener ?? window.parent).postMessage({ type: "visavis-next" }, "*");
let last = null;
new EventSource("/events").onmessage = (event) => {
  const slide = Number(event.data);
  document.getElementById("n").textContent = slide + 1;
  if (last !== null && slide > last) tell();
  last = slide;
};
</script></html>"""


class Slides:
    """Counts slides and tells whoever looks.

    Args:
        port: of the page on this machine; 0 serves none, -1 any free one.
        command: run at every cue, such as ``xdotool key Next``; empty runs none.

    Raises:
        BadRequest: the port is taken or there is no such program.
    """

    def __init__(self, port: int = 0, command: str = "") -> None:
        if not -1 <= port <= 65_535:
            raise BadRequest("The port for slides must be between 0 and 65535, or -1 for any.")
        self.count = 0
        self._changed = threading.Condition()
        self._ending = False
        self._words = shlex.split(command)
        if self._words and shutil.which(self._words[0]) is None:
            raise BadRequest(f"There is no program {self._words[0]!r} to press keys with.")
        self._server: ThreadingHTTPServer | None = None
        self.address = ""
        if port:
            self._serve(max(0, port))

    def _serve(self, port: int) -> None:
        slides = self
        pages = threading.Semaphore(_MOST_PAGES)

        class Handler(BaseHTTPRequestHandler):
            timeout = 60

            def do_GET(self) -> None:
                host = urlsplit(f"//{self.headers.get('host', '')}").hostname or ""
                if host not in _NAMES:
                    self.send_error(403)
                elif self.path == "/":
                    self._send(_PAGE)
                elif self.path == "/events" and pages.acquire(blocking=False):
                    try:
                        self._events()
                    finally:
                        pages.release()
                else:
                    self.send_error(404)

            def _send(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("content-type", "text/html; charset=utf-8")
                self.send_header("content-length", str(len(body)))
                self.send_header("x-content-type-options", "nosniff")
                self.end_headers()
                self.wfile.write(body)

            def _events(self) -> None:
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.send_header("cache-control", "no-store")
                self.end_headers()
                seen = -1
                while not slides._ending:
                    count = slides._wait(seen)
                    text = f"data: {count}\n\n" if count != seen else ": still here\n\n"
                    seen = count
                    try:
                        self.wfile.write(text.encode())
                        self.wfile.flush()
                    except OSError:
                        return

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing is logged."""

        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        except OSError as error:
            raise BadRequest(f"The port {port} for slides is taken.") from error
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, name="slides", daemon=True).start()

    def _wait(self, seen: int) -> int:
        with self._changed:
            self._changed.wait_for(lambda: self.count != seen or self._ending, _BEAT_S)
            return self.count

    def next(self) -> None:
        """Say that the next slide is due."""
        with self._changed:
            self.count += 1
            self._changed.notify_all()
        if self._words:
            try:
                subprocess.Popen(
                    self._words,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            except OSError as error:
                logger.warning("the slide command could not be started: %s", error)

    def close(self) -> None:
        """Stop serving the page."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
