"""The refiners' network: norm-free residual blocks, PixelUnshuffle stem, nearest upsampling."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visavis.models.renderer.relight.crop import (
    GATE,
    INSIDE,
    INTERIOR,
    PHOTO,
    SHIFT,
    STATE,
    STEP,
    WARPED,
)

# How far a colour may change: in parts of itself, and beyond that (1 is 127.5 steps of colour).
# Shade and hue of what the renderer drew are open; a dark throat cannot become teeth.
GAIN, LIFT = 0.5, 0.22
# A light is the same factor for all colours, by at most the exponential of these, inside the mouth
# and on the rim of the lips.
_REACH, _RIM_REACH = 0.6, 0.2
_LUMA = (0.299, 0.587, 0.114)
_DARKEST = 0.02  # of 2; what is blacker is not told from it
_SPREAD = 5  # pixels, side of the window over which one reach becomes the other; run twice
_TONE = 11  # pixels, side of the window that is run twice
_PICTURES = (STATE, WARPED, PHOTO, INTERIOR)
_MAPS = slice(SHIFT.start, STEP.stop)  # smooth ones, which the stem sees at its own resolution


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of a network.

    Attributes:
        widths: channels at every level; each has half the resolution of the one before.
        stem: pixels of the input to one of the first level.
        keep_tone: inside the mouth the network has no mean of its own, see ``RefinerNetwork``.
        light: the network changes light alone, not colours, and within bounds.
    """

    widths: tuple[int, ...] = (16, 32, 64)
    stem: int = 2
    keep_tone: bool = True
    light: bool = False

    @property
    def grid(self) -> int:
        """Return what height and width of an input must be a multiple of."""
        return self.stem << (len(self.widths) - 1)


def tone(picture: Tensor, inside: Tensor) -> Tensor:
    """Return the mean colour of the mouth's inside around each of its pixels, (B, C, H, W)."""

    def wide(v: Tensor) -> Tensor:
        return F.avg_pool2d(F.avg_pool2d(v, _TONE, 1, _TONE // 2), _TONE, 1, _TONE // 2)

    return wide(picture * inside) / (wide(inside) + 0.02)


def light_factor(residual: Tensor, warped: Tensor, inside: Tensor) -> Tensor:
    """Return the part of a residual that is light: a bounded factor (B, 1, H, W).

    It is the same for all colours: teeth get no hue from it and a dark throat stays dark.

    Args:
        residual: (B, 3, H, W).
        warped: (B, 3, H, W), -1 to 1.
        inside: (B, 1, H, W), the inside of the mouth.
    """
    luma = residual.new_tensor(_LUMA).view(1, 3, 1, 1)
    level = ((warped + 1.0) * luma).sum(1, keepdim=True) + _DARKEST
    wanted = torch.log((1.0 + (residual * luma).sum(1, keepdim=True) / level).clamp_min(0.1))
    for _ in range(2):
        inside = F.avg_pool2d(inside, _SPREAD, 1, _SPREAD // 2)
    reach = _RIM_REACH + (_REACH - _RIM_REACH) * inside
    return torch.exp(reach * torch.tanh(wanted / reach))


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


class RefinerNetwork(nn.Module):
    """Says how the warp must change: residual and gate."""

    def __init__(self, config: NetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or NetworkConfig()
        widths, stem = config.widths, config.stem
        seen = 3 * len(_PICTURES) * stem**2 + _MAPS.stop - _MAPS.start
        self.stem = nn.Conv2d(seen, widths[0], 3, padding=1)
        steps = list(pairwise(widths))
        self.enter = nn.ModuleList(Block(w) for w in widths)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in steps)
        self.up = nn.ModuleList(nn.Conv2d(b, a, 3, padding=1) for a, b in steps)
        self.leave = nn.ModuleList(Block(a) for a, _ in steps)
        self.head = nn.Conv2d(widths[0], 6 * stem**2, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, CHANNELS, H, W) to residual (B, 3, H, W) and gate (B, 1, H, W) in 0-1.

        H and W are multiples of ``config.grid``. The gate is the input's. Where the tone is kept,
        the residual has no mean of its own inside the mouth: a photo with closed lips does not say
        how light it is in there, and who is asked all the same paints the average of teeth and
        dark, a grey veil.
        """
        residual, inside = self._residual(x), x[:, INSIDE]
        if self.config.keep_tone:
            residual = residual - inside * tone(residual, inside)
        if self.config.light:
            factor = light_factor(residual, x[:, WARPED], inside)
            residual = (factor - 1.0) * (x[:, WARPED] + 1.0)
        return residual, x[:, GATE]

    def factor(self, x: Tensor) -> Tensor:
        """Map (B, CHANNELS, H, W) to the factor (B, 1, H, W) of a network that changes light."""
        return light_factor(self._residual(x), x[:, WARPED], x[:, INSIDE])

    def _residual(self, x: Tensor) -> Tensor:
        stem = self.config.stem
        pictures = torch.cat([x[:, part] for part in _PICTURES], 1)
        seen = [F.pixel_unshuffle(pictures, stem), F.avg_pool2d(x[:, _MAPS], stem)]
        return self.residual_from(self.stem(torch.cat(seen, 1)), x[:, WARPED])

    def residual_from(self, first: Tensor, warped: Tensor) -> Tensor:
        """Map what the stem gives (B, W, H / stem, W / stem) to the residual (B, 3, H, W)."""
        kept = [self.enter[0](F.relu(first))]
        for down, enter in zip(self.down, self.enter[1:], strict=True):
            kept.append(enter(down(kept[-1])))
        level = kept.pop()
        for up, leave in zip(reversed(self.up), reversed(self.leave), strict=True):
            wide = F.interpolate(level, scale_factor=2.0, mode="nearest")
            level = leave(kept.pop() + up(wide))
        out = torch.tanh(F.pixel_shuffle(self.head(level), self.config.stem))  # B, 6, H, W
        return GAIN * out[:, :3] * (warped + 1.0) + LIFT * out[:, 3:]


def endpoint(network: nn.Module, x: Tensor) -> Tensor:
    """Return the network's picture (B, 3, H, W): the warp plus the gated residual."""
    residual, alpha = network(x)
    return x[:, WARPED] + alpha * residual
