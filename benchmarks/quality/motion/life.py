"""What is measured on everything but the lips: head, blinks, gaze, and how seeds differ.

Pure functions of coefficients ``(frames, COUNT)``. Published ranges: head sigma 0.3-1.5 degrees
reading aloud and 3-5 in free talk, power below 2.5 Hz; blinks 17 a minute at rest and 26 in
conversation, closing in about 90 ms and opening in 240 (Bentivoglio et al. 1997, Trutoiu et al.
2011); gaze held 3.1 s and averted 0.93 s while talking, 7.9 and 0.43 s while listening (Lee,
Badler and Badler 2002).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label
from scipy.signal import butter, find_peaks, sosfiltfilt, welch

from visavis.models.coefficients import INDEX

Values = NDArray[np.float32]
LIFE_FPS = 50  # of the curves that a life is measured on
_DEGREES = 180.0 / np.pi
_HEAD = ("headPitch", "headYaw", "headRoll")
_AVERTED_DEGREES = 2.5  # beyond glances between the viewer's eyes and mouth
_GLANCE_S = 0.12
_LID_SHUT = 0.5
_NOD_DEGREES = 0.7
_LIPS = ("jawOpen", "mouthClose", "mouthFunnel", "mouthPucker")


def head(values: Values, fps: int) -> dict[str, float]:
    """Return amplitude and spectrum of the head's rotation, in degrees and Hz."""
    turned = values[:, [INDEX[n] for n in _HEAD]] * _DEGREES
    out = {
        f"sigma_{n.removeprefix('head').lower()}": float(turned[:, i].std())
        for i, n in enumerate(_HEAD)
    }
    hertz, power = welch(turned, fps, nperseg=min(len(turned), 8 * fps), axis=0)
    power = power.sum(axis=1)
    moving = hertz > 0.1  # posture drifts slower than that
    total = power[moving].sum() + 1e-12
    share = np.cumsum(power[moving]) / total
    out["power_below_2_5_hz"] = float(power[moving & (hertz <= 2.5)].sum() / total)
    out["half_power_hz"] = float(hertz[moving][np.searchsorted(share, 0.5)])
    speed = np.linalg.norm(np.diff(turned, axis=0), axis=1) * fps
    out["speed_p95_degrees_s"] = float(np.percentile(speed, 95))
    out["nods_per_minute"] = nods_per_minute(values, fps)
    return out


