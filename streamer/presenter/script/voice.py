"""Any text-to-speech command: text on its standard input, WAV or PCM on its standard output."""

from __future__ import annotations

import shlex
import shutil
import struct
import subprocess
from math import gcd

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly  # pyright: ignore[reportUnknownVariableType]

from visavis.streamer.errors import BadRequest
from visavis.streamer.media.timeline import RATE

LIMIT_S = 120.0  # for one paragraph
LONGEST_BYTES = 200 << 20
_LOUDEST = 0.98


class Voice:
    """Speaks paragraphs by running a command for each.

    Args:
        command: as in a shell, but without one: ``espeak-ng --stdout -v en-gb``.
        rate: of its sound in Hz if that is bare 16-bit mono PCM; a WAV header says it itself.

    Raises:
        BadRequest: there is no such program.
    """

    def __init__(self, command: str, rate: int = 22_050) -> None:
        try:
            self._words = shlex.split(command)
        except ValueError as error:
            raise BadRequest(f"The voice command cannot be read: {error}.") from error
        if not self._words or shutil.which(self._words[0]) is None:
            name = self._words[0] if self._words else ""
            raise BadRequest(
                f"There is no program {name!r}; try --voice 'espeak-ng --stdout' after "
                "apt-get install espeak-ng."
            )
        if not 8_000 <= rate <= 192_000:
            raise BadRequest("The voice's rate must be between 8000 and 192000.")
        self._rate = rate

    def speak(self, text: str) -> NDArray[np.int16]:
        """Return the text spoken, mono int16 at 48 kHz.

        Raises:
            BadRequest: the command fails or what it says is no sound.
        """
        try:
            done = subprocess.run(
                self._words,
                input=text.encode() + b"\n",
                capture_output=True,
                timeout=LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise BadRequest(f"The voice took longer than {LIMIT_S:.0f} s.") from error
        except OSError as error:
            raise BadRequest(f"The voice cannot be started: {error.strerror}.") from error
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise BadRequest(f"The voice failed: {said[-1] if said else done.returncode}.")
        if len(done.stdout) > LONGEST_BYTES:
            raise BadRequest("The voice gave more sound than can be held.")
        return to_sound(done.stdout, self._rate)


def to_sound(data: bytes, rate: int) -> NDArray[np.int16]:
    """Return WAV or bare PCM as mono int16 at 48 kHz.

    Headers of streams state lengths that are not true, so what is there counts.

    Raises:
        BadRequest: it is no 16-bit sound.
    """
    channels = 1
    if data[:4] == b"RIFF":
        rate, channels, data = _unwrap(data)
    samples = np.frombuffer(data[: len(data) // (2 * channels) * 2 * channels], "<i2")
    if not len(samples):
        raise BadRequest("The voice gave no sound; does its command write to standard output?")
    mono = samples.reshape(-1, channels).mean(1)
    common = gcd(rate, RATE)
    wide = resample_poly(mono, RATE // common, rate // common) if rate != RATE else mono
    peak = float(np.abs(wide).max()) / 32_768.0
    return np.rint(wide * min(1.0, _LOUDEST / max(peak, 1e-6))).astype(np.int16)


def _unwrap(data: bytes) -> tuple[int, int, bytes]:
    """Return rate, channels and samples of a WAV file."""
    at, found = 12, (0, 0)
    while at + 8 <= len(data):
        name, length = data[at : at + 4], struct.unpack_from("<I", data, at + 4)[0]
        if name == b"fmt " and at + 24 <= len(data):
            kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", data, at + 8)
            if kind not in (1, 0xFFFE) or bits != 16 or not 1 <= channels <= 8:
                raise BadRequest("The voice must give 16-bit PCM.")
            if not 8_000 <= rate <= 192_000:
                raise BadRequest(f"The voice's rate of {rate} Hz cannot be used.")
            found = (rate, channels)
        elif name == b"data":
            if not found[0]:
                break
            return *found, data[at + 8 : at + 8 + min(length, len(data))]
        at += 8 + length + length % 2
    raise BadRequest("The voice gave a WAV file that cannot be read.")
