"""Names and sizes of the motion graph's tensors, shared by training, export and live use."""

from __future__ import annotations

from dataclasses import dataclass

from visavis.models.motion.curves import CHANNELS
from visavis.models.motion.features import FEATURES
from visavis.models.motion.phones import CLASSES

LOOK_AHEADS_MS: tuple[int, ...] = (0, 40, 80, 120)
STEP_HOPS = 4  # 40 ms, the step a static engine is built for
OUTPUTS = len(CHANNELS) + 1 + len(CLASSES)  # curves, closure, phone classes
CLOSURE = len(CHANNELS)
PHONES = slice(CLOSURE + 1, OUTPUTS)


@dataclass(frozen=True)
class NetConfig:
    """Sizes of the network.

    Attributes:
        width: channels of the two causal convolutions.
        kernel: hops each of them sees.
        hidden: units of each GRU layer.
        layers: GRU layers; the head reads all of them.
    """

    width: int = 224
    kernel: int = 5
    hidden: int = 256
    layers: int = 3

    def states(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the state tensors without the batch dimension."""
        return {
            "conv1": (self.kernel - 1, FEATURES),
            "conv2": (self.kernel - 1, self.width),
            "hidden": (self.layers, self.hidden),
        }
