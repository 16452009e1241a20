"""The avatar's sound on its way out: cut to the picture's time, whatever the device's clock does.

A thread asks the device how much later its next sample is heard and writes the sound whose media
time is due then. The device's clock and ours differ, and the release delay moves now and then; both
are followed by playing up to half a percent faster or slower, and by one faded cut if they are far
apart.
"""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from visavis.streamer.media.timeline import RATE
from visavis.streamer.presenter.devices import sounddevices
from visavis.streamer.presenter.devices.errors import DeviceError, MissingPart
from visavis.streamer.presenter.devices.pulse import PulseStream, VirtualMicrophone

BLOCK = RATE // 100
_MOST_SLEW = 0.005
_TOLERANCE = RATE // 1000  # 1 ms is left alone
_FAR = RATE * 60 // 1000  # beyond this one cut is better than seconds of slewing
_FADE = RATE // 200  # 5 ms
_RETRY_S = 2.0
_EDGE = 2  # samples around a block that interpolation looks at


class SoundCutter:
    """Reads the timeline at the pace of a device.

    Args:
        read: returns ``count`` samples from a media time on, zeros where there are none.
    """

    def __init__(self, read: Callable[[int, int], NDArray[np.int16]]) -> None:
        self._read = read
        self._at: float | None = None  # media time of the next sample, in samples
        self.cuts = 0

    @property
    def position(self) -> float | None:
        """Media time of the next sample, in samples; None before the first."""
        return self._at

    def block(self, wanted: float, count: int = BLOCK) -> NDArray[np.int16]:
        """Return the next ``count`` samples.

        Args:
            wanted: the media time in samples at which the first of them should be.
            count: how many.
        """
        if self._at is None:
            self._at = float(round(wanted))
        away = wanted - self._at
        if abs(away) > _FAR:
            return self._cut(float(round(wanted)), count)
        slew = 0.0 if abs(away) < _TOLERANCE else float(np.clip(away / RATE, -1, 1)) * 2
        slew = float(np.clip(slew, -_MOST_SLEW, _MOST_SLEW))
        end = round(self._at + count * (1 + slew)) if slew == 0 else self._at + count * (1 + slew)
        out = self._between(self._at, float(end), count)
        self._at = float(end)
        return out

    def _cut(self, to: float, count: int) -> NDArray[np.int16]:
        """Jump to another media time, faded over from the old one."""
        assert self._at is not None
        old = self._between(self._at, self._at + count, count).astype(np.float32)
        new = self._between(to, to + count, count).astype(np.float32)
        share = np.clip(np.arange(count) / _FADE, 0, 1)
        self._at = to + count
        self.cuts += 1
        return (old * (1 - share) + new * share).astype(np.int16)

    def _between(self, start: float, end: float, count: int) -> NDArray[np.int16]:
        """Return ``count`` samples evenly between two media times, by cubic interpolation."""
        if start == int(start) and end - start == count:
            return self._read(int(start), count)
        first = int(np.floor(start)) - _EDGE
        source = self._read(first, int(np.ceil(end)) + _EDGE - first + 1).astype(np.float64)
        at = start - first + np.arange(count) * ((end - start) / count)
        i = at.astype(np.int64)
        t = at - i
        before, here, after, beyond = (source[i + k] for k in (-1, 0, 1, 2))
        # Catmull-Rom.
        out = here + 0.5 * t * (
            after - before
            + t * (2 * before - 5 * here + 4 * after - beyond
                   + t * (3 * (here - after) + beyond - before))
        )  # fmt: skip
        return np.clip(np.rint(out), -32_768, 32_767).astype(np.int16)


class Device(Protocol):
    """A sound output whose ``write`` waits."""

    @property
    def latency_s(self) -> float:
        """How much later the next sample that is written is heard."""
        ...

    def write(self, samples: NDArray[np.int16]) -> None:
        """Write mono int16 at 48 kHz; waits until there is room."""
        ...

    def close(self) -> None:
        """Give it back."""
        ...


