"""``visavis bench quality motion``: the motion predictor on real and on held-out speech.

``visavis bench quality motion --asterisk DIR --facegood DIR -o DIR`` writes
``quality_motion.json``, ``quality_motion.md`` and plots. ``--asterisk`` and ``--speech`` name
folders of recordings with a ``phones.json`` (``{name: [[start, end, ARPAbet]]}``), or with a
``.txt`` of the words beside each, which are then aligned (pocketsphinx). ``--against`` names
earlier weights for the same table. Real speakers of other languages are measured where Debian's
``asterisk-core-sounds-{en,es,fr,it,ru}`` with their ``-g722`` packages are installed; the English
ones that are not in ``--asterisk`` are a row on which nothing was chosen.

Every row is measured for the network, for those earlier weights, and for a jaw that follows
loudness; a figure that the last one reaches proves nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.benchmarks.common import BenchmarkError, write_json
from visavis.benchmarks.quality.motion import foreign, life, probe, speech
from visavis.benchmarks.quality.motion.life import LIFE_FPS
from visavis.benchmarks.quality.motion.motion_cost import costs, streams
from visavis.benchmarks.quality.motion.motion_table import markdown
from visavis.benchmarks.quality.motion.speech import Recording, Recordings
from visavis.engines.onnx_engine import OnnxEngine
from visavis.models.motion.curves import RATE
from visavis.models.motion.layout import LOOK_AHEADS_MS, NetConfig
from visavis.models.motion.stream import MOTION_GRAPH, MotionStream
from visavis.models.motion.training import evaluate
from visavis.models.motion.training.evaluate import Track

CONDITIONS = ("clean", "noise10", "room", "telephone", "quiet", "short", "long", "whisper")
NAMES = {
    "clean": "real voice",
    "noise10": "noise at 10 dB",
    "room": "room, 0.5 s",
    "telephone": "telephone band",
    "quiet": "20 dB quieter",
    "short": "formants × 1.22",
    "long": "formants × 0.84",
    "whisper": "whispered",
}
CHILD_FACTOR = 1.22  # of pitch and formants, and so of the pace
SEEDS = 4
_LIFE_S = 240.0
Figures = dict[str, float]


@dataclass(frozen=True)
class Methods:
    """What is compared: graphs by name; the loudness baseline is always there."""

    graphs: Mapping[str, OnnxEngine]
    look_ahead_ms: int = 80

    def tracks(self, name: str, heard: Mapping[str, NDArray[np.float32]]) -> dict[str, Track]:
        """Run one method over recordings."""
        if name == "energy":
            return {n: evaluate.energy_jaw(pcm) for n, pcm in heard.items()}
        graph = self.graphs[name]
        config = sizes_of(graph)
        return {
            n: evaluate.predict(graph, pcm, self.look_ahead_ms, config) for n, pcm in heard.items()
        }


def sizes_of(graph: OnnxEngine) -> NetConfig:
    """Return the sizes of a motion graph, which an earlier one may not share."""
    layers, hidden = graph.input_shapes["hidden"][1:]
    kept, width = graph.input_shapes["conv2"][1:]
    assert layers and hidden and kept and width, "only batch and hops are free in a motion graph"
    return NetConfig(width=width, kernel=kept + 1, hidden=hidden, layers=layers)


def row(
    methods: Methods, said: Recordings, heard: Mapping[str, NDArray[np.float32]] | None = None
) -> dict[str, Figures]:
    """Measure one row for every method.

    Args:
        methods: what to measure.
        said: the recordings.
        heard: what the methods get to hear instead, disturbed.
    """
    heard = {n: r.pcm for n, r in said.items()} if heard is None else heard
    out = {}
    for name in (*methods.graphs, "energy"):
        tracks = methods.tracks(name, heard)
        out[name] = figures(said, tracks)
    return out


def figures(said: Recordings, tracks: Mapping[str, Track]) -> Figures:
    """Return everything that is measured on one method's lips."""
    sounds = {n: r.pcm for n, r in said.items()}
    built = {n: r.built for n, r in said.items()}
    out = evaluate.summarise(tracks, sounds, {n: r.labels for n, r in said.items()}, built)
    curves = [t.jaw[:, None] if t.channels is None else t.channels for t in tracks.values()]
    truth = [probe.visemes(said[n].labels, len(t.jaw)) for n, t in tracks.items()]
    out["viseme_accuracy"] = probe.accuracy(curves, truth)
    onsets = [evaluate.mouth_onset(t, said[n].pcm) for n, t in tracks.items()]
    known = [1000 * o for o in onsets if o is not None]
    out["onset_ms_p50"] = float(np.median(known)) if known else float("nan")
    out["onset_ms_p90"] = float(np.percentile(known, 90)) if known else float("nan")
    jaws = [evaluate.resampled(t.jaw, 30.0) for t in tracks.values()]
    out["jerk"] = evaluate.jerk(np.concatenate(jaws), 30.0)
    return out


