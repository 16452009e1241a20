"""PNG pictures of results.

Drawn with matplotlib, which the extra `bench` brings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from visavis.benchmarks.figures.tables import NAMES

_DPI = 110
_COLOURS = ("#1f6f8b", "#c8553d", "#588157", "#7b5ea7", "#b08900", "#555555")


def draw(result: dict[str, Any], folder: Path) -> list[Path]:
    """Draw what a result has to show; returns the files."""
    import matplotlib

    matplotlib.use("Agg")
    makers = {
        "latency": _latency,
        "network": _network,
        "soak": _soak,
        "capacity": _capacity,
    }
    folder.mkdir(parents=True, exist_ok=True)
    name = str(result.get("benchmark", ""))
    if name not in makers:
        return []
    figure = makers[name](result)
    path = folder / f"{name}.png"
    figure.savefig(path, dpi=_DPI)
    import matplotlib.pyplot as plt

    plt.close(figure)
    return [path]


def _axes(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained")
    for axis in np.ravel(axes):
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _title(result: dict[str, Any]) -> str:
    settings = result.get("settings", {})
    parts = [str(settings.get("server", "")), f"{settings['size']}²" if "size" in settings else ""]
    return " · ".join(p for p in (str(result["benchmark"]), *parts) if p)


def _latency(result: dict[str, Any]) -> Any:
    figure, axes = _axes(2, 2, (12, 8))
    figure.suptitle(_title(result))
    samples, at = result["samples"], result["at_s"]
    shown = [
        k for k in ("mouth_to_lip_ms", "mic_to_sound_ms", "barge_in_ms", "stop_to_still_ms")
        if len(samples.get(k, [])) > 1
    ]  # fmt: skip
    for key, colour in zip(shown, _COLOURS, strict=False):
        values = np.sort(samples[key])
        label = f"{NAMES[key]} (n = {len(values)})"
        axes[0, 0].step(
            values, np.arange(1, len(values) + 1) / len(values), color=colour, label=label,
            where="post",
        )  # fmt: skip
    axes[0, 0].set(xlabel="ms", ylabel="share of readings", title="at most", ylim=(0, 1.02))
    axes[0, 0].legend(fontsize=8, loc="lower right")
    for key, colour in zip(("mouth_to_lip_ms", "mic_to_sound_ms"), _COLOURS, strict=False):
        if samples.get(key):
            axes[0, 1].hist(
                samples[key], bins=np.arange(0, max(samples[key]) + 15, 10), color=colour,
                alpha=0.6, label=NAMES[key],
            )  # fmt: skip
            axes[1, 0].plot(at[key], samples[key], ".", color=colour, label=NAMES[key], ms=4)
    axes[0, 1].set(xlabel="ms", ylabel="clicks", title="spread, 10 ms bins")
    axes[1, 0].plot(at["av_skew_ms"], samples["av_skew_ms"], ".", color=_COLOURS[2], ms=4,
                    label=NAMES["av_skew_ms"])  # fmt: skip
    axes[1, 0].set(xlabel="seconds into the call", ylabel="ms", title="over the call")
    for axis in (axes[0, 1], axes[1, 0]):
        axis.legend(fontsize=8)
    _stage_bars(axes[1, 1], result)
    return figure


def _stage_bars(axis: Any, result: dict[str, Any]) -> None:
    stages = {k: v for k, v in result.get("stages_ms", {}).items() if v["n"]}
    viewer = result.get("viewer_stages_ms", {})
    names = [*stages, *viewer]
    if not names:
        axis.text(0.5, 0.5, "the server shows no stages", ha="center", transform=axis.transAxes)
        return
    p50 = [stages[k]["p50"] if k in stages else viewer[k] for k in names]
    p95 = [stages[k]["p95"] if k in stages else viewer[k] for k in names]
    places = np.arange(len(names))
    axis.barh(places, p95, color="#cfd8dc", label="p95 at the server")
    axis.barh(places, p50, color=_COLOURS[0], label="p50 at the server, mean at the viewer")
    axis.set_yticks(places, [n.replace("_", " ") for n in names], fontsize=8)
    axis.invert_yaxis()
    axis.set(xlabel="ms", title="stages")
    axis.legend(fontsize=8)


def _network(result: dict[str, Any]) -> Any:
    figure, axis = _axes(1, 1, (11, 4.5))
    samples, (start, end) = result["samples"], result["bad_s"]
    settings = result["settings"]
    trouble = f"{100 * settings['loss']:.0f} % loss, 0-{settings['jitter_ms']:.0f} ms jitter"
    axis.axvspan(start, end, color=_COLOURS[1], alpha=0.12, label=trouble)
    axis.plot(samples["at_s"], samples["lateness_ms"], ".", ms=2.5, color=_COLOURS[0])
    axis.axhline(0, color="#555555", lw=0.8)
    recovery = result["recovery_ms"]
    words = "pictures never as timely as before" if recovery is None else (
        f"as timely as before after {recovery / 1000:.1f} s"
    )  # fmt: skip
    axis.set(
        xlabel="seconds into the call",
        ylabel="ms later than before",
        title=f"{_title(result)}: {words}",
    )
    axis.legend(fontsize=9)
    return figure


def _soak(result: dict[str, Any]) -> Any:
    figure, axes = _axes(3, 1, (11, 8))
    figure.suptitle(f"{_title(result)}: {result['connects']} connects, {result['killed']} killed")
    samples = result["samples"]
    axes[0].plot(samples["rss_mb"], color=_COLOURS[0])
    axes[0].set(ylabel="resident MB", xlabel="connects", ylim=(0, 1.15 * max(samples["rss_mb"])))
    axes[1].plot(samples["files"], color=_COLOURS[2])
    axes[1].set(ylabel="open files", xlabel="connects", ylim=(0, 1.3 * max(samples["files"])))
    for axis in axes[:2]:
        axis.xaxis.get_major_locator().set_params(integer=True)
    axes[2].plot(samples["skew_at_s"], samples["skew_ms"], ".", ms=3, color=_COLOURS[1])
    drift = result.get("av_drift_ms_per_hour")
    words = (
        "" if drift is None
        else f"{drift['value']:+.1f} ms/h ({drift['low']:+.1f} to {drift['high']:+.1f})"
    )  # fmt: skip
    axes[2].set(ylabel="picture after sound, ms", xlabel="seconds", title=words)
    return figure


def _capacity(result: dict[str, Any]) -> Any:
    figure, axis = _axes(1, 1, (8, 4.5))
    sizes = [k for k in result if k.startswith("sessions_")]
    for key, colour in zip(sizes, _COLOURS, strict=False):
        steps = [s for s in result[key]["steps"] if "p99_lateness_ms_of_the_worst" in s]
        counts = [s["sessions"] for s in steps]
        late = [s["p99_lateness_ms_of_the_worst"] for s in steps]
        axis.plot(counts, late, "-", color=colour, label=f"{key.removeprefix('sessions_')}²")
        for step, x, y in zip(steps, counts, late, strict=True):
            axis.plot(x, y, "o" if step["held"] else "x", color=colour)
    axis.axhline(40, color="#555555", lw=0.8, ls="--", label="one frame")
    axis.set(xlabel="sessions (x: not held)", ylabel="p99 lateness of the worst, ms")
    axis.set_title(_title(result))
    axis.set_ylim(bottom=0)
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.legend()
    return figure
