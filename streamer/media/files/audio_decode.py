"""Sound as a file holds it: pieces of any rate and channels, gaps, damage, several tracks.

PyAV's resampler takes its source from the first frame and its arrays of planar frames with eight or
more channels are read past their end; neither is trusted with a foreign file here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition
from numpy.typing import NDArray

from visavis.streamer.errors import BadRequest
from visavis.streamer.media.files.joined import parts

_RATES = (1_000, 768_000)  # Hz; outside, a header is damaged
_GAP_S = 0.1  # time stamps of live recordings wander by less
_LONGEST_GAP_S = 60.0  # more is a clock that was set, not silence
_SILENCE_RMS = 10 ** (-60 / 20)
# Containers with time stamps of their own; elsewhere FFmpeg derives them from what it decoded.
_TIMED = ("mov", "mp4", "matroska", "webm", "mpegts", "flv", "asf", "nut", "ogg")
_DAMAGE = (av.FFmpegError, ValueError)
Say = Callable[[str], None]


@dataclass(frozen=True)
class Piece:
    """A stretch of decoded sound.

    Attributes:
        samples: ``(channels, samples)`` float32, unbounded as the file has them, never NaN.
        rate: samples per second.
        names: of the channels, as FFmpeg has them.
        gap_s: silence that the time stamps leave before it.
    """

    samples: NDArray[np.float32]
    rate: int
    names: tuple[str, ...]
    gap_s: float = 0.0


def pieces(path: Path, track: int, say: Say) -> Iterator[Piece]:
    """Decode one sound track.

    Args:
        path: a file with sound.
        track: which of its sound tracks, from 0.
        say: told in a sentence what the owner should know of the file.

    Raises:
        BadRequest: it cannot be read at all. Damage further on is left out.
    """
    began = False
    reader = _Reader(path.name, say)
    for part in parts(path):
        try:
            with av.open(part) as container:
                for piece in reader.read(container, track):
                    began = True
                    yield piece
        except (BadRequest, *_DAMAGE) as error:
            # A recording cut off at its end is still worth speaking; one that never began is not.
            if not began and isinstance(error, BadRequest):
                raise
            if not began:
                raise BadRequest(f"{path.name} is not a sound file that can be read.") from error
            reader.damaged = True
    if reader.damaged:
        say(f"{path.name} is damaged or cut off in places; what can be read of it is used.")
    if not began:
        raise BadRequest(f"{path.name} holds no sound: it is zero seconds long.")


def choose_track(path: Path, say: Say) -> int:
    """Return which sound track to take: the default one, or the first in which anything is heard.

    Raises:
        BadRequest: there is no file, or no sound in it.
    """
    tracks = _tracks(path)
    if len(tracks) == 1:
        return 0
    order = sorted(range(len(tracks)), key=lambda n: not tracks[n])
    taken = next((n for n in order if _audible(path, n)), order[0])
    why = ", the default one" if tracks[taken] and sum(tracks) == 1 else ""
    if taken != order[0]:
        why = ", the first in which anything is heard"
    say(f"{path.name} has {len(tracks)} sound tracks; number {taken + 1}{why} is used.")
    return taken


def check_track(path: Path, track: int) -> None:
    """Raise BadRequest where the file has no sound track of that number, from 0."""
    count = len(_tracks(path))
    if not 0 <= track < count:
        raise BadRequest(f"{path.name} has {count} sound tracks; there is no number {track + 1}.")


def _tracks(path: Path) -> list[bool]:
    """Return for each sound track whether it is marked as the default."""
    if not path.exists():
        raise BadRequest(f"There is no file {path}.")
    if not path.is_file():
        raise BadRequest(f"{path} is no ordinary file; name a sound file.")
    try:
        with av.open(str(path)) as container:
            tracks = [bool(s.disposition & Disposition.default) for s in container.streams.audio]
    except (OSError, *_DAMAGE) as error:
        raise BadRequest(f"{path.name} is not a sound file that can be read.") from error
    if not tracks:
        raise BadRequest(f"There is no sound in {path.name}.")
    return tracks


def _audible(path: Path, track: int) -> bool:
    try:
        for piece in pieces(path, track, lambda sentence: None):
            level = piece.samples - piece.samples.mean(1, keepdims=True)
            if np.sqrt(np.square(level).mean(1)).max(initial=0.0) > _SILENCE_RMS:
                return True
    except BadRequest:
        pass
    return False


class _Reader:
    """Takes a container apart; keeps the clock where a file has several parts."""

    def __init__(self, name: str, say: Say) -> None:
        self._name = name
        self._say = say
        self._said_jump = False
        self._packed: tuple[tuple[Any, ...], av.AudioResampler] | None = None
        self.damaged = False

    def read(self, container: Any, track: int) -> Iterator[Piece]:
        streams = container.streams.audio
        if track >= len(streams):
            return
        if streams[track].codec_context is None:
            raise BadRequest(f"The sound of {self._name} is coded in a way that cannot be read.")
        timed = any(name in _TIMED for name in container.format.name.split(","))
        clock = (container.start_time or 0) / av.time_base
        for frame in self._frames(container, streams[track]):
            stamped = timed and frame.pts is not None and frame.time_base
            at = float(frame.pts * frame.time_base) if stamped else clock
            samples, rate, gap = self._samples(frame), frame.sample_rate, 0.0
            if stamped:
                gap = self._gap(at - clock)
                if gap or abs(at - clock) > _GAP_S:
                    clock = at
            clock += samples.shape[1] / rate
            yield Piece(samples, rate, tuple(c.name for c in frame.layout.channels), gap)

    def _frames(self, container: Any, stream: Any) -> Iterator[Any]:
        """Yield frames; a damaged packet costs itself, a damaged file what follows."""
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except _DAMAGE:  # cut off: what the decoder still holds is good
                self.damaged, packet = True, None
            if packet is None:
                break
            try:
                frames = packet.decode()
            except _DAMAGE:
                self.damaged = True
                continue
            yield from (f for f in frames if f.samples)
        with contextlib.suppress(*_DAMAGE):  # it may have been emptied already
            yield from (f for f in stream.codec_context.decode(None) if f.samples)

    def _gap(self, ahead_s: float) -> float:
        if ahead_s <= _GAP_S:
            return 0.0
        if ahead_s <= _LONGEST_GAP_S:
            return ahead_s
        if not self._said_jump:
            self._said_jump = True
            self._say(f"The clock of {self._name} jumps by {ahead_s:.0f} s; that is left out.")
        return 0.0

    def _samples(self, frame: Any) -> NDArray[np.float32]:
        """Return ``(channels, samples)`` of a frame; only packed frames are safe to read."""
        channels, rate = frame.layout.nb_channels, frame.sample_rate
        if not _RATES[0] <= rate <= _RATES[1]:
            raise BadRequest(f"{self._name} says it has {rate} samples a second; it is damaged.")
        kind = (frame.format.name, frame.layout.name, channels, rate)
        if self._packed is None or self._packed[0] != kind:
            self._packed = kind, av.AudioResampler("flt", frame.layout, rate)
        frame.pts = None  # gaps are ours to fill, not the filter's
        try:
            packed = [f.to_ndarray() for f in self._packed[1].resample(frame)]
        except _DAMAGE as error:
            raise BadRequest(
                f"{self._name} has {channels} channels, more than can be read."
            ) from error
        joined = np.concatenate([p.reshape(-1, channels) for p in packed])
        flat = joined.T.astype(np.float32, copy=False)
        return np.nan_to_num(flat, nan=0.0, posinf=1.0, neginf=-1.0)
