"""Any sound file into samples: the offline counterpart of the live microphone."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from visavis.streamer.errors import BadRequest

_SILENCE_RMS = 10 ** (-60 / 20)  # full scale; below this nobody can be heard


def read_blocks(
    path: Path, rate: int, *, layout: str = "mono", block: int = 16_000
) -> Iterator[NDArray[np.float32]]:
    """Decode a file and yield it in blocks, so that an hour of sound needs no more memory.

    Args:
        path: anything FFmpeg can read that has an audio stream.
        rate: samples per second wanted.
        layout: ``"mono"`` or ``"stereo"``.
        block: samples per block; the last may be shorter.

    Yields:
        ``(samples,)`` for mono or ``(samples, 2)`` float32 in [-1, 1].

    Raises:
        BadRequest: the file is missing, holds no sound, or breaks off undecodably at its start.
    """
    channels = 1 if layout == "mono" else 2
    pending: list[NDArray[np.float32]] = []
    held = 0
    for planar in _decoded(path, rate):
        pending.append(_mixed(planar, channels))
        held += planar.shape[1]
        while held >= block:
            joined = np.concatenate(pending)
            yield _shape(joined[:block], channels)
            pending, held = [joined[block:]], held - block
    if held:
        yield _shape(np.concatenate(pending), channels)


def read_all(path: Path, rate: int) -> NDArray[np.float32]:
    """Return the whole file as mono float32; for short files and tests."""
    return np.concatenate(list(read_blocks(path, rate)))


def duration_s(path: Path) -> float | None:
    """Return the duration the container states, in seconds, or None if it states none."""
    try:
        with av.open(str(path)) as container:
            return None if container.duration is None else container.duration / av.time_base
    except (av.FFmpegError, OSError, ValueError):
        return None


def is_silent(block: NDArray[np.float32]) -> bool:
    """Tell whether a block is below -60 dB of full scale."""
    return bool(np.sqrt(np.mean(np.square(block, dtype=np.float64))) < _SILENCE_RMS)


def _decoded(path: Path, rate: int) -> Iterator[NDArray[np.float32]]:
    """Yield ``(channels, samples)`` at ``rate``."""
    if not path.is_file():
        raise BadRequest(f"There is no file {path}.")
    decoded = False
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise BadRequest(f"There is no sound in {path.name}.")
            # The resampler's own downmix of floats sums instead of averaging; ours is in _mixed.
            resampler = av.AudioResampler(format="fltp", rate=rate)
            for frame in chain(container.decode(container.streams.audio[0]), [None]):
                if frame is None and not decoded:
                    break
                for out in resampler.resample(frame):
                    decoded = True
                    yield out.to_ndarray()
    except (av.FFmpegError, ValueError) as error:
        # A recording cut off at its end is still worth speaking; one that never began is not.
        if not decoded:
            raise BadRequest(f"{path.name} is not a sound file that can be read.") from error
    if not decoded:
        raise BadRequest(f"{path.name} holds no sound: it is zero seconds long.")


def _mixed(planar: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    """Return ``(samples, channels)`` of clean sound from ``(any channels, samples)``."""
    clean = np.nan_to_num(planar, nan=0.0, posinf=1.0, neginf=-1.0).clip(-1.0, 1.0)
    if clean.shape[0] != channels:
        clean = np.repeat(clean.mean(0, keepdims=True), channels, 0)
    return clean.T.astype(np.float32)


def _shape(samples: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    return samples[:, 0] if channels == 1 else samples
