"""Any sound file into samples: the offline counterpart of the live microphone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from visavis.streamer.media.downmix import Downmix
from visavis.streamer.media.files.audio_decode import Piece, check_track, choose_track, pieces

_SILENCE_RMS = 10 ** (-60 / 20)  # full scale; below this nobody can be heard
_CHUNK_S = 0.1  # of sound is mixed and resampled at a time
Say = Callable[[str], None]


def read_blocks(
    path: Path,
    rate: int,
    *,
    layout: str = "mono",
    block: int = 16_000,
    track: int | None = None,
    say: Say | None = None,
) -> Iterator[NDArray[np.float32]]:
    """Decode a file and yield it in blocks, so that an hour of sound needs no more memory.

    Rate and channels may change within the file; gaps that its time stamps leave are silence, and
    what is damaged is left out. Whatever rates are asked for, the durations agree to a sample.

    Args:
        path: anything FFmpeg can read that has an audio stream.
        rate: samples per second wanted.
        layout: ``"mono"`` or ``"stereo"``.
        block: samples per block; the last may be shorter.
        track: which of its sound tracks, from 0; by default the one marked so, or the first in
            which anything is heard.
        say: told in a sentence what the owner should know of the file.

    Yields:
        ``(samples,)`` for mono or ``(samples, 2)`` float32 in [-1, 1].

    Raises:
        BadRequest: the file is missing, holds no sound, or breaks off undecodably at its start.
    """
    channels = 1 if layout == "mono" else 2
    say = say or _ignore
    if track is None:
        track = choose_track(path, say)
    else:
        check_track(path, track)
    pending: list[NDArray[np.float32]] = []
    held = 0
    for part in _converted(pieces(path, track, say), rate, channels):
        pending.append(part.T)
        held += part.shape[1]
        while held >= block:
            joined = np.concatenate(pending)
            yield _shape(joined[:block], channels)
            pending, held = [joined[block:]], held - block
    if held:
        yield _shape(np.concatenate(pending), channels)


def read_all(path: Path, rate: int) -> NDArray[np.float32]:
    """Return the whole file as mono float32; for short files and tests."""
    return np.concatenate(list(read_blocks(path, rate)))


def check_sound(path: Path, track: int | None = None) -> list[str]:
    """Read the beginning of a file, so that a bad one is refused before other work.

    Returns:
        Sentences for its owner, about the choice of a track for example.

    Raises:
        BadRequest: as ``read_blocks``.
    """
    notes: list[str] = []
    next(read_blocks(path, 16_000, track=track, say=notes.append))
    return notes


def duration_s(path: Path) -> float | None:
    """Return the duration the container states, in seconds, or None if it states none."""
    try:
        with av.open(str(path)) as container:
            return None if container.duration is None else container.duration / av.time_base
    except (av.FFmpegError, OSError, ValueError):
        return None


def is_silent(block: NDArray[np.float32]) -> bool:
    """Tell whether a block is below -60 dB of full scale, a constant offset aside."""
    if not len(block):
        return True
    level: NDArray[np.float64] = block - np.asarray(block.mean(axis=0, dtype=np.float64))
    return bool(np.sqrt(np.mean(np.square(level))) < _SILENCE_RMS)


def _converted(source: Iterator[Piece], rate: int, channels: int) -> Iterator[NDArray[np.float32]]:
    """Yield ``(channels, samples)`` at ``rate``, at least one sample in all."""
    segment: _Segment | None = None
    ended_s, made = 0.0, 0  # of all that came before the segment: seconds, and samples of them
    for piece in source:
        kind = (piece.rate, piece.samples.shape[0], piece.names)
        if segment is None or piece.gap_s or segment.kind != kind:
            if segment is not None:
                ended_s += segment.seconds
                yield segment.finish(round(ended_s * rate) - made)
                made = round(ended_s * rate)
            ended_s += piece.gap_s
            gap = round(ended_s * rate) - made
            for begin in range(0, gap, rate):
                yield np.zeros((channels, min(rate, gap - begin)), np.float32)
            made += gap
            segment = _Segment(kind, rate, channels)
        yield from segment.push(piece.samples)
    if segment is not None:
        ended_s += segment.seconds
        yield segment.finish(max(1, round(ended_s * rate)) - made)


class _Segment:
    """A stretch of one rate and one set of channels on its way to what is wanted."""

    def __init__(self, kind: tuple[int, int, tuple[str, ...]], rate: int, channels: int) -> None:
        self.kind = kind
        self._source_rate, count, names = kind
        self._channels = channels
        self._mix = Downmix(count, self._source_rate, names)
        self._keep = count == channels
        self._rate = rate
        self._resampler: Any = None
        if rate != self._source_rate:
            wanted = "mono" if channels == 1 else "stereo"
            self._resampler = av.AudioResampler("fltp", wanted, rate)
        self._chunk = max(1, round(self._source_rate * _CHUNK_S))
        self._held: list[NDArray[np.float32]] = []
        self._waiting = 0  # samples in them
        self._taken = 0
        self._made = 0

    @property
    def seconds(self) -> float:
        """How much went in."""
        return self._taken / self._source_rate

    def push(self, samples: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """Take samples; yield what is ready."""
        self._taken += samples.shape[1]
        self._held.append(samples)
        self._waiting += samples.shape[1]
        if self._waiting < self._chunk:
            return
        joined = np.concatenate(self._held, 1)
        whole = self._waiting - self._waiting % self._chunk
        for begin in range(0, whole, self._chunk):
            yield from self._converted(joined[:, begin : begin + self._chunk])
        self._held, self._waiting = [joined[:, whole:]], self._waiting - whole

    def finish(self, total: int) -> NDArray[np.float32]:
        """Return the rest, so that ``total`` samples came out of the whole segment."""
        rest = [*self._converted(np.concatenate(self._held, 1))] if self._waiting else []
        if self._resampler is not None:
            flushed = [frame.to_ndarray() for frame in self._resampler.resample(None)]
            rest += flushed
            self._made += sum(part.shape[1] for part in flushed)
        # The resampler's own end may be some samples off, which is trimmed or filled.
        surplus = self._made - total
        joined = np.concatenate([np.zeros((self._channels, 0), np.float32), *rest], 1)
        if surplus > 0:
            joined = joined[:, : max(0, joined.shape[1] - surplus)]
        elif surplus < 0:
            joined = np.pad(joined, ((0, 0), (0, -surplus)))
        return joined.clip(-1.0, 1.0)

    def _converted(self, samples: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """Mix and resample ``(channels, samples)``."""
        clean = samples.clip(-1.0, 1.0)
        if not self._keep:
            clean = np.repeat(self._mix.mix(clean)[None], self._channels, 0)
        if self._resampler is None:
            self._made += clean.shape[1]
            yield clean
            return
        layout = "mono" if self._channels == 1 else "stereo"
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(clean), "fltp", layout)
        frame.sample_rate = self._source_rate
        for out in self._resampler.resample(frame):
            self._made += out.samples
            yield out.to_ndarray().clip(-1.0, 1.0)


def _shape(samples: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    return np.ascontiguousarray(samples[:, 0] if channels == 1 else samples)


def _ignore(sentence: str) -> None:
    pass