class NamedOutput:
    """A PortAudio output such as BlackHole or VB-Cable.

    Args:
        name: part of its name.

    Raises:
        DeviceError: it is not there.
    """

    def __init__(self, name: str) -> None:
        audio = sounddevices.portaudio()
        device = sounddevices.find(audio, "output", name)
        self._stream = sounddevices.opened(
            lambda: audio.RawOutputStream(
                samplerate=RATE,
                blocksize=0,
                device=device,
                channels=1,
                dtype="int16",
                latency="low",
            ),
            "sound output",
        )
        self._error = audio.PortAudioError
        self._room = int(self._stream.write_available)

    @property
    def latency_s(self) -> float:
        """What PortAudio states, and what is in its buffer."""
        waiting = max(0, self._room - int(self._stream.write_available))
        return float(self._stream.latency) + waiting / RATE

    def write(self, samples: NDArray[np.int16]) -> None:
        """Write mono int16; waits until there is room.

        Raises:
            DeviceError: the device is gone.
        """
        try:
            self._stream.write(samples.tobytes())
        except self._error as error:
            raise DeviceError(f"The sound output was lost: {error.args[0]}.") from error

    def close(self) -> None:
        """Give it back."""
        self._stream.close(ignore_errors=True)


class PulseMicrophone:
    """The virtual microphone that we make, and the stream into it.

    Raises:
        DeviceError: there is no sound server.
        MissingPart: a part of PulseAudio is not installed.
    """

    def __init__(self) -> None:
        self._made = VirtualMicrophone()
        try:
            self._stream = PulseStream(RATE)
        except (DeviceError, MissingPart):
            self._made.close()
            raise

    @property
    def latency_s(self) -> float:
        """How much later the next sample that is written is heard."""
        return self._stream.latency_s

    def write(self, samples: NDArray[np.int16]) -> None:
        """Write mono int16; waits until the server has room."""
        self._stream.write(samples)

    def close(self) -> None:
        """Give the stream back and take the microphone away."""
        self._stream.close()
        self._made.close()


class Speaker:
    """The thread that keeps a device fed; opens it again when it was lost.

    Args:
        open_device: opens the device.
        media_time: told monotonic seconds, returns the media time in samples that is due then;
            None before there is any.
        read: returns ``count`` samples from a media time on.
        now: monotonic seconds.
    """

    def __init__(
        self,
        open_device: Callable[[], Device],
        media_time: Callable[[float], float | None],
        read: Callable[[int, int], NDArray[np.int16]],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.problem = ""
        self.skew_ms: collections.deque[float] = collections.deque(maxlen=500)
        self._open_device = open_device
        self._media_time = media_time
        self._now = now
        self.cutter = SoundCutter(read)
        self._ending = threading.Event()
        self._device: Device | None = None
        self._thread = threading.Thread(target=self._run, name="speaker", daemon=True)

    def open(self) -> None:
        """Open the device now, so that what is missing is said before anything begins.

        Raises:
            MissingPart: something is not installed.
        """
        try:
            self._device = self._open_device()
        except DeviceError as error:
            self._lost(error)
        self._thread.start()

    def _lost(self, error: DeviceError) -> None:
        self.problem = f"{error} Trying again every {_RETRY_S:.0f} s."

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                if self._device is None:
                    self._device = self._open_device()
                self.problem = ""
                while not self._ending.is_set():
                    self._step(self._device)
            except (DeviceError, MissingPart) as error:
                self._lost(DeviceError(str(error)))
                self._drop()
                self._ending.wait(_RETRY_S)
        self._drop()

    def _step(self, device: Device) -> None:
        wanted = self._media_time(self._now() + device.latency_s)
        if wanted is None:
            device.write(np.zeros(BLOCK, np.int16))
            return
        if self.cutter.position is not None:
            self.skew_ms.append(1e3 * (self.cutter.position - wanted) / RATE)
        device.write(self.cutter.block(wanted))

    def _drop(self) -> None:
        device, self._device = self._device, None
        if device is not None:
            device.close()

    def close(self) -> None:
        """Stop and give the device back."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(5)
        else:
            self._drop()
