"""``visavis bench quality renderer``: what the refiner makes of held-out people and portraits.

Every arm sees the same crops with the same noise: the raw warp, the shade, the untrained network,
the plain regression, the student at one, two and four steps, and the teacher at twelve. Intervals
are 95 % bootstraps over people. ``visavis bench quality people`` has whole frames, and figures by
group.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.benchmarks.quality.pictures import interval, ms_ssim, psnr, sharpness, ssim
from visavis.models.renderer.relight.crop import GATE, INSIDE, WARPED, Crop, pack
from visavis.models.renderer.relight.light import MouthLight
from visavis.models.renderer.relight.lighting import AsResidual
from visavis.models.renderer.relight.shade import MouthShade
from visavis.models.renderer.training.relight.bridge import TEACHER_STEPS
from visavis.models.renderer.training.relight.pairs import read_pairs
from visavis.models.renderer.training.relight.runtime import Graph, walk

Floats = NDArray[np.float32]
_BATCH = 16
MEASURES: dict[str, Callable[..., float]] = {"psnr": psnr, "ssim": ssim, "ms_ssim": ms_ssim}


@dataclass(frozen=True)
class Arm:
    """One way to refine.

    Attributes:
        graph: the network; None is the raw warp.
        steps: of the bridge.
        noise: whether it starts with the bridge's noise.
        teacher: it is never told how long a step is.
    """

    graph: Graph | None
    steps: int = 1
    noise: bool = False
    teacher: bool = False


class Untold:
    """A teacher's graph: the length of the step reads 0."""

    def __init__(self, graph: Graph) -> None:
        """Wrap a graph."""
        self._graph = graph

    def run(self, inputs):  # noqa: D102
        x = inputs["x"].copy()
        x[:, -1:] = 0.0
        return self._graph.run({"x": x})


def inputs_of(pairs: dict[str, NDArray], rows: NDArray[np.int64]) -> Floats:
    """Return the network's inputs of some pairs."""
    return np.stack([
        pack(
            Crop(
                pairs["warped"][r], pairs["photo"][r], pairs["interior"][r],
                pairs["shift"][r].astype(np.float32), pairs["inside"][r],
            )
        )
        for r in rows
    ])  # fmt: skip


def draw(arm: Arm, x: Floats) -> Floats:
    """Return pictures ``(B, SIDE, SIDE, 3)`` in 0-255, rounded as a frame is."""
    if arm.graph is None:
        picture = x[:, WARPED]
    else:
        graph = Untold(arm.graph) if arm.teacher else arm.graph
        picture = walk(graph, x, arm.steps, noise=arm.noise)
    return np.rint(np.clip((picture + 1) * 127.5, 0, 255)).transpose(0, 2, 3, 1)


def measure(arms: dict[str, Arm], pairs: dict[str, NDArray]) -> dict[str, dict[str, NDArray]]:
    """Return every measure of every arm per pair."""
    found: dict[str, dict[str, list[float]]] = {}
    for low in range(0, len(pairs["person"]), _BATCH):
        rows = np.arange(low, min(low + _BATCH, len(pairs["person"])))
        x = inputs_of(pairs, rows)
        pictures = {name: draw(arm, x) for name, arm in arms.items()}
        for place, row in enumerate(rows):
            truth, gate = pairs["target"][row], x[place, GATE][0]
            # The region is wider than what the network may touch: lips and the skin around.
            inside = x[place, INSIDE][0]
            teacher = pictures.get("teacher-12")
            for name, picture in pictures.items():
                values = found.setdefault(name, {})
                for key, of in MEASURES.items():
                    values.setdefault(f"mouth_{key}", []).append(of(picture[place], truth, gate))
                values.setdefault("inside_psnr", []).append(psnr(picture[place], truth, inside))
                rim = gate * (1 - inside)
                values.setdefault("rim_psnr", []).append(psnr(picture[place], truth, rim))
                whole = np.ones_like(gate)
                values.setdefault("crop_psnr", []).append(psnr(picture[place], truth, whole))
                ratio = sharpness(picture[place], gate) / max(sharpness(truth, gate), 1e-6)
                values.setdefault("sharpness", []).append(ratio)
                if teacher is not None:
                    error = np.abs(picture[place] - teacher[place]).mean(2)
                    values.setdefault("from_teacher", []).append(
                        float((error * gate).sum() / max(float(gate.sum()), 1e-6))
                    )
    return {n: {k: np.array(v) for k, v in values.items()} for n, values in found.items()}


