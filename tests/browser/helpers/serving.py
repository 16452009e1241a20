"""A server of the product in a process of its own, as a user starts it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

from tests.fakes.processes.fake_server import SHADES, put_avatar

STARTS_WITHIN_S = 90.0
ENROLS_WITHIN_S = 90.0


class Serving:
    """``visavis serve`` on a free port; ``kill`` and ``start`` again keep the address."""

    module = "visavis.streamer"

    def __init__(self, data: Path, log: Path, **settings: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self.data = data
        self._log = log
        self._settings = settings
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("VISAVIS_")}
        command = [sys.executable, "-m", self.module, "serve", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--data", str(self.data)]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                command, env={**environment, **self._settings}, stdout=log, stderr=log
            )
        deadline = time.monotonic() + STARTS_WITHIN_S
        while True:
            try:
                if httpx.get(self.url + "healthz", timeout=5).is_success:
                    return
            except httpx.HTTPError:
                pass
            ended = self.process.poll() is not None
            if ended or time.monotonic() > deadline:
                raise AssertionError(f"the server did not start:\n{self.said()}")
            time.sleep(0.1)

    def kill(self) -> None:
        """As a power cut would: nobody is told."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(30)

    def stop(self) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()

    def said(self) -> str:
        return self._log.read_text("utf-8", "replace")[-4000:]

    def enrol(self, photo: bytes, name: str) -> str:
        """Make an avatar through the interface and return its id."""
        answer = httpx.post(
            self.url + "api/avatars?wait=true",
            files={"photo": ("photo.png", photo, "image/png")},
            data={"name": name, "consent": "true"},
            timeout=ENROLS_WITHIN_S,
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def sessions(self) -> list[dict[str, object]]:
        return list(httpx.get(self.url + "api/sessions", timeout=10).json()["sessions"])


class FakeServing(Serving):
    """The same with workers that draw grey pictures, and avatars that nobody had to enrol."""

    module = "tests.fakes.processes.fake_server"

    def start(self) -> None:
        if not (self.data / "avatars").is_dir():
            for letter, name, shade in zip("ab", ("Eileen", "Mirrored"), SHADES, strict=False):
                put_avatar(self.data, letter, name, shade)
        super().start()
