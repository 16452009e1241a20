"""The graph of the network for light: what the mouth shows in, a factor out."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visavis.models.renderer.relight.crop import GATE, INSIDE, SEEN, SHIFT, SIDE
from visavis.models.renderer.relight.light import LIGHT_ROWS
from visavis.models.renderer.training.relight.graphs.graph_file import some, write_graph
from visavis.models.renderer.training.relight.graphs.network import RefinerNetwork, light_factor

_STEM = 2
_SEEN = SEEN.stop - SEEN.start
_WIDE = 16  # channels that a processor's vectors like


class LightGraph(nn.Module):
    """A network whose residual is light; its factor is what the frame is multiplied by.

    The same arithmetic as ``RefinerNetwork``, cheaper: unshuffling pixels by two (or pooling them)
    before a 3 x 3 convolution is one 6 x 6 convolution of stride two. The bridge's state is the
    warp, so both weights are added; its times are 1, so what they give is a constant, which at the
    border is another than inside.
    """

    def __init__(self, network: RefinerNetwork) -> None:
        super().__init__()
        if network.config.stem != _STEM:
            raise ValueError("Only networks of a mouth can be lights.")
        self.network = network
        weight, times, bias = folded_stem(network)
        self.stem = nn.Conv2d(_WIDE, len(bias), 3 * _STEM, stride=_STEM, padding=_STEM, bias=False)
        self.stem.weight = nn.Parameter(F.pad(weight, (0, 0, 0, 0, 0, _WIDE - weight.shape[1])))
        one = torch.ones(1, times.shape[1], LIGHT_ROWS, SIDE)
        of_times = F.conv2d(one, times, bias, stride=_STEM, padding=_STEM)
        self.register_buffer("of_times", of_times)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 13, LIGHT_ROWS, SIDE) to factors (B, 1, LIGHT_ROWS, SIDE)."""
        level = self.stem(F.pad(x, (0, 0, 0, 0, 0, _WIDE - _SEEN))) + self.of_times
        residual = self.network.residual_from(level, x[:, :3])
        inside = x[:, INSIDE.start - SEEN.start : INSIDE.stop - SEEN.start]
        return light_factor(residual, x[:, :3], inside)


def folded_stem(network: RefinerNetwork) -> tuple[Tensor, Tensor, Tensor]:
    """Return a stem as one convolution: (W, 13, 6, 6), (W, 2, 6, 6) of the times, bias (W,)."""
    stem = network.stem
    width, pictures = len(stem.weight), 12
    fine = stem.weight[:, : pictures * _STEM**2].detach()
    maps = stem.weight[:, pictures * _STEM**2 :].detach()
    # Unshuffled channel (c, i, j) at (y, x) is pixel (2 y + i, 2 x + j) of channel c.
    fine = fine.reshape(width, pictures, _STEM, _STEM, 3, 3).permute(0, 1, 4, 2, 5, 3)
    fine = fine.reshape(width, pictures, 3 * _STEM, 3 * _STEM)
    pooled = maps.repeat_interleave(_STEM, 2).repeat_interleave(_STEM, 3) / _STEM**2
    shift, times = pooled[:, : GATE.stop - SHIFT.start], pooled[:, GATE.stop - SHIFT.start :]
    drawn = torch.cat([fine[:, :3] + fine[:, 3:6], fine[:, 6:]], 1)
    bias = stem.bias.detach()  # type: ignore[union-attr]
    return torch.cat([drawn, shift], 1), times, bias


def export_light(network: RefinerNetwork, path: Path) -> float:
    """Write the graph ``x`` -> ``factor``; return its largest difference from torch."""
    x = some(3, _SEEN, LIGHT_ROWS, SIDE)
    return write_graph(LightGraph(network).eval(), {"x": x}, ("factor",), path)
