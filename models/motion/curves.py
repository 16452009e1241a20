"""Phones to face curves at 100 Hz by dominance blending, with lips that close when they must.

Dominance blending follows Cohen and Massaro (1993): ``F(t) = sum D_k T_k / sum D_k`` with
``D = alpha * exp(-(|dt| / tau) ** p)``, separately for opening and rounding. On top come the
hard rules of JALI (Edwards et al., 2016): bilabials close the lips, labiodentals put the lower
lip under the upper teeth, lip-heavy phones start early, tongue-only consonants inherit the lips.
Amplitudes were set so that the jaw has the median and 95th percentile of captured speech.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from visavis.models import coefficients
from visavis.models.motion.phones import BILABIAL, CLASS_INDEX, CLASSES, LABIODENTAL, VOWELS, Phone

CHANNELS: tuple[str, ...] = (
    "jawOpen", "mouthClose", "mouthFunnel", "mouthPucker", "mouthStretch", "mouthSmile",
    "mouthRollLower", "mouthRollUpper", "mouthPress", "mouthLowerDown", "mouthUpperUp",
    "mouthShrugUpper", "tongueOut", "jawForward",
)  # fmt: skip
CHANNEL = {name: i for i, name in enumerate(CHANNELS)}
ROUNDING = slice(2, 6)  # funnel, pucker, stretch, smile
RATE = 100  # curve frames per second

# Gap of the inner lips at the centre, in inter-ocular distances, per unit of each coefficient
# (left and right together), as the ICT-FaceKit expression basis (MIT licence) moves it.
LIP_GAP_PER_UNIT: dict[str, float] = {
    "jawOpen": 0.513, "mouthClose": -0.610, "mouthFunnel": 0.215, "mouthLowerDown": 0.106,
    "mouthUpperUp": 0.112, "mouthRollLower": -0.059, "mouthPress": -0.040,
    "mouthShrugUpper": 0.082,
}  # fmt: skip
GAP_WEIGHTS = np.array([LIP_GAP_PER_UNIT.get(name, 0.0) for name in CHANNELS], np.float32)
_READY_S = 0.05  # at onsets captured jaws lead the sound by about 30 ms, lips by more
_LIP_PRESS = 0.004  # inter-ocular distances that soft lips may be pushed into each other


@dataclass(frozen=True)
class CurveConfig:
    """Constants of the generator, as fitted to captured speech (``capture.fit``).

    On the held-out take the jaw built from phones correlates .51 with the captured one (1.2-8 Hz)
    where the first guess (1, 1, .055, .060, 1.5, 1) had .45; median and 95th percentile are
    within .002 and .04 of it.

    Attributes:
        jaw: factor of the jaw's targets.
        lips: factor of the lowered and raised lip's targets.
        lead: dominance reaches so many seconds before a phone's core, for opening.
        lag: and so many after it.
        smooth: hops of the Gaussian over the opening.
        contrast: how much vowels gain from length, 1 being the first guess.
    """

    jaw: float = 0.95
    lips: float = 1.0
    lead: float = 0.065
    lag: float = 0.040
    smooth: float = 2.5
    contrast: float = 0.25


DEFAULT = CurveConfig()

# class: (jaw, lowerDown, upperUp, funnel, pucker, stretch, smile)
_SHAPES: dict[str, tuple[float, float, float, float, float, float, float]] = {
    "SIL": (0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00),
    "AA": (0.60, 0.13, 0.05, 0.00, 0.00, 0.02, 0.03),
    "AE": (0.54, 0.17, 0.09, 0.00, 0.00, 0.12, 0.12),
    "AH": (0.41, 0.10, 0.05, 0.00, 0.00, 0.04, 0.03),
    "AX": (0.26, 0.08, 0.04, 0.00, 0.00, 0.04, 0.03),
    "AO": (0.50, 0.07, 0.03, 0.28, 0.30, 0.00, 0.00),
    "OO": (0.34, 0.05, 0.02, 0.26, 0.50, 0.00, 0.00),
    "EH": (0.42, 0.14, 0.07, 0.00, 0.00, 0.12, 0.10),
    "EE": (0.31, 0.14, 0.08, 0.00, 0.00, 0.20, 0.16),
    "ER": (0.26, 0.07, 0.04, 0.22, 0.20, 0.00, 0.00),
    "IH": (0.25, 0.13, 0.07, 0.00, 0.00, 0.14, 0.11),
    "IY": (0.17, 0.16, 0.08, 0.00, 0.00, 0.26, 0.22),
    "UH": (0.24, 0.05, 0.02, 0.20, 0.34, 0.00, 0.00),
    "UW": (0.16, 0.03, 0.01, 0.24, 0.70, 0.00, 0.00),
    "YY": (0.16, 0.04, 0.03, 0.26, 0.62, 0.00, 0.00),
    "OE": (0.30, 0.07, 0.03, 0.26, 0.46, 0.00, 0.00),
    "IX": (0.19, 0.12, 0.06, 0.00, 0.00, 0.12, 0.08),
    "P": (0.06, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00),
    "B": (0.06, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00),
    "M": (0.06, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00),
    "BH": (0.08, 0.03, 0.00, 0.05, 0.05, 0.00, 0.00),
    "F": (0.09, 0.00, 0.08, 0.00, 0.00, 0.04, 0.00),
    "V": (0.09, 0.00, 0.08, 0.00, 0.00, 0.04, 0.00),
    "TH": (0.14, 0.13, 0.07, 0.00, 0.00, 0.06, 0.03),
    "DH": (0.14, 0.12, 0.07, 0.00, 0.00, 0.06, 0.03),
    "T": (0.11, 0.12, 0.06, 0.00, 0.00, 0.08, 0.05),
    "D": (0.12, 0.12, 0.06, 0.00, 0.00, 0.08, 0.05),
    "N": (0.13, 0.12, 0.06, 0.00, 0.00, 0.08, 0.05),
    "S": (0.07, 0.17, 0.09, 0.00, 0.00, 0.16, 0.10),
    "Z": (0.07, 0.17, 0.09, 0.00, 0.00, 0.16, 0.10),
    "SH": (0.08, 0.12, 0.07, 0.32, 0.30, 0.00, 0.00),
    "ZH": (0.08, 0.12, 0.07, 0.32, 0.30, 0.00, 0.00),
    "CH": (0.08, 0.12, 0.07, 0.29, 0.28, 0.00, 0.00),
    "JH": (0.08, 0.12, 0.07, 0.29, 0.28, 0.00, 0.00),
    "K": (0.18, 0.10, 0.05, 0.00, 0.00, 0.06, 0.04),
    "G": (0.18, 0.10, 0.05, 0.00, 0.00, 0.06, 0.04),
    "NG": (0.18, 0.10, 0.05, 0.00, 0.00, 0.06, 0.04),
    "L": (0.17, 0.10, 0.05, 0.00, 0.00, 0.06, 0.04),
    "R": (0.15, 0.07, 0.04, 0.28, 0.26, 0.00, 0.00),
    "RR": (0.16, 0.10, 0.05, 0.00, 0.00, 0.05, 0.03),
    "W": (0.09, 0.00, 0.00, 0.18, 0.80, 0.00, 0.00),
    "Y": (0.12, 0.13, 0.07, 0.00, 0.00, 0.20, 0.16),
    "NY": (0.13, 0.12, 0.06, 0.00, 0.00, 0.12, 0.08),
    "HH": (0.20, 0.09, 0.05, 0.00, 0.00, 0.03, 0.02),
    "X": (0.20, 0.09, 0.05, 0.00, 0.00, 0.04, 0.03),
    "Q": (0.18, 0.08, 0.04, 0.00, 0.00, 0.02, 0.02),
}  # fmt: skip
_OPEN = ("jawOpen", "mouthLowerDown", "mouthUpperUp")
_ROUND = ("mouthFunnel", "mouthPucker", "mouthStretch", "mouthSmile")
# (alpha of opening, alpha of rounding); a vowel is the measure of all things
_ALPHA: dict[str, tuple[float, float]] = {
    **{v: (1.0, 1.0) for v in VOWELS},
    "SIL": (1.6, 0.9), "P": (2.2, 0.15), "B": (2.2, 0.15), "M": (2.0, 0.15), "BH": (1.5, 0.3),
    "F": (1.8, 0.25), "V": (1.8, 0.25), "TH": (0.9, 0.2), "DH": (0.7, 0.15), "T": (0.7, 0.12),
    "D": (0.6, 0.12), "N": (0.6, 0.12), "S": (1.3, 0.35), "Z": (1.2, 0.35), "SH": (1.3, 1.3),
    "ZH": (1.3, 1.2), "CH": (1.3, 1.2), "JH": (1.3, 1.2), "K": (0.5, 0.1), "G": (0.5, 0.1),
    "NG": (0.5, 0.1), "L": (0.6, 0.12), "R": (0.7, 0.9), "RR": (0.5, 0.12), "W": (1.2, 2.0),
    "Y": (0.7, 0.7), "NY": (0.6, 0.3), "HH": (0.15, 0.05), "X": (0.4, 0.1), "Q": (0.15, 0.05),
    "AX": (0.7, 0.5), "ER": (0.9, 0.9),
}  # fmt: skip


def rounding_of_classes() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what phones do to rounding: shapes and how firmly each holds its own.

    Returns:
        ``(CLASSES, 4)`` of the channels in ``ROUNDING``, and ``(CLASSES,)`` in [0, 1]: 1 for
        vowels, little for phones of the tongue, which round as their neighbours do.
    """
    shapes = np.array([_SHAPES[name][3:] for name in CLASSES], np.float32)
    firm = np.array([min(_ALPHA[name][1], 1.0) for name in CLASSES], np.float32)
    firm[CLASS_INDEX["SIL"]] = 0.0
    return shapes, firm


