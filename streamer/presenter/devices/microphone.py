"""The microphone: PortAudio's callback copies, nothing else; a device that is lost comes back."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.streamer.media.timeline import RATE
from visavis.streamer.presenter.devices import sounddevices
from visavis.streamer.presenter.devices.errors import DeviceError
from visavis.streamer.presenter.devices.pulse import listens_to_ourselves
from visavis.streamer.presenter.script.sources import Block

BLOCK = RATE // 100
_MOST_BLOCKS = 100  # a second that nobody took; older blocks go
_DEAD_S = 1.5  # without a block: the device is gone, whatever it says
_WAKE_S = 4.0  # that a device may take to its first block
_RETRY_S = 2.0


class Microphone:
    """A sound input that is opened again for as long as it takes.

    Args:
        name: part of a device's name; empty takes the default one.
        arrived: set whenever a block has come.
    """

    def __init__(self, name: str, arrived: threading.Event) -> None:
        self._name = name
        self._arrived = arrived
        self._blocks: deque[NDArray[np.int16]] = deque(maxlen=_MOST_BLOCKS)
        self._stream: Any = None
        self._last = 0.0
        self._next_try = float("-inf")
        self._tried = False
        self.problem = ""
        self.paused = False
        self.ended = False

    def _copy(self, data: Any, frames: int, time: Any, status: Any) -> None:
        """PortAudio's callback, on a thread of its own."""
        self._blocks.append(np.frombuffer(data, np.int16).copy())
        self._arrived.set()

    def take(self, now: float) -> list[Block]:
        """Return what has come; open the device, or open it again, when it is time to."""
        if self._stream is None:
            if now >= self._next_try:
                self._open(now)
            return []
        blocks: list[Block] = []
        while self._blocks:
            samples = self._blocks.popleft()
            blocks.append(Block(np.zeros_like(samples) if self.paused else samples))
        if blocks:
            self._last, self.problem = now, ""
        elif now - self._last > _DEAD_S or not self._stream.active:
            self._lose(now, "The microphone has fallen silent; was it unplugged?")
        return blocks

    def _open(self, now: float) -> None:
        try:
            audio = sounddevices.portaudio()
            if self._tried:
                sounddevices.refresh(audio)
            self._tried = True
            device = sounddevices.find(audio, "input", self._name)
            self._refuse_ourselves(audio, device)
            self._stream = sounddevices.opened(
                lambda: audio.RawInputStream(
                    samplerate=RATE,
                    blocksize=BLOCK,
                    device=device,
                    channels=1,
                    dtype="int16",
                    latency="low",
                    callback=self._copy,
                ),
                "microphone",
            )
        except DeviceError as error:
            self._lose(now, str(error))
            return
        self._last = now + _WAKE_S - _DEAD_S

    @staticmethod
    def _refuse_ourselves(audio: Any, device: int) -> None:
        name = str(audio.query_devices(device)["name"]).lower()
        # PortAudio knows PulseAudio's default by these names only, whatever it is.
        ours = name in ("default", "pulse") and listens_to_ourselves()
        if ours or sounddevices.OUR_NAME.lower() in name:
            raise DeviceError("The microphone chosen is the avatar's own; choose a real one.")

    def _lose(self, now: float, reason: str) -> None:
        self.problem = f"{reason} Trying again every {_RETRY_S:.0f} s."
        self._next_try = now + _RETRY_S
        self.close()

    def close(self) -> None:
        """Give the device back."""
        stream, self._stream = self._stream, None
        if stream is not None:
            try:
                stream.abort(ignore_errors=True)
                stream.close(ignore_errors=True)
            except Exception as error:  # a device that is gone fails in its own ways
                self.problem = self.problem or f"The microphone did not close cleanly: {error}."
        self._blocks.clear()
