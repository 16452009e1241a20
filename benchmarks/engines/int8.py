"""``visavis bench engines int8``: what int8 saves and loses, calibrated on what graphs really see.

Motion hears speech; the refiner's inputs are frames of enrolled photos that speak the same words.
The first half calibrates, the second half is compared with the float graph.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from visavis.benchmarks.common import astronaut_jpeg, percentiles, write_json
from visavis.benchmarks.latency.sound import synthetic_speech
from visavis.engines.base import Engine, EngineError
from visavis.engines.examine import shipped, title
from visavis.engines.export import BATCH, prepare, read
from visavis.engines.onnx_engine import OnnxEngine
from visavis.engines.quantise import (
    Batch,
    Quantised,
    RecordingEngine,
    quantise_static,
    quantise_where_safe,
)
from visavis.engines.samples import DIMS
from visavis.models.motion.stream import MotionStream, load_motion_engine_path

_SIZE = 512
_SPEECH_S = 8
_BATCHES = 64  # kept of each graph; half of them calibrate


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="visavis bench engines int8", description=__doc__)
    parser.add_argument("--photo", action="append", type=Path, help="of people to enrol")
    parser.add_argument("--least-db", type=float, default=40.0, help="nodes below stay in float")
    parser.add_argument("--seconds", type=float, default=1.0, help="of timing")
    parser.add_argument("--output", type=Path, help="folder for the int8 graphs")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    photos = [p.read_bytes() for p in args.photo or []] or [astronaut_jpeg()]
    result: dict[str, Any] = {"benchmark": "engines int8", "least_db": args.least_db, "graphs": {}}
    with tempfile.TemporaryDirectory(prefix="visavis-int8-") as scratch:
        folder = args.output or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for graph, batches in recorded(photos).items():
            result["graphs"][title(graph)] = measure(
                graph, batches, folder, least_db=args.least_db, seconds=args.seconds
            )
    write_json(args.json, result)
    return 0


def recorded(photos: Sequence[bytes]) -> dict[Path, list[Batch]]:
    """Return what the motion graph and the refiner, where one ships, see in use."""
    motion = load_motion_engine_path()
    ears = RecordingEngine(OnnxEngine(motion), most=_BATCHES, stride=3)
    voice = np.asarray(synthetic_speech(_SPEECH_S), np.float32)
    frames = MotionStream(ears).push(voice)
    found = {motion: ears.batches}
    for graph in shipped():
        if graph.parent.name == "renderer":
            found[graph] = _seen(graph, photos, frames)
    return found


def _seen(graph: Path, photos: Sequence[bytes], frames: np.ndarray) -> list[Batch]:
    """Return the refiner's inputs while every photo speaks."""
    from visavis.models.appearance.identity import Identity
    from visavis.models.renderer.renderer import Renderer
    from visavis.models.renderer.training.relight.runtime import MouthRefiner
    from visavis.streamer.avatars.enrolment import enrol_photo_sync

    batches: list[Batch] = []
    for photo in photos:
        with tempfile.TemporaryDirectory(prefix="visavis-int8-") as folder:
            bundle = Path(folder) / "identity.vav"
            enrol_photo_sync(photo, bundle, size=_SIZE, timeout_s=120.0)
            identity = Identity.load(bundle)
        eyes = RecordingEngine(OnnxEngine(graph), most=max(2, _BATCHES // len(photos)), stride=2)
        renderer = Renderer(identity, size=_SIZE, refiner=MouthRefiner(eyes))
        for coefficients in frames:
            renderer.render(coefficients)
        batches += eyes.batches
    return batches


def measure(
    graph: Path, batches: Sequence[Batch], folder: Path, *, least_db: float, seconds: float
) -> dict[str, Any]:
    """Quantise a graph and compare size, time and results with the float graph."""
    if len(batches) < 2:
        return {"refused": "The graph was not used, so there is nothing to calibrate on."}
    # A recurrence has no int8 kernel; written as products it has.
    plain = folder / f"{graph.stem}.float.onnx"
    plain.write_bytes(prepare(read(graph), {**DIMS, BATCH: 1}).SerializeToString())
    out = folder / f"{graph.stem}.int8.onnx"
    half = len(batches) // 2
    found: dict[str, Any] = {
        "float_ms": _time(OnnxEngine(graph), batches, seconds),
        "float_bytes": graph.stat().st_size,
    }
    whole = quantise_static(plain, batches[:half], out, check=batches[half:])
    found["throughout"] = {
        "int8_ms": _time(OnnxEngine(out), batches, seconds),
        "psnr_db": _rounded(whole),
    }
    try:
        made = quantise_where_safe(
            plain, batches[:half], out, check=batches[half:], least_db=least_db
        )
    except EngineError as error:
        return {**found, "refused": str(error)}
    return {
        **found,
        "int8_ms": _time(OnnxEngine(out), batches, seconds),
        "int8_bytes": made.size,
        "psnr_db": _rounded(made),
        "in_float": list(made.excluded),
    }


def _rounded(made: Quantised) -> dict[str, float]:
    return {name: round(value, 1) for name, value in made.psnr_db.items()}


def _time(engine: Engine, batches: Sequence[Batch], seconds: float) -> dict[str, Any]:
    engine.run(batches[0])
    spent: list[float] = []
    end = time.perf_counter() + seconds
    while not spent or time.perf_counter() < end:
        batch = batches[len(spent) % len(batches)]
        began = time.perf_counter()
        engine.run(batch)
        spent.append(1000 * (time.perf_counter() - began))
    engine.close()
    return percentiles(spent, digits=3)


if __name__ == "__main__":
    sys.exit(main())
