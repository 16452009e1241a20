"""The painting network: a small U-Net that knows time and length of its step."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visavis.models.appearance.painting.canvas import CONDITIONS

WIDTHS = (48, 96, 160)
ABOUT = 3  # sharpness, share of teeth, whether there are maps
_EMBEDDING = 160
_FREQUENCIES = 32
_GROUPS = 8


class Block(nn.Module):
    """Two convolutions, the first one normalised and scaled by time (adaptive group norm)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """Prepare a block whose start changes nothing."""
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm = nn.GroupNorm(_GROUPS, outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.time = nn.Linear(_EMBEDDING, 2 * outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Return ``(B, outputs, H, W)``."""
        scale, shift = self.time(time)[:, :, None, None].chunk(2, 1)
        inner = self.norm(self.first(F.silu(x))) * (1 + scale) + shift
        return self.skip(x) + self.second(F.silu(inner))


class PaintNetwork(nn.Module):
    """Velocity of a rectified flow, ``v(x, t, d)``; d = 0 is the flow itself."""

    def __init__(self, widths: tuple[int, int, int] = WIDTHS) -> None:
        """Prepare a network of these widths at halves of the canvas's size."""
        super().__init__()
        a, b, c = widths
        inputs = 4 * _FREQUENCIES + ABOUT
        self.time = nn.Sequential(
            nn.Linear(inputs, _EMBEDDING), nn.SiLU(), nn.Linear(_EMBEDDING, _EMBEDDING), nn.SiLU()
        )
        self.first = nn.Conv2d(4 * (3 + CONDITIONS), a, 3, padding=1)
        self.fine_in, self.down_middle = Block(a, a), nn.Conv2d(a, b, 2, stride=2)
        self.middle_in, self.down_coarse = Block(b, b), nn.Conv2d(b, c, 2, stride=2)
        self.coarse_in, self.coarse_out = Block(c, c), Block(c, c)
        self.up_middle, self.middle_out = nn.Conv2d(c, b, 1), Block(2 * b, b)
        self.up_fine, self.fine_out = nn.Conv2d(b, a, 1), Block(2 * a, a)
        self.head = nn.Conv2d(a, 12, 3, padding=1)
        self.register_buffer("frequencies", torch.exp(torch.linspace(0, 6, _FREQUENCIES)))

    def forward(self, x: Tensor, conditions: Tensor, t: Tensor, d: Tensor, about: Tensor) -> Tensor:
        """Return the velocity.

        Args:
            x: ``(B, 3, H, W)`` between noise and picture, -1 to 1; the picture around the hole.
            conditions: ``(B, CONDITIONS, H, W)``.
            t: ``(B, 1)`` 1 at the noise, 0 at the picture.
            d: ``(B, 1)`` length of the step that will be made.
            about: ``(B, ABOUT)``.
        """
        waves = [f(v * self.frequencies) for v in (t, d) for f in (torch.sin, torch.cos)]
        time = self.time(torch.cat([*waves, about], 1))
        seen = F.pixel_unshuffle(torch.cat([x, conditions], 1), 2)
        fine = self.fine_in(self.first(seen), time)
        middle = self.middle_in(self.down_middle(fine), time)
        coarse = self.coarse_out(self.coarse_in(self.down_coarse(middle), time), time)
        up = F.interpolate(self.up_middle(coarse), scale_factor=2)
        middle = self.middle_out(torch.cat([up, middle], 1), time)
        up = F.interpolate(self.up_fine(middle), scale_factor=2)
        fine = self.fine_out(torch.cat([up, fine], 1), time)
        return F.pixel_shuffle(self.head(F.silu(fine)), 2)