def lip_gap(channels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the inner-lip gap in inter-ocular distances, ``(..., CHANNELS)`` to ``(...)``."""
    return np.maximum(channels @ GAP_WEIGHTS, 0.0).astype(np.float32)


def aperture(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the opening of the lips in units of jawOpen for coefficients ``(..., COUNT)``.

    0.3 means the lips are as far apart as jawOpen = 0.3 alone would hold them.
    """
    return lip_gap(collapse(values)) / np.float32(LIP_GAP_PER_UNIT["jawOpen"])


def seal(channels: NDArray[np.float32], closed: NDArray[np.float32]) -> None:
    """Shut what gap is left, in place, in proportion to ``closed``.

    Args:
        channels: ``(..., len(CHANNELS))``.
        closed: ``(...)`` in [0, 1]; 1 brings the lips together whatever the jaw does.
    """
    opened = np.asarray(1.0 - closed)
    for name in ("mouthLowerDown", "mouthUpperUp", "mouthFunnel"):
        channels[..., CHANNEL[name]] *= opened
    gap = np.maximum(channels @ GAP_WEIGHTS, 0.0)
    channels[..., CHANNEL["mouthClose"]] += closed * gap / -LIP_GAP_PER_UNIT["mouthClose"]


def rest_lips(channels: NDArray[np.float32]) -> None:
    """Take back, in place, closing beyond contact: lips that touch do not pass each other."""
    close = CHANNEL["mouthClose"]
    other = channels @ GAP_WEIGHTS - channels[..., close] * GAP_WEIGHTS[close]
    limit = (np.maximum(other, 0.0) + _LIP_PRESS) / -GAP_WEIGHTS[close]
    np.minimum(channels[..., close], limit, out=channels[..., close])


def expand(channels: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Write channels ``(..., CHANNELS)`` into coefficients ``(..., COUNT)``, left as right."""
    out[..., _TARGETS] = channels[..., _SOURCES]


def collapse(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return channels ``(..., CHANNELS)`` of coefficients ``(..., COUNT)``, left-right means."""
    columns = [values[..., list(_targets(name))].mean(axis=-1) for name in CHANNELS]
    return np.stack(columns, axis=-1).astype(np.float32)


def _targets(name: str) -> tuple[int, ...]:
    if name in coefficients.INDEX:
        return (coefficients.INDEX[name],)
    return (coefficients.INDEX[name + "Left"], coefficients.INDEX[name + "Right"])


_SOURCES = np.array([i for i, name in enumerate(CHANNELS) for _ in _targets(name)])
_TARGETS = np.array([target for name in CHANNELS for target in _targets(name)])


def phone_classes(phones: Sequence[Phone], hops: int) -> NDArray[np.int64]:
    """Return the class index at the centre of every hop, ``(hops,)``."""
    out = np.zeros(hops, np.int64)
    for phone in phones:
        first = max(0, int(np.ceil(phone.start * RATE - 0.5)))
        last = min(hops, int(np.ceil(phone.end * RATE - 0.5)))
        out[first:last] = CLASS_INDEX[phone.name]
    return out


def build(
    phones: Sequence[Phone], hops: int, config: CurveConfig = DEFAULT
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Turn timed phones into curves.

    Args:
        phones: in order, without gaps that matter (silence is a phone).
        hops: length of the result at 100 Hz.
        config: constants of the opening.

    Returns:
        Channels ``(hops, len(CHANNELS))`` and bilabial closure ``(hops,)`` in [0, 1], float32.
    """
    times = (np.arange(hops) + 0.5) / RATE
    out = np.zeros((hops, len(CHANNELS)), np.float32)
    if not phones:
        return out, np.zeros(hops, np.float32)
    phones = _anticipate(phones)
    shape = np.array([_SHAPES[p.name] for p in phones])
    shape = shape * np.array([_effort(p, config.contrast) for p in phones])[:, None]
    shape[:, :3] *= np.array([config.jaw, config.lips, config.lips])
    alpha = np.array([_ALPHA[p.name] for p in phones])
    opening = _dominance(phones, times, config.lead, config.lag) * alpha[:, 0]
    rounding = _dominance(phones, times, lead=0.095, lag=0.075) * alpha[:, 1]
    opened = _blend(opening, shape[:, :3])
    rounded = _blend(rounding, shape[:, 3:])
    closed = _contact(phones, times, BILABIAL, rise=0.045, fall=0.040)
    tucked = _contact(phones, times, LABIODENTAL, rise=0.050, fall=0.045)
    for i, name in enumerate(_OPEN):
        out[:, CHANNEL[name]] = gaussian_filter1d(opened[:, i], config.smooth)
    for i, name in enumerate(_ROUND):
        out[:, CHANNEL[name]] = gaussian_filter1d(rounded[:, i], 2.0)
    out[:, CHANNEL["tongueOut"]] = 0.30 * _contact(phones, times, {"TH"}, 0.04, 0.04)
    out[:, CHANNEL["tongueOut"]] += 0.18 * _contact(phones, times, {"DH"}, 0.04, 0.04)
    out[:, CHANNEL["jawForward"]] = 0.16 * _contact(
        phones, times, {"SH", "ZH", "CH", "JH", "S", "Z"}, 0.05, 0.05
    )
    _tuck(out, tucked)
    _close(out, closed)
    return out, closed.astype(np.float32)


def _anticipate(phones: Sequence[Phone]) -> list[Phone]:
    """Let the mouth get ready before the voice: the phone after a silence begins earlier."""
    out = list(phones)
    for i in range(1, len(out)):
        before, phone = out[i - 1], out[i]
        if before.name != "SIL" or phone.name == "SIL" or phone.name in BILABIAL:
            continue
        early = min(_READY_S, 0.4 * (before.end - before.start))
        out[i - 1] = replace(before, end=before.end - early)
        out[i] = replace(phone, start=phone.start - early)
    return out


def _effort(phone: Phone, contrast: float) -> float:
    """Short vowels undershoot, long and stressed ones are held open."""
    if phone.name not in VOWELS:
        return 1.0
    duration = phone.end - phone.start
    effort = float(np.clip(0.70 + 2.6 * duration, 0.72, 1.12)) * (1.06 if phone.stress else 1.0)
    return 1.0 + contrast * (effort - 1.0)


def _dominance(
    phones: Sequence[Phone], times: NDArray[np.float64], lead: float, lag: float
) -> NDArray[np.float64]:
    """Return ``(hops, phones)`` of exp(-(dt / tau) ** 1.6), dt counted from the phone's core."""
    start = np.array([p.start for p in phones])
    end = np.array([p.end for p in phones])
    centre, half = (start + end) / 2, (end - start) / 2
    delta = times[:, None] - centre
    outside = np.maximum(0.0, np.abs(delta) - 0.35 * half)
    tau = np.where(delta < 0, lead, lag) * (0.75 + np.minimum(half, 0.12) / 0.12 * 0.35)
    dominance = np.exp(-((outside / tau) ** 1.6))
    # Far from every phone (a long silence) the nearest one still rules.
    return np.asarray(np.maximum(dominance, 1e-9 / (1e-3 + outside)))


def _blend(dominance: NDArray[np.float64], targets: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(dominance @ targets / dominance.sum(axis=1, keepdims=True))


def _contact(
    phones: Sequence[Phone],
    times: NDArray[np.float64],
    names: frozenset[str] | set[str],
    rise: float,
    fall: float,
) -> NDArray[np.float64]:
    """Return a 0-1 window per hop: up before the phone, held to 80 % of it, then released."""
    out = np.zeros_like(times)
    for phone in phones:
        if phone.name not in names:
            continue
        duration = phone.end - phone.start
        held_from = phone.start + min(0.25 * duration, 0.020)
        held_to = phone.end - min(0.25 * duration, 0.025)
        up = (times - (held_from - rise)) / rise
        down = ((held_to + fall) - times) / fall
        window = np.clip(np.minimum(up, down), 0.0, 1.0)
        np.maximum(out, 0.5 - 0.5 * np.cos(np.pi * window), out=out)
    return out


def _tuck(out: NDArray[np.float32], tucked: NDArray[np.float64]) -> None:
    """Lower lip under the upper teeth: rolled in, raised, upper lip lifted off it."""
    jaw = out[:, CHANNEL["jawOpen"]]
    out[:, CHANNEL["mouthLowerDown"]] *= 1.0 - tucked
    out[:, CHANNEL["mouthFunnel"]] *= 1.0 - 0.8 * tucked
    out[:, CHANNEL["mouthUpperUp"]] += 0.10 * tucked
    out[:, CHANNEL["mouthRollLower"]] = 0.55 * tucked
    out[:, CHANNEL["mouthClose"]] = 0.75 * tucked * jaw * (0.513 / 0.610)


def _close(out: NDArray[np.float32], closed: NDArray[np.float64]) -> None:
    """Bring the gap to zero in proportion to ``closed``, and press the lips a little."""
    out[:, CHANNEL["mouthRollLower"]] += 0.12 * closed
    out[:, CHANNEL["mouthRollUpper"]] += 0.12 * closed
    out[:, CHANNEL["mouthPress"]] += 0.25 * closed
    seal(out, closed.astype(np.float32))
