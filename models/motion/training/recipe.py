"""The trainings that the shipped weights went through, in order, as one command.

``visavis train motion --recipe --corpus DIR --out DIR --facegood DIR`` runs them; every stage has
a folder of its own under ``--out`` and goes on from its checkpoint if the command is repeated.
Some three hours of corpus and five hours of training on one core.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Stage:
    """One training of the lips.

    Attributes:
        name: of its folder.
        shards: of the corpus' first part that must be there.
        second: shards of the second part, timed by the stage before.
        third: shards of the third part, likewise.
        fourth: shards of the fourth part, likewise.
        steps: length of its schedule.
        batch: crops per step.
        rate: peak learning rate.
        seed: of crops and augmentation.
        captured: whether captured performance is trained on as well, where it is given.
        fronted: share of crops whose back rounded vowels are said further in front.
        blend: share of the stage before in the weights that are written.
    """

    name: str
    shards: int
    second: int
    third: int
    fourth: int
    steps: int
    batch: int
    rate: float
    seed: int
    captured: bool
    fronted: float = 0.0
    blend: float = 0.0


STAGES = (
    Stage("first", 22, 0, 0, 0, 2386, 15, 2e-3, 0, captured=False),
    Stage("second", 22, 0, 0, 0, 1712, 15, 1.2e-3, 0, captured=True),
    Stage("third", 22, 3, 0, 0, 3935, 15, 1.2e-3, 5, captured=True),
    Stage("fourth", 22, 3, 12, 0, 4500, 23, 1e-3, 7, captured=True),
    Stage("fifth", 22, 3, 12, 4, 2000, 23, 6e-4, 11, captured=True, fronted=0.3),
    Stage("sixth", 22, 3, 12, 4, 420, 23, 3e-4, 13, captured=True, fronted=0.3, blend=0.3),
)


def commands(corpus: Path, out: Path, facegood: Path | None, workers: int = 1) -> list[list[str]]:
    """Return the arguments of every training in order, the flow's last."""
    found: list[list[str]] = []
    before: Path | None = None
    for stage in STAGES:
        folder = out / stage.name
        words = ["--make-corpus", "--corpus", str(corpus), "--out", str(folder), "--part", "lips"]
        words += ["--shards", str(stage.shards), "--workers", str(workers), "--resume"]
        words += ["--steps", str(stage.steps), "--batch", str(stage.batch)]
        words += ["--rate", str(stage.rate), "--seed", str(stage.seed)]
        if before is not None:
            words += ["--warm-start", str(before / "checkpoint.npz")]
            if stage.blend:
                words += ["--blend", str(before / "checkpoint.npz")]
                words += ["--blend-share", str(stage.blend)]
        if stage.second and before is not None:
            words += ["--second-shards", str(stage.second), "--timer", str(before / "motion.onnx")]
        if stage.third:
            words += ["--third-shards", str(stage.third)]
        if stage.fourth:
            words += ["--fourth-shards", str(stage.fourth)]
        words += ["--fronted", str(stage.fronted)]
        if stage.captured and facegood is not None:
            words += ["--facegood", str(facegood)]
        found.append(words)
        before = folder
    if before is not None:
        last = ["--corpus", str(corpus), "--out", str(before), "--part", "flow", "--resume"]
        found.append(last)
    return found


def run(
    train: Callable[[list[str]], int],
    corpus: Path,
    out: Path,
    facegood: Path | None,
    workers: int = 1,
) -> int:
    """Run every stage with ``train``; stop at the first that fails, with its exit code."""
    for words in commands(corpus, out, facegood, workers):
        if (code := train(words)) != 0:
            return code
    return 0


def described() -> list[dict[str, object]]:
    """Return the stages as the manifest lists them."""
    return [asdict(stage) for stage in STAGES]
