"""Lips against speech: ``python -m benchmarks.quality.motion --speech DIR --json OUT``.

``DIR`` holds recordings (FLAC or WAV) and ``phones.json``: ``{name: [[start, end, ARPAbet]]}``.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from engines.onnx_engine import OnnxEngine
from models.motion import evaluate
from models.motion.layout import LOOK_AHEADS_MS
from models.motion.predictor import MotionPredictor
from models.motion.stream import MOTION_GRAPH

CONDITIONS = ("clean", "noise10", "room", "telephone", "quiet", "short", "long", "whisper")


def read_sound(path: Path) -> NDArray[np.float32]:
    """Decode any audio file to mono 16 kHz samples in [-1, 1]."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=16000)
    pieces: list[NDArray[np.float32]] = []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            pieces += [r.to_ndarray().reshape(-1) for r in resampler.resample(frame)]
        pieces += [r.to_ndarray().reshape(-1) for r in resampler.resample(None)]
    return np.concatenate(pieces).astype(np.float32)


def milliseconds_per_step(engine: OnnxEngine, batch: int, rounds: int = 200) -> float:
    """Return the median time of one 40 ms step, front end included."""
    predictor = MotionPredictor(engine)
    state = predictor.init_state(batch)
    pcm = np.random.default_rng(0).standard_normal((batch, 640)).astype(np.float32) * 0.05
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        predictor.step(pcm, state)
        times.append(time.perf_counter() - began)
    return 1000.0 * float(np.median(times))


def measure(graph: Path, speech: Path, limit: int | None = None) -> dict[str, dict[str, float]]:
    """Return the whole table: rows by method and condition."""
    labels = json.loads((speech / "phones.json").read_text())
    names = sorted(labels)[:limit]
    files = {n: next(p for p in speech.iterdir() if p.stem == n) for n in names}
    sounds = {n: read_sound(p) for n, p in files.items()}
    labels = {n: labels[n] for n in names}
    engine = OnnxEngine(graph)
    rows: dict[str, dict[str, float]] = {}
    rows["energy jaw, clean"] = evaluate.summarise(
        {n: evaluate.energy_jaw(s) for n, s in sounds.items()}, sounds, labels
    )
    for condition in CONDITIONS:
        rng = np.random.default_rng(3)
        heard = {n: evaluate.disturbed(s, condition, rng) for n, s in sounds.items()}
        tracks = {n: evaluate.predict(engine, h) for n, h in heard.items()}
        rows[f"80 ms, {condition}"] = evaluate.summarise(tracks, sounds, labels)
    for look_ahead in LOOK_AHEADS_MS:
        if look_ahead != 80:
            tracks = {n: evaluate.predict(engine, s, look_ahead) for n, s in sounds.items()}
            rows[f"{look_ahead} ms, clean"] = evaluate.summarise(tracks, sounds, labels)
    quiet = {}
    for name, sound in evaluate.non_speech().items():
        opened = evaluate.predict(engine, sound).aperture[30:]
        quiet[f"{name}_max"] = float(opened.max())
        quiet[f"{name}_p95"] = float(np.percentile(opened, 95))
    rows["no voice (aperture)"] = quiet
    rows["cost (ms per 40 ms)"] = {
        f"batch {b}": milliseconds_per_step(engine, b) for b in (1, 4, 16)
    }
    return rows


def capture_rows(engine: OnnxEngine, folder: Path) -> dict[str, dict[str, float]]:
    """Compare jaws with captured ones: ``*_blendshapes.npz`` beside FLAC files (FACEGOOD)."""
    rows: dict[str, dict[str, float]] = {}
    for shapes in sorted(folder.glob("*_blendshapes.npz")):
        name = shapes.name.removesuffix("_blendshapes.npz")
        with np.load(shapes, allow_pickle=False) as data:
            names = [str(n) for n in data["names"]]
            captured = data["values"][:, names.index("mouth_stretch_c")].astype(float)
            fps = float(data["fps"])
        sound = read_sound(folder / f"{name}.flac")
        jaw = evaluate.predict(engine, sound).jaw
        rows[f"{name}, network"] = evaluate.against_capture(jaw, captured, fps)
        energy = evaluate.energy_jaw(sound).jaw
        rows[f"{name}, energy"] = evaluate.against_capture(energy, captured, fps)
    return rows


def main(argv: list[str] | None = None) -> int:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description="Measure the motion predictor on real speech.")
    parser.add_argument("--speech", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--graph", type=Path, default=MOTION_GRAPH)
    parser.add_argument("--captured", type=Path, help="folder of captured takes (FACEGOOD)")
    parser.add_argument("--limit", type=int, default=None, help="first N recordings only")
    args = parser.parse_args(argv)
    rows = measure(args.graph, args.speech, args.limit)
    if args.captured is not None:
        rows |= capture_rows(OnnxEngine(args.graph), args.captured)
    args.json.write_text(json.dumps(rows, indent=1) + "\n")
    shown = (
        "closure_recall_5", "closure_recall_5_hops", "place_auc", "aperture_r",
        "aperture_r_speaking", "aperture_lag_ms", "envelope_r", "envelope_lag_ms",
        "amplitude_ratio", "rounding_d", "aperture_p95",
    )  # fmt: skip
    print(f"{'':24s}" + " ".join(f"{s[-12:]:>12s}" for s in shown))
    for name, row in rows.items():
        if shown[0] in row:
            print(f"{name:24s}" + " ".join(f"{row[s]:12.3f}" for s in shown))
        else:
            print(name, {k: round(v, 3) for k, v in row.items()})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
