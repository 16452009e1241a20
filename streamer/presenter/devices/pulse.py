"""PulseAudio (and PipeWire's stand-in for it): a virtual microphone made by us, removed at the end.

Sound is written through ``libpulse-simple``, which every desktop with PulseAudio or PipeWire has;
a call of it waits until the server takes the sound, and it says how much later that is heard, so
the sound can be cut to the millisecond that belongs to the picture.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess

import numpy as np
from numpy.typing import NDArray

from visavis.streamer.presenter.devices.errors import DeviceError, MissingPart

SINK, SOURCE = "visavis_out", "visavis_mic"
SINK_LABEL, SOURCE_LABEL = "VisavisOut", "VisavisMicrophone"
_TARGET_MS, _REQUEST_MS = 20, 5  # sound that the server holds, and asks for at a time
_PLAYBACK, _S16LE = 1, 3  # as libpulse numbers them
_LATER = 0xFFFF_FFFF  # "the server decides"
_LIMIT_S = 10.0


class _Format(ctypes.Structure):
    _fields_ = (
        ("format", ctypes.c_int),
        ("rate", ctypes.c_uint32),
        ("channels", ctypes.c_uint8),
    )


class _Buffering(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_uint32) for name in ("maxlength", "tlength", "prebuf", "minreq", "fragsize")
    )


def _library() -> ctypes.CDLL:
    try:
        lib = ctypes.CDLL("libpulse-simple.so.0")
    except OSError as error:
        raise MissingPart(
            "The virtual microphone needs PulseAudio's library: apt-get install libpulse0."
        ) from error
    text, number = ctypes.c_char_p, ctypes.POINTER(ctypes.c_int)
    lib.pa_simple_new.restype = ctypes.c_void_p
    lib.pa_simple_new.argtypes = [
        text, text, ctypes.c_int, text, text, ctypes.POINTER(_Format), ctypes.c_void_p,
        ctypes.POINTER(_Buffering), number,
    ]  # fmt: skip
    lib.pa_simple_write.argtypes = [ctypes.c_void_p, text, ctypes.c_size_t, number]
    lib.pa_simple_get_latency.argtypes = [ctypes.c_void_p, number]
    lib.pa_simple_get_latency.restype = ctypes.c_uint64
    lib.pa_simple_free.argtypes = [ctypes.c_void_p]
    lib.pa_strerror.argtypes = [ctypes.c_int]
    lib.pa_strerror.restype = ctypes.c_char_p
    return lib


class PulseStream:
    """Plays into a sink; every write waits for the server.

    Args:
        rate: of the mono int16 sound, in Hz.
        sink: its name.

    Raises:
        DeviceError: the server or the sink is not there.
        MissingPart: the library is not installed.
    """

    def __init__(self, rate: int, sink: str = SINK) -> None:
        self._lib = _library()
        self._error = ctypes.c_int()
        buffering = _Buffering(
            _LATER, rate * 2 * _TARGET_MS // 1000, 0, rate * 2 * _REQUEST_MS // 1000, _LATER
        )
        self._stream = self._lib.pa_simple_new(
            None, b"Vis-a-vis", _PLAYBACK, sink.encode(), b"avatar",
            ctypes.byref(_Format(_S16LE, rate, 1)), None, ctypes.byref(buffering),
            ctypes.byref(self._error),
        )  # fmt: skip
        if not self._stream:
            raise DeviceError(f"The virtual microphone cannot be fed: {self._reason()}.")

    def _reason(self) -> str:
        return str(self._lib.pa_strerror(self._error.value).decode())

    @property
    def latency_s(self) -> float:
        """How much later the next sample that is written is heard."""
        microseconds = self._lib.pa_simple_get_latency(self._stream, ctypes.byref(self._error))
        return min(float(microseconds), 2e6) / 1e6

    def write(self, samples: NDArray[np.int16]) -> None:
        """Write mono int16; waits until the server has room.

        Raises:
            DeviceError: the server is gone.
        """
        data = samples.astype("<i2").tobytes()
        if self._lib.pa_simple_write(self._stream, data, len(data), ctypes.byref(self._error)) < 0:
            raise DeviceError(f"The virtual microphone was lost: {self._reason()}.")

    def close(self) -> None:
        """Give the stream back."""
        stream, self._stream = self._stream, None
        if stream:
            self._lib.pa_simple_free(stream)


def pactl(*words: str) -> str:
    """Run ``pactl`` and return what it says.

    Raises:
        MissingPart: it is not installed.
        DeviceError: there is no server, or it refuses.
    """
    program = shutil.which("pactl")
    if program is None:
        raise MissingPart(
            "The virtual microphone needs pactl: apt-get install pulseaudio-utils, "
            "with a PulseAudio or PipeWire session running."
        )
    try:
        done = subprocess.run(
            [program, *words], capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DeviceError("The sound server does not answer.") from error
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise DeviceError(
            f"There is no sound server that answers: {said[-1] if said else 'pactl failed'}."
        )
    return done.stdout.strip()


def listens_to_ourselves() -> bool:
    """Whether the system's default microphone is the one that we make."""
    try:
        return pactl("get-default-source") in (SOURCE, f"{SINK}.monitor")
    except (DeviceError, MissingPart):
        return False  # no PulseAudio here, or one that does not say


def way() -> str:
    """Return a line on the virtual microphone here: that it can be made, or what is missing."""
    try:
        _library()
        pactl("info")
    except (DeviceError, MissingPart) as error:
        return str(error)
    return f"{SOURCE_LABEL}, made when a presentation begins"


class VirtualMicrophone:
    """A null sink and a source on top of its monitor, which programs list as a microphone.

    What an earlier run left behind, because it was killed, is used again and removed at the end.
    """

    def __init__(self) -> None:
        self._modules: list[str] = []
        for line in pactl("list", "short", "modules").splitlines():
            number, _, rest = line.partition("\t")
            if f"sink_name={SINK}" in rest or f"source_name={SOURCE}" in rest:
                pactl("unload-module", number)
        try:
            self._load(
                "module-null-sink",
                f"sink_name={SINK}",
                "rate=48000",
                "channels=1",
                f"sink_properties=device.description={SINK_LABEL}",
            )
            self._load(
                "module-remap-source",
                f"master={SINK}.monitor",
                f"source_name={SOURCE}",
                f"source_properties=device.description={SOURCE_LABEL}",
            )
        except DeviceError:
            self.close()
            raise

    def _load(self, *words: str) -> None:
        self._modules.append(pactl("load-module", *words))

    def close(self) -> None:
        """Take both away again."""
        while self._modules:
            try:
                pactl("unload-module", self._modules.pop())
            except (DeviceError, MissingPart):
                return  # the server has gone, and they with it
