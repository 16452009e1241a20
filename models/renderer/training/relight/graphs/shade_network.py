"""The network that lights the mouth: a smooth factor, and nothing else; needs torch.

What a photo with closed lips cannot say (which tooth, which tongue) no network can repair. What
it can learn from other mouths is light: how it falls between lips, dies towards the corners and
the throat, and shines back from a lip. Such a factor cannot blur a tooth or paint one. It is the
same for all colours: given one each, the network learned the hues of drawn people, and teeth turned
green.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visavis.models.renderer.relight.crop import GATE, SEEN, WARPED
from visavis.models.renderer.training.relight.graphs.network import Block

REACH = 0.5  # of the factor's natural logarithm: down to 0.6 times the light
MOST = 1.25  # times the light; beyond that a tongue glows
CELL = 4  # crop pixels of a pair under one cell of the factor


@dataclass(frozen=True)
class ShadeConfig:
    """Sizes of the network.

    Attributes:
        widths: channels at a quarter and an eighth of a pair's resolution.
        blocks: residual blocks at the latter.
    """

    widths: tuple[int, int] = (16, 32)
    blocks: int = 3


class ShadeNetwork(nn.Module):
    """Says by what every cell's light is to be multiplied."""

    def __init__(self, config: ShadeConfig | None = None) -> None:
        super().__init__()
        config = config or ShadeConfig()
        a, b = config.widths
        self.stem = nn.Conv2d(4 * (SEEN.stop - SEEN.start), a, 3, padding=1)
        self.fine_in = Block(a)
        self.down = nn.Conv2d(a, b, 3, stride=2, padding=1)
        self.coarse = nn.Sequential(*(Block(b) for _ in range(config.blocks)))
        self.up = nn.Conv2d(b, a, 3, padding=1)
        self.fine_out = Block(a)
        self.head = nn.Conv2d(a, 1, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 13, H, W), a crop at half a pair's resolution, to factors (B, 1, H/2, W/2).

        H and W are multiples of 4.
        """
        fine = self.fine_in(F.relu(self.stem(F.pixel_unshuffle(x, 2))))  # B, a, H/2, W/2
        coarse = self.coarse(self.down(fine))  # B, b, H/4, W/4
        fine = fine + self.up(F.interpolate(coarse, scale_factor=2.0, mode="nearest"))
        factor = torch.exp(REACH * torch.tanh(self.head(self.fine_out(fine))))
        return torch.clamp(factor, max=MOST)


def shaded(network: nn.Module, x: Tensor) -> Tensor:
    """Return the picture (B, 3, H, W) that the network makes of pairs (B, CHANNELS, H, W)."""
    factor = network(F.avg_pool2d(x[:, SEEN], 2))
    factor = F.interpolate(factor, scale_factor=float(CELL), mode="bilinear", align_corners=False)
    warped = x[:, WARPED]
    return warped + x[:, GATE] * (factor - 1.0) * (warped + 1.0)
