"""Videos of people who talk: pictures and sound, their faces frame by frame, how mouths move.

Everything is in distances of the outer eye corners (landmarks 33 and 263), so that it does not
depend on how large a face is. Frame *n* stands for ``n / fps`` seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt

from visavis.benchmarks.common import BenchmarkError
from visavis.benchmarks.quality.measures import correlation
from visavis.models.appearance.photo.tracker import MediaPipeTracker
from visavis.models.arrays import Image

Floats = NDArray[np.float64]

RATE = 16000
FILES = (".mp4", ".mpg", ".mpeg", ".mov", ".mkv", ".webm", ".avi")
SPEECH_BAND_HZ = (1.5, 8.0)
_LONGEST_S = 60.0  # of a video that is looked at
_SHORTEST_S = 2.0
_SILENT = 0.01  # peak of a sound track that nobody hears
_VIEW = 4.6  # distances of the eyes that the tracker is shown
_SIDE = 512
_OUTER_EYES, _CORNERS, _INNER_LIPS = (33, 263), (61, 291), (13, 14)
_AT_REST = 25  # percentile of the opening below which a mouth counts as shut
_MAX_LAG_MS, _FINE_HZ = 200, 100


@dataclass(frozen=True)
class Talk:
    """A video as it was filmed.

    Attributes:
        name: its file's stem.
        frames: ``(T, H, W, 3)`` RGB.
        fps: frames per second.
        pcm: 16 kHz mono from the first frame's time on.
    """

    name: str
    frames: Image
    fps: int
    pcm: NDArray[np.float32]


@dataclass(frozen=True)
class Moves:
    """How a mouth moves.

    Attributes:
        width: between the corners, ``(T,)``.
        aperture: between the inner lips, ``(T,)``.
        fps: frames per second.
    """

    width: Floats
    aperture: Floats
    fps: int

    def figures(self) -> dict[str, float]:
        """Return amplitude in the speech band, means, and the width of the mouth at rest."""
        shut = self.aperture <= np.percentile(self.aperture, _AT_REST)
        return {
            "width_band": float(speech_band(self.width, self.fps).std()),
            "width_mean": float(self.width.mean()),
            "width_rest": float(np.median(self.width[shut])),
            "aperture_band": float(speech_band(self.aperture, self.fps).std()),
            "aperture_p95": float(np.percentile(self.aperture, 95)),
        }


def read_talk(path: Path) -> Talk:
    """Read a video with its sound.

    Raises:
        BenchmarkError: it cannot be read, has no sound, or is too short.
    """
    try:
        with av.open(str(path)) as video:
            if not video.streams.video or not video.streams.audio:
                raise BenchmarkError(f"{path.name} has no picture or no sound.")
            fps = round(float(video.streams.video[0].average_rate or 25))
            frames, began = [], None
            for frame in video.decode(video=0):
                began = frame.time or 0.0 if began is None else began
                frames.append(frame.to_ndarray(format="rgb24"))
                if len(frames) >= _LONGEST_S * fps:
                    break
        with av.open(str(path)) as video:
            pcm = _sound(video, began or 0.0)
    except (av.FFmpegError, OSError) as error:
        raise BenchmarkError(f"{path.name} cannot be read as a video.") from error
    if len(frames) < _SHORTEST_S * fps or not 1 <= fps <= 100:
        raise BenchmarkError(f"{path.name} is shorter than {_SHORTEST_S:g} s.")
    if not len(pcm) or np.abs(pcm).max() < _SILENT:
        raise BenchmarkError(f"{path.name} is silent.")
    return Talk(path.stem, np.stack(frames), fps, pcm[: round(len(frames) / fps * RATE)])


def _sound(video: av.container.InputContainer, began: float) -> NDArray[np.float32]:
    """Return the first sound track at 16 kHz, its first sample at ``began`` seconds."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
    parts, first = [], None
    for frame in video.decode(audio=0):
        first = frame.time or 0.0 if first is None else first
        parts += [part.to_ndarray().ravel() for part in resampler.resample(frame)]
    parts += [part.to_ndarray().ravel() for part in resampler.resample(None)]
    pcm = np.concatenate([*parts, np.zeros(0, np.float32)]).astype(np.float32)
    early = round(((first or 0.0) - began) * RATE)
    return pcm[-early:] if early < 0 else np.concatenate([np.zeros(early, np.float32), pcm])


def track(frames: Image, tracker: MediaPipeTracker) -> NDArray[np.float32]:
    """Return the landmarks ``(T, 478, 3)`` of one face; a frame without keeps the last one's.

    The tracker looks at the same enlarged square of every frame.

    Raises:
        BenchmarkError: there is no face in the first frame.
    """
    found = tracker.detect(np.asarray(frames[0]))
    if not found:
        raise BenchmarkError("There is no face in the first frame.")
    unit, nose = found[0].inter_ocular_px, found[0].points[1, :2]
    height, width = frames.shape[1:3]
    side = min(round(_VIEW * unit), height, width)
    x = int(np.clip(round(float(nose[0]) - side / 2), 0, width - side))
    y = int(np.clip(round(float(nose[1]) - side / 2), 0, height - side))
    out = np.empty((len(frames), *found[0].points.shape), np.float32)
    last = found[0].points
    for i, frame in enumerate(frames):
        part = frame[y : y + side, x : x + side]
        close = cv2.resize(part, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)
        face = tracker.track(np.asarray(close, np.uint8))
        if face is not None:
            last = face.points * np.float32(side / _SIDE)
            last[:, :2] += np.array([x, y], np.float32)
        out[i] = last
    return out


def moves(points: NDArray[np.float32], fps: int) -> Moves:
    """Return the mouth's width and opening of landmarks ``(T, 478, 3)``."""

    def apart(pair: tuple[int, int]) -> Floats:
        a, b = (points[:, i, :2].astype(np.float64) for i in pair)
        return np.asarray(np.linalg.norm(a - b, axis=1))

    unit = np.maximum(apart(_OUTER_EYES), 1e-6)
    return Moves(apart(_CORNERS) / unit, apart(_INNER_LIPS) / unit, fps)


def speech_band(values: Floats, fps: int) -> Floats:
    """Return what of ``(T,)`` values moves at the pace of speech, 1.5 to 8 Hz."""
    low, high = SPEECH_BAND_HZ
    band = butter(2, [low, min(high, 0.45 * fps)], "band", fs=fps, output="sos")
    return np.asarray(sosfiltfilt(band, values))


def follow(ours: Floats, own: Floats, fps: int, most_ms: int = _MAX_LAG_MS) -> tuple[float, float]:
    """Return the best correlation of two curves and the lag in ms; positive where ours is late.

    Args:
        ours: of the avatar, ``(T,)``.
        own: of the person, ``(T,)``.
        fps: frames per second of both.
        most_ms: lags that are looked at.
    """
    count = min(len(ours), len(own))
    fine = np.arange(0, count - 1, fps / _FINE_HZ)
    a, b = (np.interp(fine, np.arange(count), v[:count]) for v in (ours, own))
    step, best = 1000 // _FINE_HZ, (-2.0, 0.0)
    for shift in sorted(range(-most_ms // step, most_ms // step + 1), key=abs):
        late = a[max(0, shift) : len(a) + min(0, shift)]
        early = b[max(0, -shift) : len(b) + min(0, -shift)]
        r = correlation(late, early) if len(late) > 2 else 0.0
        best = max(best, (r, float(shift * step)), key=lambda found: found[0])
    return best


def calmest(mouth: Moves) -> int:
    """Return the frame with the mouth most shut: what a person would take as the photo."""
    return int(mouth.aperture.argmin())
