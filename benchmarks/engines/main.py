"""``visavis bench engines``: what a step of each shipped graph costs, by engine and batch size.

Beside each figure stands the floor: the graph's multiplications at the most the device does, which
for a CPU is measured and for a GPU is its data sheet's.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from visavis.benchmarks.common import percentiles, write_json
from visavis.benchmarks.engines.floor import Peak, cpu_peak, gpu_peak, work_at
from visavis.engines import select
from visavis.engines.base import Engine, EngineError
from visavis.engines.check import check_engine
from visavis.engines.examine import load_engine, precision_on, shipped, title
from visavis.engines.gpu import find_gpu
from visavis.engines.graphs.export import BUCKETS, read, signature_of
from visavis.engines.graphs.samples import DIMS, Samples, ranges_of
from visavis.engines.onnx_engine import OnnxEngine

_WARM_STEPS = 10
_MOST_STEPS = 2000


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="visavis bench engines", description=__doc__)
    parser.add_argument("--engine", action="append", choices=select.CHOICES[1:])
    parser.add_argument("--graph", action="append", type=Path, help="an .onnx; all that ship")
    parser.add_argument("--batch", action="append", type=int, help=f"default {BUCKETS}")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each batch size")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    parser.add_argument("--peak-tflops", type=float, help="of a GPU that is not in the table")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(arguments)
    engines = args.engine or [p.name for p in select.providers() if p.available and p.automatic]
    result: dict[str, Any] = {"benchmark": "engines", "threads": args.threads, "graphs": {}}
    peaks = {name: _peak(name, args.threads, args.peak_tflops) for name in engines}
    result["peaks"] = {name: peak.source if peak else None for name, peak in peaks.items()}
    try:
        for graph in args.graph or shipped():
            result["graphs"][title(graph)] = {
                name: _measure(graph, name, args.batch or BUCKETS, peaks[name], args)
                for name in engines
            }
    except EngineError as error:
        sys.stderr.write(f"visavis bench: {error}\n")
        return 1
    if args.json is not None:
        sys.stdout.write(table(result))
    write_json(args.json, result)
    return 0


def _peak(name: str, threads: int, tflops: float | None) -> Peak | None:
    if name == "cpu":
        return cpu_peak(threads)
    try:
        return gpu_peak(find_gpu(), tflops)
    except EngineError:  # torch on the CPU
        return cpu_peak(threads)


def _measure(
    graph: Path, name: str, batches: tuple[int, ...], peak: Peak | None, args: argparse.Namespace
) -> dict[str, Any]:
    """Load an engine, compare it with the CPU, and time every batch size."""
    reference = OnnxEngine(graph, threads=args.threads)
    engine = load_engine(graph, name, reference, args.threads)
    precision = precision_on(graph, name)
    found: dict[str, Any] = {"provider": engine.provider, "precision": precision}
    try:
        parity = check_engine(graph, engine, reference, precision=precision)
        found["parity"] = {"rms": parity.rms, "peak": parity.peak}
        found["batches"] = {
            str(batch): _time(engine, graph, batch, peak, args.seconds) for batch in batches
        }
    finally:
        engine.close()
    return found


def _time(
    engine: Engine, graph: Path, batch: int, peak: Peak | None, seconds: float
) -> dict[str, Any]:
    model = read(graph)
    work = work_at(model, DIMS, batch)
    inputs = next(iter(Samples(signature_of(model), batch, ranges=ranges_of(graph))))
    for _ in range(_WARM_STEPS):
        engine.run(inputs)
    spent: list[float] = []
    end = time.perf_counter() + seconds
    for _ in itertools.takewhile(lambda _: time.perf_counter() < end, range(_MOST_STEPS)):
        began = time.perf_counter()
        engine.run(inputs)
        spent.append(1000 * (time.perf_counter() - began))
    result: dict[str, Any] = {
        "step_ms": percentiles(spent, digits=3),
        "slot_ms_p50": round(float(np.median(spent)) / batch, 3),
        "mmacs": round(work.macs / 1e6, 2),
    }
    if peak is not None:
        result["floor_ms"] = round(work.floor_ms(peak), 4)
    return result


def table(result: dict[str, Any]) -> str:
    """Return the result as a Markdown table."""
    lines = [
        "| graph | engine | batch | p50 ms | p95 ms | p99 ms | per slot | floor ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for graph, engines in result["graphs"].items():
        for engine, found in engines.items():
            for batch, cost in found["batches"].items():
                step = cost["step_ms"]
                lines.append(
                    f"| {graph} | {engine} {found['precision']} | {batch} | {step['p50']} | "
                    f"{step['p95']} | {step['p99']} | {cost['slot_ms_p50']} | "
                    f"{cost.get('floor_ms', '')} |"
                )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
