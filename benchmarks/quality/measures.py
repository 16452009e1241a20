"""What is measured on curves of a rendered mouth; pure functions, no video in here.

Frame *n* at ``fps`` shows the sound of ``[n/fps, (n+1)/fps)`` and stands for its middle. Aperture
is the inner-lip gap over the distance between the eye centres.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt

Floats = NDArray[np.float64]
Phone = tuple[float, float, str]  # start s, end s, ARPAbet

BILABIALS = frozenset({"P", "B", "M"})
VOWELS = frozenset(
    ["AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"]
)
MAX_LAG_MS = 200
_FINE_HZ = 100  # lags are searched at 10 ms
_BAND_HZ = (300.0, 3000.0)
_WIDEN_S = 0.02  # alignments of closures are off by about this
_INNER = 0.6  # middle share of a vowel that counts; its edges belong to its neighbours


@dataclass(frozen=True)
class Lag:
    """How a mouth follows a sound.

    Attributes:
        r0: correlation at lag 0.
        r: the best correlation within the searched lags.
        lag_ms: where; positive when the mouth is late.
    """

    r0: float
    r: float
    lag_ms: float


@dataclass(frozen=True)
class Closure:
    """Whether lips that must close do, at one threshold.

    Attributes:
        threshold: aperture below which lips count as closed.
        recall: share of bilabials closed at their narrowest frame.
        false_rate: share of vowels that count as closed by the same rule.
        bilabials: tokens.
        vowels: tokens.
    """

    threshold: float
    recall: float
    false_rate: float
    bilabials: int
    vowels: int


def speech_envelope(pcm: NDArray[np.float32], rate: int, fps: int) -> Floats:
    """Return the 300-3000 Hz level per frame: RMS over the frame's samples, ``(frames,)``."""
    band = butter(4, _BAND_HZ, "bandpass", fs=rate, output="sos")
    heard = sosfiltfilt(band, np.asarray(pcm, np.float64))
    frames = len(heard) * fps // rate
    edges = np.arange(frames + 1) * rate // fps
    if not frames:
        return np.zeros(0)
    power = np.add.reduceat(heard[: edges[-1]] ** 2, edges[:-1])
    return np.sqrt(power / np.diff(edges))


def correlation(a: Floats, b: Floats) -> float:
    """Return Pearson's r; 0 where one of them does not move."""
    a, b = a - a.mean(), b - b.mean()
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size > 1e-12 else 0.0


def follow(aperture: Floats, envelope: Floats, fps: int, max_lag_ms: int = MAX_LAG_MS) -> Lag:
    """Correlate aperture with envelope over lags.

    Both are interpolated to 100 Hz, so that a lag below a frame's length can be seen.
    """
    count = min(len(aperture), len(envelope))
    fine = np.arange(0, count - 1, fps / _FINE_HZ)
    frames = np.arange(count)
    mouth = np.interp(fine, frames, aperture[:count])
    sound = np.interp(fine, frames, envelope[:count])
    step = 1000 // _FINE_HZ
    found = {}
    for shift in range(-max_lag_ms // step, max_lag_ms // step + 1):
        late = mouth[max(0, shift) : len(mouth) + min(0, shift)]
        early = sound[max(0, -shift) : len(sound) + min(0, -shift)]
        found[shift] = correlation(late, early) if len(late) > 2 else 0.0
    best = max(found, key=lambda s: (found[s], -abs(s)))
    return Lag(found[0], found[best], float(best * step))


def narrowest(aperture: Floats, start: float, end: float, fps: int) -> float:
    """Return the smallest aperture of the frames whose middle lies in the interval.

    An interval that holds none takes the frame nearest to its middle.
    """
    middles = (np.arange(len(aperture)) + 0.5) / fps
    inside = (middles >= start) & (middles <= end)
    if not inside.any():
        inside[np.abs(middles - (start + end) / 2).argmin()] = True
    return float(aperture[inside].min())


def tokens(aperture: Floats, phones: Sequence[Phone], fps: int) -> tuple[list[float], list[float]]:
    """Return the narrowest aperture of every bilabial and of every vowel.

    A bilabial counts over its interval widened by 20 ms, a vowel over its inner 60 %. Words that
    begin or end in silence keep their bilabials; phones beyond the last frame are left out.
    """
    closed, open_ = [], []
    for start, end, phone in phones:
        if end > len(aperture) / fps:
            continue
        if phone in BILABIALS:
            closed.append(narrowest(aperture, start - _WIDEN_S, end + _WIDEN_S, fps))
        elif phone in VOWELS:
            trim = (1 - _INNER) / 2 * (end - start)
            open_.append(narrowest(aperture, start + trim, end - trim, fps))
    return closed, open_


def closure_at(closed: Sequence[float], open_: Sequence[float], threshold: float) -> Closure:
    """Score closures at a fixed threshold."""
    recall = float(np.mean(np.asarray(closed) <= threshold)) if len(closed) else float("nan")
    false = float(np.mean(np.asarray(open_) <= threshold)) if len(open_) else float("nan")
    return Closure(threshold, recall, false, len(closed), len(open_))


def closure_at_false_rate(
    closed: Sequence[float], open_: Sequence[float], false_rate: float = 0.05
) -> Closure:
    """Score closures at the largest threshold that takes at most this share of vowels as closed."""
    ordered = np.sort(np.asarray(open_, np.float64))
    allowed = int(np.floor(false_rate * len(ordered)))
    threshold = float(np.nextafter(ordered[allowed], -np.inf)) if len(ordered) else float("nan")
    return closure_at(closed, open_, threshold)


def silent_frames(
    phones: Sequence[Phone], frames: int, fps: int, settle_s: float = 0.3
) -> NDArray[np.bool_]:
    """Return which frames lie at least ``settle_s`` from any sound, ``(frames,)``."""
    middles = (np.arange(frames) + 0.5) / fps
    quiet = np.ones(frames, bool)
    for start, end, phone in phones:
        if phone != "SIL":
            quiet &= (middles < start - settle_s) | (middles > end + settle_s)
    return quiet


def flicker(crops: Iterable[NDArray[np.uint8]]) -> float:
    """Return the mean absolute second difference over time of pictures, in grey levels.

    Slow movement (breath, the head's drift) cancels out of it; what blinks from frame to frame
    does not. 0 for fewer than three pictures.
    """
    stack = [np.asarray(c, np.float32).mean(axis=-1) for c in crops]
    if len(stack) < 3:
        return 0.0
    changes = [
        float(np.abs(b - (a + c) / 2).mean())
        for a, b, c in zip(stack, stack[1:], stack[2:], strict=False)
    ]
    return float(np.mean(changes))