def real_rows(methods: Methods, said: Recordings, name: str) -> dict[str, dict[str, Figures]]:
    """Measure one folder of real speech under every condition."""
    rows = {}
    for condition in CONDITIONS:
        rng = np.random.default_rng(3)
        heard = {n: evaluate.disturbed(r.pcm, condition, rng) for n, r in said.items()}
        rows[f"{name}: {NAMES[condition]}"] = row(methods, said, heard)
        _tell(f"{name}, {condition}")
    clean = methods.tracks("network", {n: r.pcm for n, r in said.items()})
    soft = methods.tracks("network", {n: r.pcm * np.float32(0.1) for n, r in said.items()})
    apart = [np.abs(clean[n].aperture - soft[n].aperture).mean() for n in said]
    rows[f"{name}: {NAMES['quiet']}"]["network"]["apart_from_clean"] = float(np.mean(apart))
    child = {n: speech.faster(r, CHILD_FACTOR) for n, r in said.items()}
    rows[f"{name}: child-like (pitch, formants and pace × {CHILD_FACTOR})"] = row(methods, child)
    return rows


def other_rows(methods: Methods) -> dict[str, dict[str, Figures]]:
    """Measure voices that synthesisers speak and training never heard."""
    rows = {}
    sets = {"male voice (festival ked, held out)": speech.held_out_male()}
    for name in speech.LANGUAGES:
        sets[f"{name} (espeak-ng, held-out variants)"] = speech.language(name)
    for name, said in sets.items():
        if said:
            rows[name] = row(methods, said)
            _tell(name)
    return rows


def foreign_rows(
    methods: Methods, sounds: Path, known: Recordings
) -> tuple[dict[str, dict[str, Figures]], dict[str, Any]]:
    """Measure real speakers of other languages, whose phones are timed by warping.

    Args:
        methods: what to measure.
        sounds: folder of the telephone prompts.
        known: English prompts with known times, to tell what the warping costs; may be empty.

    Returns:
        The rows, and what is known about the times.
    """
    rows: dict[str, dict[str, Figures]] = {}
    about: dict[str, Any] = {}
    for name in foreign.LANGUAGES:
        said = foreign.language(name, sounds)
        if not said:
            package = foreign.LANGUAGES[name].package
            _tell(f"{name}, real speaker: skipped, {package} and -g722 are not installed")
            continue
        rows[f"{name} (real speaker, times by warping)"] = row(methods, said)
        _tell(f"{name}, real speaker")
    blind = foreign.unseen(known, sounds) if known else {}
    if blind:
        rows["asterisk: other prompts, on which nothing was chosen"] = row(methods, blind)
    warped = foreign.english(known) if known else {}
    if warped:
        about = {"errors_ms": foreign.errors_ms(warped, known)}
        same = {n: known[n] for n in warped}
        rows["English, the same prompts, times by warping"] = row(methods, warped)
        rows["English, the same prompts, times as aligned"] = row(methods, same)
    return rows, about


def look_ahead_rows(methods: Methods, said: Recordings) -> dict[str, Figures]:
    """Measure every look-ahead of the network on clean real speech."""
    rows = {}
    for ms in LOOK_AHEADS_MS:
        one = Methods({"network": methods.graphs["network"]}, ms)
        tracks = one.tracks("network", {n: r.pcm for n, r in said.items()})
        rows[f"{ms} ms"] = figures(said, tracks)
    return rows


def no_voice(methods: Methods) -> dict[str, dict[str, Figures]]:
    """Return the aperture at sounds without a voice, after the first 0.3 s."""
    rows: dict[str, dict[str, Figures]] = {}
    for name, sound in evaluate.non_speech().items():
        rows[name] = {}
        for method in (*methods.graphs, "energy"):
            opened = methods.tracks(method, {name: sound})[name].aperture[30:]
            rows[name][method] = {
                "p50": float(np.median(opened)),
                "p95": float(np.percentile(opened, 95)),
                "max": float(opened.max()),
            }
    return rows


