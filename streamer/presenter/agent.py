"""A program speaks through the presenter: the server's agent socket, on this machine only.

Either it is the voice of a script: it is told each paragraph (``say``) and answers with sound and
``flush``. Or there is no script, and whatever it appends is said at once. Messages and events are
those of ``/api/agent`` (``http.routes.agent``), and so is the client, ``AvatarClient``.
"""

from __future__ import annotations

import contextlib
import json
import queue
import threading
from collections.abc import Callable
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

import numpy as np
from numpy.typing import NDArray
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from visavis.streamer.errors import BadRequest, VisavisError, message_of
from visavis.streamer.http.routes.agent import (
    HIGHEST_RATE,
    LOWEST_RATE,
    Append,
    Clear,
    Flush,
    Text,
    read,
)
from visavis.streamer.media.resample import StreamingResampler
from visavis.streamer.media.timeline import RATE
from visavis.streamer.presenter.script.sources import Block, Paced
from visavis.streamer.session.speech.agent import BLOCK, MAX_AHEAD_S, AgentVoice, Event

SESSION = "presenter"  # what it is called in ``ready``
_MOST_UNSENT = 512  # events that a client has not read
_MOST_FAULTS = 50  # messages that cannot be used; then it is a flood
_MOST_BYTES = 6 << 20  # of a message: a minute at 48 kHz
_POLICY_VIOLATION = 1008  # RFC 6455, 7.4.1
_CLOSE_S = 1.0  # for a program that floods and reads nothing to say goodbye
_ANSWER_S = 120.0  # for a paragraph
_READ_S = 4.0  # a caption stays so long


class Listener(Protocol):
    """What a program's messages act on; called on the socket's thread."""

    def append(self, samples: NDArray[np.int16], rate: int) -> None:
        """Take mono sound."""
        ...

    def flush(self) -> None:
        """Take that what was appended is a whole."""
        ...

    def clear(self) -> None:
        """Forget what was appended and not yet said."""
        ...

    def text(self, text: str) -> None:
        """Show a caption when what was appended before it has been said."""
        ...


class AgentSocket:
    """Lets one program at a time speak. Browsers are refused, so no web page can.

    Args:
        port: on this machine; 0 takes any.
        listener: what messages act on.

    Raises:
        BadRequest: the port is taken.
    """

    def __init__(self, port: int, listener: Listener) -> None:
        self._listener = listener
        self._lock = threading.Lock()
        self._events: queue.Queue[Event | None] | None = None  # of who is there
        self._there = threading.Event()
        self._sender: threading.Thread | None = None
        try:
            # Browsers send an Origin with every WebSocket, programs send none.
            self._server = serve(
                self._serve,
                "127.0.0.1",
                port,
                origins=[None],
                max_size=_MOST_BYTES,
                close_timeout=_CLOSE_S,
            )
        except (OSError, OverflowError) as error:
            raise BadRequest(f"The port {port} for agents is taken.") from error
        self.port = int(self._server.socket.getsockname()[1])
        self.address = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, name="agents", daemon=True).start()

    @property
    def taken(self) -> bool:
        """Whether a program speaks here."""
        with self._lock:
            return self._events is not None

    def wait(self, limit_s: float) -> bool:
        """Wait until a program is there; False if none comes in time."""
        return self._there.wait(limit_s)

    def tell(self, event: Event) -> None:
        """Send an event to who is there; one who reads none is not waited for."""
        with self._lock:
            events = self._events
        if events is not None:
            with contextlib.suppress(queue.Full):
                events.put_nowait(event)

    def _serve(self, socket: ServerConnection) -> None:
        events: queue.Queue[Event | None] = queue.Queue(_MOST_UNSENT)
        try:
            rate = _rate(socket)
            self._join(events)
        except VisavisError as error:
            _refuse(socket, error)
            return
        sender = threading.Thread(target=_send, args=(socket, events), daemon=True)
        self._sender = sender
        sender.start()
        try:
            self.tell({"type": "ready", "session": SESSION, "max_ahead_s": MAX_AHEAD_S})
            self._there.set()
            self._receive(socket, rate)
        except VisavisError as error:
            _refuse(socket, error)
        finally:
            self._leave(events)
            sender.join(5)

    def _join(self, events: queue.Queue[Event | None]) -> None:
        with self._lock:
            if self._events is not None:
                raise BadRequest("Another program speaks here already.", code="agent-there")
            self._events = events

    def _leave(self, events: queue.Queue[Event | None]) -> None:
        with self._lock:
            self._events = None
            self._there.clear()
        with contextlib.suppress(queue.Full):
            events.put_nowait(None)
        self._listener.clear()

    def _receive(self, socket: ServerConnection, rate: int) -> None:
        faults = 0
        with contextlib.suppress(ConnectionClosed):
            for message in socket:
                try:
                    self._act(message, rate)
                except VisavisError as error:
                    faults += 1
                    self.tell(message_of(error))
                    if faults >= _MOST_FAULTS:
                        raise BadRequest("Too many messages could not be used.") from None

    def _act(self, message: str | bytes, rate: int) -> None:
        if isinstance(message, bytes):
            self._append(message, rate)
            return
        said = read(message)
        if isinstance(said, Append):
            self._append(said.audio, said.rate or rate)
        elif isinstance(said, Flush):
            self._listener.flush()
        elif isinstance(said, Clear):
            self._listener.clear()
        elif isinstance(said, Text):
            self._listener.text(said.text)
        else:
            raise BadRequest("A presenter hears nobody; heard is for sessions of a server.")

    def _append(self, pcm: bytes, rate: int) -> None:
        if len(pcm) % 2:
            raise BadRequest("PCM of 16 bit has an even number of bytes.", code="odd-length")
        self._listener.append(np.frombuffer(pcm, "<i2").astype(np.int16), rate)

    def close(self) -> None:
        """Let nobody speak any more."""
        sender = self._sender
        self.tell({"type": "ended", "reason": "The presentation has ended."})
        if sender is not None:
            sender.join(_CLOSE_S)  # else it is cut off before it is told
        self._server.shutdown()


