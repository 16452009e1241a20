"""Captured performance as training curves: FACEGOOD's Voice2Face takes (MIT licence).

One Mandarin speaker, 116 channels at 30 fps beside 16 kHz sound. Most channels are zero
throughout: brows, cheeks, lids and head were not captured, contact of the lips hardly. What can
be used is listed in ``TO_ARKIT``; only the jaw is dense enough to train on (the lip channels come
from a sparse solver: zero in eight to nine frames of ten), so the others serve to compare with.

The takes' sound leads their pictures by 20 to 60 ms, differently in each, which no articulation
explains. ``Captured`` takes that out: after it, jaw and loudness are in step, as they are in
readers on video.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, find_peaks, sosfiltfilt

from visavis.models.motion.curves import CHANNEL, CHANNELS, CurveConfig, build
from visavis.models.motion.features import SAMPLE_RATE, RawFeatures
from visavis.models.motion.phones import Phone
from visavis.models.motion.training.batches import Arrays
from visavis.models.motion.training.evaluate import correlation_and_lag, envelope

# ARKit coefficient: FACEGOOD channels whose mean it is. After the names of both vocabularies and
# the pictures of FACEGOOD's rig; `mouth_stretch_c` is FACS AU27 (mouth stretch), the jaw's drop.
TO_ARKIT: dict[str, tuple[str, ...]] = {
    "jawOpen": ("mouth_stretch_c",),
    "jawForward": ("jaw_thrust_c",),
    "mouthPucker": ("mouth_pucker_l", "mouth_pucker_r"),
    "mouthFunnel": (
        "mouth_funnel_dl", "mouth_funnel_dr", "mouth_funnel_ul", "mouth_funnel_ur",
    ),
    "mouthLowerDown": ("mouth_lowerLipDepress_l", "mouth_lowerLipDepress_r"),
    "mouthUpperUp": ("mouth_upperLipRaise_l", "mouth_upperLipRaise_r"),
    "mouthStretch": ("mouth_lipStretch_l", "mouth_lipStretch_r"),
    "mouthSmile": ("mouth_lipCornerPull_l", "mouth_lipCornerPull_r"),
    "mouthPress": ("mouth_press_l", "mouth_press_r"),
    "mouthRollLower": ("mouth_suck_dl", "mouth_suck_dr"),
    "mouthRollUpper": ("mouth_suck_ul", "mouth_suck_ur"),
    "mouthShrugUpper": ("mouth_chinRaise_u",),
}  # fmt: skip
TRAINED = ("jawOpen",)
HELD_OUT = ("take_2_05",)
FITTED_ON = ("take_2_01", "take_2_02", "take_2_03", "take_2_04")
_RATE = 100


@dataclass(frozen=True)
class Take:
    """One captured take at 100 Hz.

    Attributes:
        name: of the files.
        pcm: 16 kHz mono float32.
        channels: ``(hops, len(CHANNELS))`` in step with the sound.
        lag_ms: how much later the capture was than its sound before it was shifted.
    """

    name: str
    pcm: NDArray[np.float32]
    channels: NDArray[np.float32]
    lag_ms: float


def read_take(folder: Path, name: str) -> Take:
    """Read sound and curves of one take and bring them into step.

    Raises:
        FileNotFoundError: the folder does not hold the take.
    """
    shapes, sound = folder / f"{name}_blendshapes.npz", folder / f"{name}.flac"
    for path in (shapes, sound):
        if not path.is_file():
            raise FileNotFoundError(f"The captured take {path} does not exist.")
    with np.load(shapes, allow_pickle=False) as data:
        names = [str(n) for n in data["names"]]
        values, fps = data["values"].astype(np.float64), float(data["fps"])
    pcm = _decode(sound)
    hops = min(len(pcm) // (SAMPLE_RATE // _RATE), int(len(values) / fps * _RATE))
    times, frames = (np.arange(hops) + 0.5) / _RATE, (np.arange(len(values)) + 0.5) / fps
    jaw = np.interp(times, frames, values[:, names.index("mouth_stretch_c")])
    lag = sound_lag(jaw, pcm)
    channels = np.zeros((hops, len(CHANNELS)), np.float32)
    for arkit, sources in TO_ARKIT.items():
        curve = values[:, [names.index(s) for s in sources]].mean(axis=1)
        channels[:, CHANNEL[arkit]] = np.interp(times + lag / _RATE, frames, curve)
    return Take(name, pcm[: hops * SAMPLE_RATE // _RATE], channels, 1000.0 * lag / _RATE)


def sound_lag(jaw: NDArray[np.floating], pcm: NDArray[np.float32]) -> int:
    """Return by how many hops a jaw follows the loudness of its sound (1.2-8 Hz)."""
    loud = np.sqrt(envelope(pcm))[: len(jaw)]
    band = butter(2, [1.2, 8.0], "band", fs=_RATE, output="sos")
    speaking = _speaking(jaw)
    moved, heard = (sosfiltfilt(band, x) * speaking for x in (jaw[: len(loud)], loud))
    return correlation_and_lag(moved, heard)[2]


def _speaking(jaw: NDArray[np.floating]) -> NDArray[np.bool_]:
    return np.asarray(gaussian_filter1d((np.asarray(jaw) > 0.03).astype(float), 12) > 0.4)


def _decode(path: Path) -> NDArray[np.float32]:
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
    pieces: list[NDArray[np.float32]] = []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            pieces += [r.to_ndarray().reshape(-1) for r in resampler.resample(frame)]
        pieces += [r.to_ndarray().reshape(-1) for r in resampler.resample(None)]
    return np.concatenate(pieces).astype(np.float32)


class Captured:
    """Crops of the captured takes as training rows.

    Args:
        folder: of the takes.
        names: which to use; the held-out one is not among them by default.
    """

    def __init__(self, folder: Path, names: Sequence[str] = FITTED_ON) -> None:
        takes = [read_take(folder, name) for name in names]
        features = RawFeatures()
        self._raw = [features.whole(t.pcm)[: len(t.channels)] for t in takes]
        self._channels = [t.channels[: len(r)] for t, r in zip(takes, self._raw, strict=True)]
        self.known = np.array([float(n in TRAINED) for n in CHANNELS], np.float32)

    def batch(self, rng: np.random.Generator, count: int, hops: int) -> Arrays:
        """Return ``count`` random crops of ``hops``: ``raw`` and ``channels``."""
        raw, channels = [], []
        for _ in range(count):
            i = int(rng.integers(len(self._raw)))
            at = int(rng.integers(0, len(self._raw[i]) - hops))
            raw.append(self._raw[i][at : at + hops])
            channels.append(self._channels[i][at : at + hops])
        return {"raw": np.stack(raw), "channels": np.stack(channels)}


def shape_of(jaw: NDArray[np.floating]) -> dict[str, float]:
    """Return amplitude and smoothness of a jaw at 100 Hz while it speaks."""
    moving = np.asarray(jaw)[_speaking(jaw)]
    speed = np.diff(jaw) * _RATE
    peaks, _ = find_peaks(jaw, prominence=0.06)
    return {
        "p50": float(np.median(moving)),
        "p95": float(np.percentile(moving, 95)),
        "opening_p99": float(np.percentile(speed, 99)),
        "closing_p99": float(-np.percentile(speed, 1)),
        "peaks_per_s": len(peaks) / max(len(moving) / _RATE, 1.0),
    }


def compare(
    takes: Sequence[tuple[Take, list[Phone]]], config: CurveConfig
) -> tuple[float, dict[str, float], dict[str, float]]:
    """Return (r of the 1.2-8 Hz band, shape of the generator's jaw, shape of the captured)."""
    band = butter(2, [1.2, 8.0], "band", fs=_RATE, output="sos")
    found, ours, theirs = [], [], []
    for take, phones in takes:
        jaw = take.channels[:, CHANNEL["jawOpen"]]
        built = build(phones, len(jaw), config)[0][:, CHANNEL["jawOpen"]]
        speaking = _speaking(jaw)
        a, b = (sosfiltfilt(band, x) * speaking for x in (built, jaw))
        found.append(correlation_and_lag(a, b)[1])
        ours.append(shape_of(built))
        theirs.append(shape_of(jaw))
    mean: Callable[[list[dict[str, float]]], dict[str, float]] = lambda rows: {  # noqa: E731
        k: float(np.mean([r[k] for r in rows])) for k in rows[0]
    }
    return float(np.mean(found)), mean(ours), mean(theirs)


_GRID: dict[str, tuple[float, ...]] = {
    "lead": (0.045, 0.055, 0.065, 0.075),
    "lag": (0.040, 0.050, 0.060),
    "smooth": (1.0, 1.5, 2.0, 2.5),
    "contrast": (0.25, 0.5, 1.0),
    "jaw": (0.75, 0.80, 0.85, 0.90, 0.95, 1.0),
}


def fit(takes: Sequence[tuple[Take, list[Phone]]], rounds: int = 2) -> CurveConfig:
    """Search the generator's constants, one after the other, against captured jaws.

    The measure is ``1 - r`` plus a quarter of the absolute log ratio of every figure of
    ``shape_of``: correlation alone would take any amplitude.
    """
    best = CurveConfig()

    def cost(config: CurveConfig) -> float:
        r, ours, theirs = compare(takes, config)
        shape = [abs(np.log(ours[k] / theirs[k])) for k in ours]
        return 1.0 - r + 0.25 * float(np.sum(shape))

    for _ in range(rounds):
        for name, values in _GRID.items():
            tried = [replace(best, **{name: v}) for v in values]
            best = min(tried, key=cost)
    return best
