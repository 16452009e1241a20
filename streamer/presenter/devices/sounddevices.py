"""PortAudio by ``sounddevice``: named devices, found anew each time, errors as sentences."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal

from visavis.streamer.presenter.devices.errors import DeviceError, MissingPart

OUR_NAME = "Visavis"  # every device made by us has it in its name
_NONE_LEFT = (-9996, -9998)  # PortAudio: invalid device, invalid channel count
_BUSY = (-9985,)  # device unavailable


def portaudio() -> ModuleType:
    """Return the module.

    Raises:
        MissingPart: it or the PortAudio library is not installed.
    """
    try:
        import sounddevice
    except ModuleNotFoundError as error:
        raise MissingPart(
            "The microphone needs the package sounddevice: pip install 'visavis[presenter]'."
        ) from error
    except OSError as error:  # the package is there, the library is not
        raise MissingPart(
            "The microphone needs the PortAudio library: apt-get install libportaudio2."
        ) from error
    return sounddevice


def refresh(audio: ModuleType) -> None:
    """Look for devices anew; PortAudio lists them only once. No stream may be open."""
    audio._terminate()
    audio._initialize()


def names(audio: ModuleType, kind: Literal["input", "output"]) -> list[str]:
    """Return the devices that can record or play."""
    return [
        str(device["name"])
        for device in audio.query_devices()
        if device[f"max_{kind}_channels"] > 0
    ]


def find(audio: ModuleType, kind: Literal["input", "output"], wanted: str) -> int:
    """Return the number of the device whose name contains ``wanted``, or of the default one.

    Raises:
        DeviceError: there is none.
    """
    what = "microphone" if kind == "input" else "sound output"
    devices = list(audio.query_devices())
    if not wanted:
        default = int(audio.default.device[0 if kind == "input" else 1])
        if default < 0:
            raise DeviceError(f"There is no {what}; plug one in.")
        return default
    for index, device in enumerate(devices):
        if wanted.lower() in str(device["name"]).lower() and device[f"max_{kind}_channels"] > 0:
            return index
    raise DeviceError(f"There is no {what} named {wanted!r} now; visavis present --list shows all.")


def opened(open_stream: Callable[[], Any], what: str) -> Any:
    """Open a stream and start it.

    Raises:
        DeviceError: it is taken or gone.
    """
    audio = portaudio()
    try:
        stream = open_stream()
        stream.start()
    except audio.PortAudioError as error:
        code = error.args[1] if len(error.args) > 1 else 0
        if code in _NONE_LEFT:
            raise DeviceError(f"The {what} is gone or has no usable channel.") from error
        if code in _BUSY:
            raise DeviceError(f"The {what} is used by another program.") from error
        raise DeviceError(f"The {what} cannot be opened: {error.args[0]}.") from error
    except ValueError as error:
        raise DeviceError(f"The {what} cannot be opened: {error}.") from error
    return stream