def summarise(
    found: dict[str, dict[str, NDArray]], people: NDArray[np.int64]
) -> dict[str, dict[str, tuple[float, float, float]]]:
    """Return mean and interval of every measure, and of the gain over the warp."""
    table = {}
    for name, values in found.items():
        row = {key: interval(v, people) for key, v in values.items()}
        for other in ("warp", "regression"):
            if other in found and name != other:
                gain = values["mouth_psnr"] - found[other]["mouth_psnr"]
                row[f"gain_over_{other}_db"] = interval(gain, people)
        table[name] = row
    return table


def distillation(table: dict[str, dict[str, tuple[float, float, float]]]) -> dict[str, bool]:
    """Apply the tests that a distilled student must pass and an untrained one must fail."""

    def of(name: str, key: str) -> float:
        return table[name][key][0]

    verdict = {}
    for student in ("student", "untrained"):
        names = [f"{student}-{k}" for k in (1, 2, 4)]
        if "teacher-12" not in table or any(n not in table for n in names):
            continue
        near = all(of(n, "mouth_psnr") >= of("teacher-12", "mouth_psnr") - 0.3 for n in names)
        errors = [of(n, "from_teacher") for n in names]
        falls = errors[0] >= errors[1] - 0.02 and errors[1] >= errors[2] - 0.02
        gains = of(names[0], "gain_over_warp_db") > 0
        verdict[f"{student}: within 0.3 dB of the teacher"] = near
        verdict[f"{student}: error against the teacher falls with steps"] = falls
        verdict[f"{student}: better than the warp"] = gains
    return verdict


def arms_of(folder: Path, load: Callable[[Path], Graph]) -> dict[str, Arm]:
    """Return the arms whose graphs are in a folder; what is no bridge is a plain regression."""
    arms: dict[str, Arm] = {"warp": Arm(None)}
    for path in sorted(folder.glob("*.onnx")):
        name, graph = path.stem, load(path)
        if name.startswith("shade"):
            arms[name] = Arm(AsResidual(MouthShade(graph)))
        elif name.startswith("light"):
            arms[name] = Arm(AsResidual(MouthLight(graph)))
        elif name not in ("untrained", "student", "teacher"):
            arms[name] = Arm(graph)
        elif name == "teacher":
            arms[f"teacher-{TEACHER_STEPS}"] = Arm(graph, TEACHER_STEPS, True, True)
        else:
            arms |= {f"{name}-{k}": Arm(graph, k, True) for k in (1, 2, 4)}
    return arms


def show(table: dict[str, dict[str, tuple[float, float, float]]]) -> str:
    """Return the table as text."""
    keys = ("mouth_psnr", "inside_psnr", "rim_psnr", "mouth_ssim", "mouth_ms_ssim", "sharpness",
            "gain_over_warp_db", "gain_over_regression_db", "from_teacher")  # fmt: skip
    lines = ["arm           " + "".join(f"{k:>26}" for k in keys)]
    for name, row in table.items():
        cells = [
            f"{row[k][0]:8.3f} [{row[k][1]:7.3f},{row[k][2]:7.3f}]" if k in row else ""
            for k in keys
        ]
        lines.append(f"{name:<14}" + "".join(f"{c:>26}" for c in cells))
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Measure; returns the exit code."""
    parser = argparse.ArgumentParser(prog="visavis bench quality renderer", description=__doc__)
    parser.add_argument("--pairs", type=Path, nargs="+", required=True, help="folders of pairs")
    parser.add_argument("--graphs", type=Path, required=True, help="folder of the arms' graphs")
    parser.add_argument("--limit", type=int, default=512)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    from visavis.engines import select

    arms = arms_of(args.graphs, lambda path: select.load(path, "cpu"))
    report = {}
    for folder in args.pairs:
        pairs = read_pairs(folder.glob("*.npz"))
        rows = np.flatnonzero(pairs["person"] < 0)
        if not len(rows):
            print(f"{folder.name}: nothing is held out there.")
            continue
        rows = rows[:: max(1, len(rows) // args.limit)][: args.limit]
        chosen = {name: a[rows] for name, a in pairs.items()}
        people = chosen["person"]
        table = summarise(measure(arms, chosen), people)
        print(f"{folder.name}: {len(rows)} frames of {len(np.unique(people))} held-out people")
        print(show(table))
        verdict = distillation(table)
        for sentence, passed in verdict.items():
            print(f"  {'yes' if passed else 'NO '}  {sentence}")
        report[folder.name] = {"table": table, "tests": verdict, "frames": len(rows)}
    if args.json:
        args.json.write_text(json.dumps(report, indent=1))
    return 0 if report else 1
