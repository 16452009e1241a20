"""What can be trained, and how."""

from __future__ import annotations

from dataclasses import dataclass

from visavis.models.renderer.training.relight.network import NetworkConfig

STAGES = ("shade", "regression", "finish", "teacher", "student", "light")


@dataclass(frozen=True)
class Kind:
    """What a network is for.

    Attributes:
        network: its sizes.
        window: rows and columns of a training cut.
        even: every pair is worth the same; else every opening of the mouth.
    """

    network: NetworkConfig
    window: tuple[int, int]
    even: bool = True


KINDS = {
    "mouth": Kind(NetworkConfig(), (48, 72), even=False),
    "eyes": Kind(NetworkConfig(keep_tone=False), (64, 64)),
    "frame": Kind(
        NetworkConfig((64, 128, 192, 256), stem=4, whole=True, keep_tone=False), (256, 256)
    ),
}


@dataclass(frozen=True)
class TrainConfig:
    """One call of the trainer.

    Attributes:
        samples: of the regression; teacher and student share as many.
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
