"""The five networks. Small pictures, plain convolutions: what a CPU does best.

Inputs are ``(N, 3, S, S)`` float32, RGB 0-255, so that a graph holds its own normalisation.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

SIZES = {"face": 112, "eye": 64, "lips": 80, "find": 192, "matte": 192}
STRIDE = 8  # of the finder's map


def _conv(inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            _conv(channels, channels),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.inner(x))


def _ready(picture: Tensor) -> Tensor:
    return picture * (1 / 64) - 2.0


class Landmarks(nn.Module):
    """Coordinates of landmarks by regression, through the shapes' principal components.

    Args:
        widths: channels after each halving of the picture.
        side: of the picture in pixels.
        mean: ``(K * dims,)`` the mean shape, in sides from the middle.
        basis: ``(B, K * dims)`` principal components times their deviation.
        sure: whether to say, in a last value, how surely this is a face (a logit).
    """

    def __init__(
        self, widths: tuple[int, ...], side: int, mean: NDArray, basis: NDArray, *, sure: bool
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [_conv(3, widths[0], 2)]
        for before, width in itertools.pairwise(widths):
            layers += [_conv(before, width, 2), _Residual(width)]
        layers.append(_conv(widths[-1], 64, kernel=1))
        self.body = nn.Sequential(*layers)
        cells = (-(-side // 2 ** len(widths))) ** 2
        hidden = len(basis)
        self.neck = nn.Sequential(nn.Flatten(), nn.Dropout(0.1), nn.Linear(64 * cells, hidden))
        self.shape = nn.Linear(hidden, basis.shape[1])
        self.sure = nn.Linear(hidden, 1) if sure else None
        with torch.no_grad():
            self.shape.weight.copy_(torch.from_numpy(basis.T.astype(np.float32)))
            self.shape.bias.copy_(torch.from_numpy(mean.astype(np.float32)))

    def forward(self, picture: Tensor) -> Tensor:
        """Run the network."""
        code = self.neck(self.body(_ready(picture)).contiguous())
        shape = self.shape(code)
        if self.sure is None:
            return shape
        return torch.cat([shape, self.sure(torch.relu(code))], 1)


class Finder(nn.Module):
    """A map of face centres, ``(N, 4, S / 8, S / 8)``: logit; dx, dy, log side in cells."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(
            _conv(3, 16, 2), _conv(16, 32, 2), _conv(32, 64, 2), _Residual(64)
        )
        self.middle = nn.Sequential(_conv(64, 80, 2), _Residual(80))
        self.coarse = nn.Sequential(_conv(80, 96, 2), _Residual(96), _Residual(96))
        self.to_middle, self.to_fine = _conv(96, 80, kernel=1), _conv(80, 64, kernel=1)
        self.join = _conv(64, 64)
        self.head = nn.Conv2d(64, 4, 1)
        with torch.no_grad():
            self.head.bias[0] = -4.0

    def forward(self, picture: Tensor) -> Tensor:
        """Run the network."""
        fine = self.fine(_ready(picture))
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        middle = middle + _double(self.to_middle(coarse))
        return self.head(self.join(fine + _double(self.to_fine(middle))))


class Matte(nn.Module):
    """The logit that a pixel is a person, ``(N, 1, S, S)``; a small U-Net."""

    def __init__(self, widths: tuple[int, ...] = (12, 24, 40, 64, 80)) -> None:
        super().__init__()
        self.stem = _conv(3, widths[0], 2)
        self.down = nn.ModuleList(
            nn.Sequential(_conv(a, b, 2), _conv(b, b)) for a, b in itertools.pairwise(widths)
        )
        self.deep = _Residual(widths[-1])
        self.up = nn.ModuleList(_conv(b, a, kernel=1) for a, b in itertools.pairwise(widths))
        self.join = nn.ModuleList(_conv(a, a) for a in widths[:-1])
        self.last = nn.Sequential(_conv(widths[0] + 3, 12), nn.Conv2d(12, 1, 3, 1, 1))

    def forward(self, picture: Tensor) -> Tensor:
        """Run the network."""
        ready = _ready(picture)
        levels = [self.stem(ready)]
        for step in self.down:
            levels.append(step(levels[-1]))
        x = self.deep(levels[-1])
        for at in reversed(range(len(self.up))):
            x = self.join[at](levels[at] + _double(self.up[at](x)))
        return self.last(torch.cat([_double(x), ready], 1))


def _double(x: Tensor) -> Tensor:
    return nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
