"""``visavis train painting``: mouths of portraits, teacher, student, graph, figures."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import torch

from visavis.models.appearance.painting.training.crops import Set, load
from visavis.models.appearance.painting.training.evaluate import compare_steps, judge
from visavis.models.appearance.painting.training.export import export
from visavis.models.appearance.painting.training.flow import (
    Draw,
    Plan,
    chord_loss,
    flow_loss,
    train,
    trajectories,
)
from visavis.models.appearance.painting.training.mouths import open_mouths, save
from visavis.models.appearance.painting.training.network import PaintNetwork

STAGES = ("mouths", "teacher", "student", "export", "evaluate")
_FLOW_EVERY, _FLOW_BATCH = 2, 8  # the student stays on the flow itself with small batches


def _teacher(data: Set, out: Path, steps: int, batch: int) -> PaintNetwork:
    torch.manual_seed(0)
    draw = Draw(data, batch, 1)
    return train(
        PaintNetwork(), Plan(steps, batch), out / "teacher.pt",
        lambda network, _: flow_loss(network, draw(), draw.random),
    )  # fmt: skip


def averaged(path: Path) -> PaintNetwork:
    """Read the averaged network of a stage's checkpoint."""
    network = PaintNetwork()
    network.load_state_dict(torch.load(path, weights_only=True)["average"])
    return network.eval()


def _student(data: Set, out: Path, steps: int, batch: int, paths: int) -> PaintNetwork:
    teacher = averaged(out / "teacher.pt").to(memory_format=torch.channels_last)
    known = trajectories(teacher, Draw(data, batch, 2), paths)
    draw, calls = Draw(data, _FLOW_BATCH, 3), iter(range(steps + 1))

    def loss(network: PaintNetwork, average: PaintNetwork) -> torch.Tensor:
        rows = torch.randint(len(known.states), (batch,), generator=draw.random)
        total = chord_loss(network, average, known.take(rows), draw.random)
        if next(calls) % _FLOW_EVERY == 0:
            total = total + flow_loss(network, draw(), draw.random)
        return total

    plan = Plan(steps, batch, rate=5e-4, decay=0.995)
    return train(averaged(out / "teacher.pt").train(), plan, out / "student.pt", loss)


def main(arguments: list[str] | None = None) -> None:
    """Run the stages that are asked for, in their order."""
    parser = argparse.ArgumentParser(prog="visavis train painting", description=__doc__)
    parser.add_argument(
        "--faces", type=Path, required=True, help="folder with train/ and landmarks"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of mouths and checkpoints")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    parser.add_argument("--steps", type=int, default=6000, help="of the teacher")
    parser.add_argument("--student-steps", type=int, default=1200)
    parser.add_argument("--paths", type=int, default=2400, help="trajectories of the teacher")
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--limit", type=int, default=0, help="mouths to prepare; 0: all")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(chosen.threads)
    torch.set_flush_denormal(True)
    out: Path = chosen.out
    out.mkdir(parents=True, exist_ok=True)
    if "mouths" in chosen.stages:
        found = []
        for mouth in open_mouths(chosen.faces):
            found.append(mouth)
            if len(found) == chosen.limit:
                break
        save(found, out / "mouths.npz")
    data = load(out / "mouths.npz")
    if "teacher" in chosen.stages:
        _teacher(data, out, chosen.steps, chosen.batch)
    if "student" in chosen.stages:
        _student(data, out, chosen.student_steps, chosen.batch, chosen.paths)
    if "export" in chosen.stages:
        export(averaged(out / "student.pt"), data, out / "mouth.onnx")
    if "evaluate" in chosen.stages:
        compare_steps(averaged(out / "teacher.pt"), averaged(out / "student.pt"), data, out)
        judge(chosen.faces, data, out / "mouth.onnx", out)


if __name__ == "__main__":
    main()