def _rate(socket: ServerConnection) -> int:
    path = socket.request.path if socket.request is not None else ""
    given = parse_qs(urlsplit(path).query).get("rate", ["24000"])[0]
    if given.isascii() and given.isdigit() and LOWEST_RATE <= int(given[:6]) <= HIGHEST_RATE:
        return int(given)
    raise BadRequest(f"The rate is a number of Hz from {LOWEST_RATE} to {HIGHEST_RATE}.")


def _send(socket: ServerConnection, events: queue.Queue[Event | None]) -> None:
    with contextlib.suppress(ConnectionClosed, OSError):
        while (event := events.get()) is not None:
            socket.send(json.dumps(event))
            if event["type"] == "ended":
                socket.close()


def _refuse(socket: ServerConnection, error: VisavisError) -> None:
    with contextlib.suppress(ConnectionClosed, OSError):
        socket.send(json.dumps(message_of(error)))
        socket.close(_POLICY_VIOLATION, str(error)[:120])


class ScriptAgent:
    """The program as the voice of a script: ``speak`` is what ``ScriptSource`` asks.

    Args:
        port: on this machine; 0 takes any.

    Raises:
        BadRequest: the port is taken.
    """

    def __init__(self, port: int) -> None:
        self._parts: list[NDArray[np.int16]] = []
        self._whole: queue.Queue[NDArray[np.int16]] = queue.Queue(1)
        self._asked = threading.Event()
        self.socket = AgentSocket(port, self)

    def speak(self, text: str) -> NDArray[np.int16]:
        """Return a paragraph as the program speaks it, mono int16 at 48 kHz.

        Raises:
            BadRequest: there is no program, or it does not answer.
        """
        if not self.socket.wait(_ANSWER_S):
            raise BadRequest(f"No program came to {self.socket.address} to speak the script.")
        self._asked.set()
        self.socket.tell({"type": "say", "text": text})
        try:
            return self._whole.get(timeout=_ANSWER_S)
        except queue.Empty:
            raise BadRequest("The program that speaks the script does not answer.") from None
        finally:
            self._asked.clear()

    def append(self, samples: NDArray[np.int16], rate: int) -> None:
        """Take a part of what was asked for."""
        self._check()
        if sum(len(part) for part in self._parts) > _ANSWER_S * RATE:
            raise BadRequest("The program gave more sound than a paragraph has.")
        if rate != RATE:
            resampler = StreamingResampler(rate, RATE)
            rest = np.zeros(round(resampler.delay_s * rate), np.float32)
            wide = resampler.push(np.concatenate([samples.astype(np.float32), rest]))
            samples = np.clip(np.rint(wide), -32_768, 32_767).astype(np.int16)
        self._parts.append(samples)

    def flush(self) -> None:
        """Take the paragraph as complete."""
        self._check()
        whole, self._parts = np.concatenate([np.zeros(0, np.int16), *self._parts]), []
        with contextlib.suppress(queue.Full):
            self._whole.put_nowait(whole)

    def _check(self) -> None:
        if not self._asked.is_set():
            raise BadRequest("Wait for say: the script tells what is spoken next.")

    def clear(self) -> None:
        """Forget the paragraph so far."""
        self._parts = []

    def text(self, text: str) -> None:
        """The script has captions of its own."""

    def close(self) -> None:
        """Let nobody speak any more."""
        self.socket.close()


class AgentSource(Paced):
    """The program instead of a microphone; silence while it says nothing.

    Args:
        port: on this machine; 0 takes any.

    Attributes:
        caption: told ``(text, media time, seconds)`` of captions when they are due.

    Raises:
        BadRequest: the port is taken.
    """

    block_length = BLOCK

    def __init__(self, port: int) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._seen = 0  # media time that was shown
        self.caption: Callable[[str, int, float], None] = lambda text, media_time, seconds: None
        self._voice = AgentVoice(
            lambda event: self.socket.tell(event),
            lambda text: self.caption(text, self._seen, _READ_S),
        )
        self.socket = AgentSocket(port, self)

    @property
    def waiting_s(self) -> float:
        """Seconds of sound that are still to be said."""
        with self._lock:
            return self._voice.waiting_s

    def append(self, samples: NDArray[np.int16], rate: int) -> None:
        """Say this after what was appended before."""
        with self._lock:
            self._voice.append(samples, rate)

    def flush(self) -> None:
        """Take that what was appended is a whole."""
        with self._lock:
            self._voice.flush()

    def clear(self) -> None:
        """Say nothing more of it; what is under way, a tenth of a second, is still said."""
        with self._lock:
            self._voice.clear(self._seen)

    def text(self, text: str) -> None:
        """Caption this when what was appended before has been said."""
        with self._lock:
            self._voice.text(text)

    def _next(self) -> Block:
        with self._lock:
            samples, said = self._voice.block()
        return Block(samples, said=said)

    def placed(self, media_time: int, block: Block) -> None:
        """Take where on the timeline a block begins."""
        with self._lock:
            self._voice.placed(media_time, block.said)

    def shown(self, media_time: int) -> None:
        """Take how far everything was shown."""
        with self._lock:
            self._seen = media_time
            self._voice.shown(media_time)

    def close(self) -> None:
        """Let nobody speak any more."""
        self.socket.close()