def head_spectrum(values: Values, fps: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (Hz, degrees^2 / Hz) of pitch, yaw and roll together."""
    turned = values[:, [INDEX[n] for n in _HEAD]] * _DEGREES
    hertz, power = welch(turned, fps, nperseg=min(len(turned), 8 * fps), axis=0)
    return hertz, power.sum(axis=1)


def nods_per_minute(values: Values, fps: int) -> float:
    """Count downward strokes of the head of at least 0.7 degrees between 0.5 and 4 Hz."""
    if len(values) < 3 * fps:
        return float("nan")
    band = butter(2, [0.5, min(4.0, 0.45 * fps)], "band", fs=fps, output="sos")
    pitch = sosfiltfilt(band, values[:, INDEX["headPitch"]] * _DEGREES)
    peaks, _ = find_peaks(pitch, prominence=_NOD_DEGREES)
    return float(60.0 * len(peaks) * fps / len(values))


def blinks(values: Values, fps: int) -> dict[str, float]:
    """Return blinks a minute and how long a lid takes down and up (10 to 90 % and back)."""
    lid = np.asarray(values[:, INDEX["eyeBlinkLeft"]], float)
    shut, count = label(lid > _LID_SHUT)
    down, up = [], []
    for k in range(1, count + 1):
        inside = np.flatnonzero(shut == k)
        peak = inside[0] + int(lid[inside].argmax())
        before = lid[max(0, peak - fps // 2) : peak + 1][::-1]
        after = lid[peak : peak + fps]
        down.append(_crossing(before, fps))
        up.append(_crossing(after, fps))
    return {
        "per_minute": float(60.0 * count * fps / len(lid)),
        "down_ms": float(1000 * np.median(down)) if down else float("nan"),
        "up_ms": float(1000 * np.median(up)) if up else float("nan"),
    }


def _crossing(side: NDArray[np.float64], fps: int) -> float:
    """Return the seconds from a lid's peak until it is within a tenth of its open place."""
    low = side.min() + 0.1 * (side[0] - side.min())
    return float(np.flatnonzero(side <= low)[0]) / fps


def gaze(values: Values, fps: int) -> dict[str, float]:
    """Return how long the line of sight rests on the viewer and away, in seconds, and how far."""
    yaw = (values[:, INDEX["gazeYaw"]] + values[:, INDEX["headYaw"]]) * _DEGREES
    pitch = (values[:, INDEX["gazePitch"]] + values[:, INDEX["headPitch"]]) * _DEGREES
    size = np.hypot(yaw - np.median(yaw), pitch - np.median(pitch))
    away = _without_short(size > _AVERTED_DEGREES, max(1, round(_GLANCE_S * fps)))
    holds = [len(r) / fps for r in _runs(~away)]
    averts = [len(r) / fps for r in _runs(away)]
    return {
        "hold_s": float(np.mean(holds)) if holds else float("nan"),
        "avert_s": float(np.mean(averts)) if averts else float("nan"),
        "avert_degrees_p90": float(np.percentile(size[away], 90)) if away.any() else 0.0,
        "averted_share": float(away.mean()),
    }


def _runs(mask: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    numbered, count = label(mask)
    return [np.flatnonzero(numbered == k) for k in range(1, count + 1)]


def _without_short(mask: NDArray[np.bool_], least: int) -> NDArray[np.bool_]:
    out = mask.copy()
    for run in _runs(mask):
        if len(run) < least:
            out[run] = False
    return out


def diversity(runs: Sequence[Values]) -> dict[str, float]:
    """Compare runs of the same sound with different seeds.

    Returns:
        ``head_degrees``: root mean square distance of two runs' heads; ``head_r``: correlation of
        their pitch and yaw; ``lips``: largest difference of a lip coefficient (0: the sound alone
        decides); ``brows``: root mean square distance of the brows.
    """
    pairs = [(a, b) for i, a in enumerate(runs) for b in runs[i + 1 :]]
    turned = [INDEX[n] for n in _HEAD]
    brows = [i for n, i in INDEX.items() if n.startswith("brow")]
    lips = [INDEX[n] for n in _LIPS]
    far, alike, raised, moved = [], [], [], []
    for a, b in pairs:
        far.append(np.sqrt(np.mean((a[:, turned] - b[:, turned]) ** 2)) * _DEGREES)
        raised.append(np.sqrt(np.mean((a[:, brows] - b[:, brows]) ** 2)))
        moved.append(np.abs(a[:, lips] - b[:, lips]).max())
        alike += [np.corrcoef(a[:, i], b[:, i])[0, 1] for i in turned[:2]]
    return {
        "head_degrees": float(np.mean(far)),
        "head_r": float(np.mean(alike)),
        "lips": float(np.max(moved)),
        "brows": float(np.mean(raised)),
    }


def stress_follow(values: Values, loudness: NDArray[np.floating], fps: int) -> float:
    """Return the best correlation of head pitch (0.5-4 Hz) with loudness within half a second."""
    band = butter(2, [0.5, min(4.0, 0.45 * fps)], "band", fs=fps, output="sos")
    count = min(len(values), len(loudness))
    pitch = sosfiltfilt(band, values[:count, INDEX["headPitch"]])
    loud = sosfiltfilt(band, np.asarray(loudness[:count], float))
    reach = fps // 2
    best = 0.0
    for lag in range(reach + 1):
        r = np.corrcoef(pitch[lag:], loud[: count - lag])[0, 1]
        best = max(best, float(r))
    return best
