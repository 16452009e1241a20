"""How often a watermark is seen where there is none: counted, and from the tail of its statistic.

A false alarm needs two things: a score above the threshold at the best place of a clip, and a
checksum of 16 bits that fits what is read there. The best scores of unmarked clips are maxima over
some 440,000 places, so their tail is Gumbel's, whatever a single place's is like as long as it
falls exponentially (Fisher and Tippett 1928); its two parameters are fitted by likelihood.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.benchmarks.common import percentiles
from visavis.benchmarks.trust import lines
from visavis.benchmarks.trust.attacks import FPS, Luma, Timed, coded, timed
from visavis.benchmarks.trust.clips import Wanted, clips
from visavis.benchmarks.trust.table import as_verify
from visavis.streamer.trust.marks.mark import Marker, Marking
from visavis.streamer.trust.marks.watermark_detector import LEAST_SCORE, TRIES, detect

CHECK: Final = TRIES * 2.0**-16
_RESAMPLED: Final = 2_000
_SECONDS: Final = 2.5
_MOST = 6  # windows of one video


@dataclass(frozen=True)
class Score:
    """What the detector said of one stretch of unmarked video.

    Attributes:
        source: the video it is of; stretches of one are not independent.
        change: what was done to it.
        at_s: where it begins.
        score: of the best place.
        alarm: a payload was read.
    """

    source: str
    change: str
    at_s: float
    score: float
    alarm: bool


def _part(frames: list[Luma], top: float, left: float) -> list[Luma]:
    height, width = frames[0].shape
    rows, columns = round(0.7 * height), round(0.7 * width)
    y, x = round(top * (height - rows)), round(left * (width - columns))
    return [np.ascontiguousarray(f[y : y + rows, x : x + columns]) for f in frames]


def _sized(frames: list[Luma], ratio: float) -> list[Luma]:
    return [cv2.resize(f, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA) for f in frames]


CHANGES = {
    "as it is": lambda frames: frames,
    "mirrored": lambda frames: [np.ascontiguousarray(f[:, ::-1]) for f in frames],
    "upper left": lambda frames: _part(frames, 0, 0),
    "lower right": lambda frames: _part(frames, 1, 1),
    "scaled by 0.83": lambda frames: _sized(frames, 0.83),
    "scaled by 1.3": lambda frames: _sized(frames, 1.3),
}


def measure(real: Sequence[Path], wanted: Wanted | None, kept: Path) -> None:
    """Score every stretch that is not known yet; one that raises an alarm is kept all the same."""
    known = {(s.source, s.change, s.at_s) for s in scores(kept)}
    for path in real:
        for at_s, window in _windows(path):
            for change, how in CHANGES.items():
                if (path.name, change, at_s) not in known:
                    frames = how([luma for _, luma in window])
                    times = [at for at, _ in window]
                    _write(kept, path.name, change, at_s, list(zip(times, frames, strict=True)))
    if wanted is None:
        return
    for number, plain in clips(wanted, kept):
        source = f"drawn person {number // wanted.each}"
        if (source, f"clip {number}", 0.0) not in known:
            marker = Marker(Marking())
            shown = coded((marker.planar(p, n) for n, p in enumerate(plain)), "H264")
            _write(kept, source, f"clip {number}", 0.0, timed(shown))


def _windows(path: Path) -> Iterator[tuple[float, Timed]]:
    """Yield stretches of a real video, spread over it."""
    with av.open(str(path)) as file:
        frames = [
            (float(f.time or 0.0), f.reformat(format="gray").to_ndarray())
            for f in file.decode(video=0)
        ]
    last = frames[-1][0] - _SECONDS
    for at in np.linspace(0, max(0.0, last), _MOST if last > 1 else 2):
        window = [(t, luma) for t, luma in frames if at <= t < at + _SECONDS]
        if len(window) >= FPS:
            yield round(float(at), 2), window


def _write(kept: Path, source: str, change: str, at_s: float, frames: Timed) -> None:
    found = detect(as_verify(frames))
    score = Score(source, change, at_s, round(found.score, 3), found.payload is not None)
    lines.append(kept / "unmarked.jsonl", score)


def scores(kept: Path) -> list[Score]:
    """Return what is known."""
    return lines.read(kept / "unmarked.jsonl", Score)


def summary(known: Sequence[Score]) -> dict[str, Any]:
    """Return counts, the fitted tail and what it says of the threshold."""
    real = [s for s in known if not s.source.startswith("drawn")]
    return {
        "threshold": LEAST_SCORE,
        "real": _of(real),
        "drawn": _of([s for s in known if s not in real]),
        "tail": tail(known),
    }


def _of(some: Sequence[Score]) -> dict[str, Any]:
    return {
        "videos": len({s.source for s in some}),
        "stretches": len(some),
        "false_alarms": sum(s.alarm for s in some),
        "above_threshold": sum(s.score >= LEAST_SCORE for s in some),
        "score": percentiles([s.score for s in some], 1),
        "highest": max((s.score for s in some), default=None),
    }


def tail(known: Sequence[Score]) -> dict[str, Any] | None:
    """Return the chance of a false alarm, by Gumbel's law fitted to the best scores.

    The interval is the bootstrap's over videos, not stretches: those of one video are alike.
    """
    sources = sorted({s.source for s in known})
    if len(sources) < 5:
        return None
    of = {name: np.array([s.score for s in known if s.source == name]) for name in sources}
    rng = np.random.default_rng(1)
    drawn = [rng.choice(sources, len(sources)) for _ in range(_RESAMPLED)]
    fits = [_gumbel(np.concatenate([of[name] for name in names])) for names in drawn]
    place, spread = _gumbel(np.concatenate(list(of.values())))
    chances = np.array([_above(*fit) for fit in fits]) * CHECK
    low, high = np.percentile(chances, [2.5, 97.5])
    return {
        "law": "Gumbel",
        "place": round(place, 3),
        "spread": round(spread, 3),
        "false_alarm_rate": _above(place, spread) * CHECK,
        "interval_95": [float(low), float(high)],
        "resampled": f"{_RESAMPLED} times over {len(sources)} videos",
    }


def _gumbel(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return place and spread by maximum likelihood."""
    from scipy.stats import gumbel_r

    place, spread = gumbel_r.fit(values)
    return float(place), float(spread)


def _above(place: float, spread: float) -> float:
    """Return how often a clip's best score passes the threshold."""
    return float(-np.expm1(-np.exp(-(LEAST_SCORE - place) / spread)))
