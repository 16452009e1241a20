"""What can be trained, and how."""

from __future__ import annotations

from dataclasses import dataclass

STAGES = ("shade", "regression", "light")


@dataclass(frozen=True)
class TrainConfig:
    """One call of the trainer.

    Attributes:
        samples: of shade and regression; the light takes a share of them.
        minutes: after which this call stops; ``--resume`` goes on.
        batch: crops per step.
        rate: highest learning rate of AdamW.
        seed: of everything random.
        stage_minutes: a stage ends after so many minutes and not after its samples; for a machine
            that is lent by the minute.
        device: cpu or cuda; there bfloat16 products.
    """

    samples: int = 60_000
    minutes: float = 60.0
    batch: int = 8
    rate: float = 1.5e-3
    seed: int = 0
    stage_minutes: float | None = None
    device: str = "cpu"