def capture_rows(methods: Methods, folder: Path) -> dict[str, dict[str, Figures]]:
    """Compare jaws with captured ones: takes of FACEGOOD, brought into step with their sound.

    Raises:
        BenchmarkError: the folder holds no takes.
    """
    from visavis.models.motion.training.capture import HELD_OUT, TO_ARKIT, read_take

    names = [p.name.removesuffix("_blendshapes.npz") for p in folder.glob("*_blendshapes.npz")]
    if not names:
        raise BenchmarkError(f"{folder} holds no captured takes (*_blendshapes.npz).")
    rows: dict[str, dict[str, Figures]] = {}
    for name in sorted(names):
        take = read_take(folder, name)
        with np.load(folder / f"{name}_blendshapes.npz", allow_pickle=False) as data:
            column = [str(n) for n in data["names"]].index(TO_ARKIT["jawOpen"][0])
            captured, fps = data["values"][:, column].astype(float), float(data["fps"])
        late = round(take.lag_ms / 1000 * RATE)  # of the capture against its own sound
        title = f"{name}{' (held out)' if name in HELD_OUT else ''}"
        rows[title] = {}
        for method in (*methods.graphs, "energy"):
            jaw = methods.tracks(method, {name: take.pcm})[name].jaw
            rows[title][method] = evaluate.against_capture(np.roll(jaw, late), captured, fps)
    return rows


