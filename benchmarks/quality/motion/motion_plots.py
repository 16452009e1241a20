"""The pictures of ``visavis bench quality motion``: small PNGs beside its JSON."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from visavis.benchmarks.common import BenchmarkError
from visavis.benchmarks.quality.motion import life
from visavis.benchmarks.quality.motion.life import LIFE_FPS
from visavis.models.motion.curves import RATE
from visavis.models.motion.features import SAMPLE_RATE
from visavis.models.motion.training import evaluate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = {"network": "#b5322b", "before": "#7a7a7a", "energy": "#d9a441"}
_DPI = 80
_PALETTE = 96  # colours; a plot needs no more, and the file stays small


def figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, Any]:
    """Return a figure without a display.

    Raises:
        BenchmarkError: matplotlib is missing.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BenchmarkError("Plots need matplotlib: pip install 'visavis[train]'.") from error
    made = Figure((width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(made)
    axes = made.subplots(rows, columns)
    for one in np.ravel(axes):
        one.spines[["top", "right"]].set_visible(False)
        one.tick_params(labelsize=8)
    return made, axes


def save(made: Figure, path: Path) -> None:
    """Write a small PNG."""
    raw = io.BytesIO()
    made.savefig(raw, format="png")
    picture = (
        Image.open(raw)
        .convert("RGB")
        .quantize(_PALETTE, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    )
    picture.save(path, optimize=True)


def draw_all(
    out: Path, result: Mapping[str, Any], more: Mapping[str, Any], facegood: Path | None
) -> None:
    """Draw everything a result has the material for."""
    if result.get("rows"):
        draw_rows(out / "motion_rows.png", result["rows"])
    draw_closures(out / "motion_closures.png", more["methods"], more["said"])
    draw_example(out / "motion_example.png", more["methods"], more["said"])
    if more["runs"]:
        draw_life(out / "motion_life.png", more["runs"])
    if facegood is not None:
        draw_capture(out / "motion_capture.png", more["methods"], facegood)


def draw_rows(path: Path, rows: Mapping[str, Any]) -> None:
    """Draw the four figures of every kind of speech for every method."""
    shown = (("closure_recall_5", "bilabials closed"), ("place_auc", "place AUC"),
             ("aperture_r", "aperture r"), ("rounding_d", "rounding d′"))  # fmt: skip
    made, axes = figure(11, 0.8 + 0.27 * len(rows), 1, len(shown))
    places = np.arange(len(rows))[::-1]
    for axis, (key, title) in zip(axes, shown, strict=True):
        for method, colour in _COLOURS.items():
            values = [r.get(method, {}).get(key, np.nan) for r in rows.values()]
            size = 42 if method == "network" else 22
            axis.scatter(values, places, s=size, c=colour, label=method, zorder=3)
        axis.set_title(title, fontsize=9)
        axis.set_yticks(places, list(rows) if axis is axes[0] else [""] * len(rows), fontsize=8)
        axis.grid(axis="x", alpha=0.3)
    axes[-1].legend(fontsize=8, frameon=False, loc="lower right")
    save(made, path)


def draw_closures(path: Path, methods: Any, said: Mapping[str, Any]) -> None:
    """Draw how narrow the lips become in bilabials, other stops and vowels."""
    names = [*methods.graphs, "energy"]
    made, axes = figure(10, 2.6, 1, len(names))
    edges = np.linspace(0, 0.7, 36)
    for axis, name in zip(np.ravel(axes), names, strict=True):
        tracks = methods.tracks(name, {n: r.pcm for n, r in said.items()})
        pooled: dict[str, list[float]] = {}
        for n, track in tracks.items():
            for key, scores in evaluate.token_scores(track, said[n].pcm, said[n].labels).items():
                pooled.setdefault(key, []).extend(scores)
        groups = (("vowel", "#5b8db8"), ("stop", "#999999"), ("bilabial", "#b5322b"))
        for key, colour in groups:
            values = np.clip(-np.asarray(pooled[key]), 0, 0.699)
            weight = np.full(len(values), 1 / max(1, len(values)))
            axis.hist(values, edges, weights=weight, histtype="step", color=colour, label=key, lw=2)
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("narrowest opening, units of jawOpen", fontsize=8)
        axis.set_ylim(0, 0.6)
    np.ravel(axes)[0].legend(fontsize=8, frameon=False)
    save(made, path)


def draw_example(path: Path, methods: Any, said: Mapping[str, Any]) -> None:
    """Draw sound, phones and opening of the recording with the most bilabials a second."""

    def lips(name: str) -> float:
        found = said[name]
        count = sum(p in evaluate.BILABIALS for *_, p in found.labels)
        return count / (1.0 + len(found.pcm) / SAMPLE_RATE)

    long = [n for n in said if 2.0 < len(said[n].pcm) / SAMPLE_RATE < 6.0] or list(said)
    name = max(long, key=lips)
    found = said[name]
    made, axis = figure(11, 3.0)
    draw_phones(axis, found.pcm, found.labels)
    times = np.arange(len(found.built.aperture)) / RATE
    axis.plot(times, found.built.aperture, color="#5b8db8", lw=1.2, label="built from the phones")
    for method in methods.graphs:
        track = methods.tracks(method, {name: found.pcm})[name]
        axis.plot(
            np.arange(len(track.aperture)) / RATE,
            track.aperture,
            color=_COLOURS[method],
            lw=1.8 if method == "network" else 1.0,
            label=f"{method}, from the sound",
        )
    axis.set_title(f"{name}: opening of the lips, units of jawOpen", fontsize=9)
    axis.legend(fontsize=8, frameon=False, loc="upper right", ncols=3)
    save(made, path)


def draw_phones(
    axis: Axes, pcm: NDArray[np.float32], labels: Sequence[tuple[float, float, str]]
) -> None:
    """Draw a waveform with its phones above, lip phones shaded."""
    seconds = len(pcm) / SAMPLE_RATE
    loud = pcm / (np.abs(pcm).max() + 1e-9)
    steps = loud[: len(loud) // 40 * 40].reshape(-1, 40)
    times = np.arange(len(steps)) * 40 / SAMPLE_RATE
    axis.fill_between(
        times, 0.15 * steps.min(1) - 0.2, 0.15 * steps.max(1) - 0.2, color="#c9d3dd", lw=0
    )
    for start, end, name in labels:
        if name in evaluate.BILABIALS:
            axis.axvspan(start, end, color="#b5322b", alpha=0.15, lw=0)
        elif name in evaluate.LABIODENTALS:
            axis.axvspan(start, end, color="#d9a441", alpha=0.2, lw=0)
        if name != "SIL":
            axis.text((start + end) / 2, 0.78, name, fontsize=7, ha="center")
    axis.set_xlim(0, seconds)
    axis.set_ylim(-0.38, 1.08)
    axis.set_xlabel("s", fontsize=8)


def draw_life(path: Path, runs: Mapping[str, Any]) -> None:
    """Draw the head's spectrum and ten seconds of its course for each kind of behaviour."""
    from visavis.models.coefficients import INDEX

    made, axes = figure(11, 3.2, 1, 2)
    colours = ("#b5322b", "#5b8db8", "#7a7a7a", "#d9a441", "#4a8f5c", "#8f5ca3")
    series = [(f"{k}, {w}", v) for k, by in runs.items() for w, v in by.items()]
    for (title, values), colour in zip(series, colours, strict=False):
        hertz, power = life.head_spectrum(values, LIFE_FPS)
        seen = (hertz > 0.1) & (hertz < 10)
        axes[0].loglog(hertz[seen], power[seen], color=colour, label=title, lw=1.4)
    axes[0].axvline(2.5, color="#999999", lw=0.8, ls=":")
    axes[0].set_title("power of the head's rotation, degrees² / Hz (dotted: 2.5 Hz)", fontsize=9)
    axes[0].legend(fontsize=7, frameon=False)
    for (title, values), colour in zip(series, colours, strict=False):
        if not title.endswith("talking"):
            continue
        part = values[20 * LIFE_FPS : 32 * LIFE_FPS]
        times = np.arange(len(part)) / LIFE_FPS
        for name, style in (("headPitch", "-"), ("headYaw", "--")):
            axes[1].plot(
                times, np.degrees(part[:, INDEX[name]]), style, color=colour, lw=1.3,
                label=f"{title.split(',')[0]}, {name}",
            )  # fmt: skip
    axes[1].set_title("twelve seconds while talking, degrees", fontsize=9)
    axes[1].legend(fontsize=7, frameon=False)
    save(made, path)


def draw_capture(path: Path, methods: Any, folder: Path) -> None:
    """Draw ten seconds of captured jaw of the held-out take against the predicted one."""
    from visavis.models.motion.training.capture import HELD_OUT, read_take

    take = read_take(folder, HELD_OUT[0])
    part = slice(20 * RATE, 30 * RATE)
    made, axis = figure(11, 2.6)
    times = np.arange(10 * RATE) / RATE
    axis.plot(times, take.channels[part, 0], color="#5b8db8", lw=1.6, label="captured")
    for method in (*methods.graphs, "energy"):
        jaw = methods.tracks(method, {take.name: take.pcm})[take.name].jaw
        width = 1.6 if method == "network" else 0.9
        axis.plot(times, jaw[part], color=_COLOURS[method], lw=width, label=method)
    axis.set_title(f"{take.name}: jawOpen, ten seconds of Mandarin nobody trained on", fontsize=9)
    axis.set_ylim(top=0.85)
    axis.legend(fontsize=8, frameon=False, ncols=4)
    save(made, path)
