"""The mouth's network: norm-free residual blocks, PixelUnshuffle stem, nearest upsampling."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.renderer.refine.crop import CHANNELS, GATE, INSIDE, WARPED

# How far a colour may change: in parts of itself, and beyond that (1 is 127.5 steps of colour).
# Shade and hue of what the renderer drew are open; a dark throat cannot become teeth.
GAIN, LIFT = 0.5, 0.22
_TONE = 11  # pixels, side of the window that is run twice


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the network.

    Attributes:
        widths: channels at half, quarter and eighth resolution.
    """

    widths: tuple[int, int, int] = (16, 32, 64)


def tone(picture: Tensor, inside: Tensor) -> Tensor:
    """Return the mean colour of the mouth's inside around each of its pixels, (B, C, H, W)."""

    def wide(v: Tensor) -> Tensor:
        return F.avg_pool2d(F.avg_pool2d(v, _TONE, 1, _TONE // 2), _TONE, 1, _TONE // 2)

    return wide(picture * inside) / (wide(inside) + 0.02)


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut; starts as the identity (Fixup)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same."""
        return x + self.second(F.relu(self.first(F.relu(x))))


class MouthNetwork(nn.Module):
    """Says how the warp must change: residual and gate."""

    def __init__(self, config: NetworkConfig | None = None) -> None:
        super().__init__()
        a, b, c = (config or NetworkConfig()).widths
        self.stem = nn.Conv2d(CHANNELS * 4, a, 3, padding=1)
        self.fine_in = Block(a)
        self.down_1 = nn.Conv2d(a, b, 3, stride=2, padding=1)
        self.middle_in = Block(b)
        self.down_2 = nn.Conv2d(b, c, 3, stride=2, padding=1)
        self.coarse = Block(c)
        self.up_2 = nn.Conv2d(c, b, 3, padding=1)
        self.middle_out = Block(b)
        self.up_1 = nn.Conv2d(b, a, 3, padding=1)
        self.fine_out = Block(a)
        self.head = nn.Conv2d(a, 24, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, CHANNELS, H, W) to residual (B, 3, H, W) and gate (B, 1, H, W) in 0-1.

        H and W are multiples of 8. The gate is the input's. Inside the mouth the residual has no
        mean of its own: a photo with closed lips does not say how light it is in there, and who is
        asked all the same paints the average of teeth and dark, a grey veil.
        """
        fine = self.fine_in(F.relu(self.stem(F.pixel_unshuffle(x, 2))))  # B, a, H/2, W/2
        middle = self.middle_in(self.down_1(fine))  # B, b, H/4, W/4
        coarse = self.coarse(self.down_2(middle))  # B, c, H/8, W/8
        middle = middle + self.up_2(F.interpolate(coarse, scale_factor=2.0, mode="nearest"))
        middle = self.middle_out(middle)
        fine = fine + self.up_1(F.interpolate(middle, scale_factor=2.0, mode="nearest"))
        out = torch.tanh(F.pixel_shuffle(self.head(self.fine_out(fine)), 2))  # B, 6, H, W
        residual = GAIN * out[:, :3] * (x[:, WARPED] + 1.0) + LIFT * out[:, 3:]
        inside = x[:, INSIDE]
        return residual - inside * tone(residual, inside), x[:, GATE]


def endpoint(network: nn.Module, x: Tensor) -> Tensor:
    """Return the network's picture (B, 3, H, W): the warp plus the gated residual."""
    residual, alpha = network(x)
    return x[:, WARPED] + alpha * residual