def life_rows(stream: Any, said: Recordings) -> tuple[dict[str, Any], dict[str, Any]]:
    """Measure head, blinks and gaze while talking, at rest and while listening.

    Args:
        stream: makes a ``MotionStream`` of keyword arguments.
        said: speech; all of it in a row, with short pauses, up to four minutes.

    Returns:
        The figures, and the coefficients of the first run by situation, for plots.
    """
    talk = _in_a_row(said)
    quiet = np.zeros_like(talk)
    fps = LIFE_FPS
    runs = {
        "talking": stream(fps=fps, seed=1).push(talk),
        "listening": stream(fps=fps, seed=1).push(quiet, heard=talk),
        "silent room": stream(fps=fps, seed=1).push(quiet),
    }
    out: dict[str, Any] = {}
    for name, values in runs.items():
        out[name] = {
            "head": life.head(values, fps),
            "blinks": life.blinks(values, fps),
            "gaze": life.gaze(values, fps),
        }
    loud = np.sqrt(evaluate.envelope(talk))
    loud = loud.reshape(-1, RATE // fps).mean(axis=1)
    out["talking"]["stress_r"] = life.stress_follow(runs["talking"], loud, fps)
    short = talk[: 40 * MotionStream.SAMPLE_RATE]
    out["diversity"] = life.diversity([stream(fps=25, seed=s).push(short) for s in range(SEEDS)])
    return out, runs


def _in_a_row(said: Recordings) -> NDArray[np.float32]:
    rate = MotionStream.SAMPLE_RATE
    pause = np.zeros(int(0.35 * rate), np.float32)
    joined = np.concatenate([p for r in said.values() for p in (r.pcm, pause)])
    most = int(min(_LIFE_S * rate, len(joined)))
    return joined[: most - most % rate]


def renew_cost(path: Path, graph: Path) -> None:
    """Measure the cost again, on a quiet machine, into an existing result.

    Raises:
        BenchmarkError: there is no such result.
    """
    if not path.is_file():
        raise BenchmarkError(f"There is no result {path}.")
    result = json.loads(path.read_text("utf-8"))
    result["cost_ms_per_40_ms"] = costs(OnnxEngine(graph))
    result.pop("cost_measured", None)
    result["summary"] = summary(result)
    path.write_text(json.dumps(_rounded(result), indent=2, ensure_ascii=False) + "\n", "utf-8")


def measure(args: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the whole result, and what the plots need beside it."""
    graphs: dict[str, OnnxEngine] = {"network": OnnxEngine(args.graph)}
    if args.against is not None:
        graphs["before"] = OnnxEngine(args.against)
    methods = Methods(graphs, args.look_ahead_ms)
    result: dict[str, Any] = {"benchmark": "quality motion", "look_ahead_ms": args.look_ahead_ms}
    folders = [("asterisk", args.asterisk)] if args.asterisk else []
    folders += [(p.name, p) for p in args.speech]
    rows: dict[str, Any] = {}
    first: Recordings = {}
    for name, path in folders:
        said = speech.folder(path, args.limit)
        first = first or said
        rows |= real_rows(methods, said, name)
    if not args.quick:
        rows |= other_rows(methods)
        more, about = foreign_rows(methods, args.prompts, first)
        rows |= more
        if about:
            result["warping"] = about
    result["rows"] = rows
    if first:
        result["look_ahead"] = look_ahead_rows(methods, first)
    result["no_voice"] = no_voice(methods)
    if args.facegood is not None:
        result["capture"] = capture_rows(methods, args.facegood)
        _tell("captured takes")
    made = streams(graphs["network"])
    runs: dict[str, Any] = {}
    said = first or ({} if args.quick else speech.held_out_male(20))
    if said:
        result["life"] = {}
        for name, stream in made.items():
            result["life"][name], runs[name] = life_rows(stream, said)
            _tell(f"head, blinks and gaze, {name}")
    if not args.no_cost:
        result["cost_ms_per_40_ms"] = costs(graphs["network"])
    return result, {"methods": methods, "said": first, "runs": runs}


def main(argv: list[str] | None = None) -> int:
    """Measure from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="bench quality motion", description=__doc__)
    parser.add_argument("--asterisk", type=Path, help="aligned prompts of a real voice")
    parser.add_argument("--speech", type=Path, action="append", default=[], help="more of them")
    parser.add_argument("--facegood", type=Path, help="captured takes")
    parser.add_argument(
        "--prompts",
        type=Path,
        default=foreign.SOUNDS,
        help="folder of Debian's asterisk-core-sounds-es|fr|it|ru-g722: real speakers",
    )
    parser.add_argument("--graph", type=Path, default=MOTION_GRAPH)
    parser.add_argument("--against", type=Path, help="an earlier motion.onnx")
    parser.add_argument("--look-ahead-ms", type=int, default=80, choices=LOOK_AHEADS_MS)
    parser.add_argument("--limit", type=int, help="first N recordings of a folder only")
    parser.add_argument("--quick", action="store_true", help="leave out synthetic voices")
    parser.add_argument("--no-cost", action="store_true", help="take no times")
    parser.add_argument(
        "--ablation", type=Path, help="JSON of visavis.benchmarks.quality.motion.ablation"
    )
    parser.add_argument("--renew-cost", type=Path, help="only measure times, into this result")
    parser.add_argument("-o", "--output", type=Path, help="folder to write into")
    args = parser.parse_args(argv)
    if args.output is None and args.renew_cost is None:
        parser.error("-o names the folder to write into.")
    try:
        if args.renew_cost is not None:
            renew_cost(args.renew_cost, args.graph)
            return 0
        result, more = measure(args)
    except BenchmarkError as error:
        sys.stderr.write(f"visavis bench: {error}\n")
        return 1
    if args.ablation is not None:
        result["ablation"] = json.loads(args.ablation.read_text("utf-8"))
    args.output.mkdir(parents=True, exist_ok=True)
    result["summary"] = summary(result)
    result = _rounded(result)
    write_json(args.output / "quality_motion.json", result)
    text = markdown(result)
    (args.output / "quality_motion.md").write_text(text + "\n", "utf-8")
    sys.stdout.write(text + "\n")
    if more["said"]:
        from visavis.benchmarks.quality.motion.motion_plots import draw_all

        draw_all(args.output, result, more, args.facegood)
    return 0


def summary(result: dict[str, Any]) -> Figures:
    """Return the few figures that stand for all, flat, for the README's table."""
    rows, out = result.get("rows", {}), {}
    real = next((n.removesuffix(f": {NAMES['clean']}") for n in rows if NAMES["clean"] in n), None)
    if real is not None:
        for short, condition in (("real", "clean"), ("noise", "noise10"), ("room", "room")):
            for key in ("closure_recall_5", "place_auc", "aperture_r", "aperture_lag_ms",
                        "rounding_d", "viseme_accuracy"):  # fmt: skip
                out[f"{short}_{key}"] = rows[f"{real}: {NAMES[condition]}"]["network"][key]
        out["energy_place_auc"] = rows[f"{real}: {NAMES['clean']}"]["energy"]["place_auc"]
        ours = [r["network"] for r in rows.values()]
        out["worst_place_auc"] = min(r["place_auc"] for r in ours)
        out["worst_closure_recall_5"] = min(r["closure_recall_5"] for r in ours)
    silent = result["no_voice"]
    out["silence"] = silent["silence"]["network"]["p95"]
    out["no_voice"] = max(r["network"]["p95"] for r in silent.values())
    if "cost_ms_per_40_ms" in result:
        cost = result["cost_ms_per_40_ms"]
        out["cost_ms"] = cost["predictor, batch 1"]["p50"]
        out["stream_ms"] = next(v["p50"] for k, v in cost.items() if k.startswith("whole stream"))
    return out


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def _tell(what: str) -> None:
    sys.stderr.write(f"measured: {what}\n")


__all__ = ["Methods", "Recording", "figures", "main", "measure", "row"]

if __name__ == "__main__":
    sys.exit(main())
