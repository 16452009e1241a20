"""The graph of the network for whole frames: pictures in, picture out."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visavis.models.renderer.refiner import CELL
from visavis.models.renderer.training.relight.graph_file import some, write_graph
from visavis.models.renderer.training.relight.network import RefinerNetwork

FRAME_SIDE = 512  # pixels of a call's picture


class FrameGraph(nn.Module):
    """A regression or one step of a bridge, with everything around it that a GPU does best."""

    def __init__(self, network: RefinerNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, frame: Tensor, photo: Tensor, shift: Tensor, inside: Tensor, gate: Tensor
    ) -> Tensor:
        """Map pictures (B, S, S, 3) in 0-255 and maps (B, S/4, S/4, C) to a picture in 0-255.

        Where the gate is 0 the frame comes back as it was.
        """
        frame, photo = frame.permute(0, 3, 1, 2), photo.permute(0, 3, 1, 2)
        warped, original = frame / 127.5 - 1.0, photo / 127.5 - 1.0
        maps = torch.cat([shift, inside], 3).permute(0, 3, 1, 2)
        maps = F.interpolate(maps, scale_factor=float(CELL), mode="nearest")
        wide = F.interpolate(
            gate.permute(0, 3, 1, 2), scale_factor=float(CELL), mode="bilinear",
            align_corners=False,
        )  # fmt: skip
        one = torch.ones_like(wide)
        # Channels as ``crop`` names them; the inside of the mouth is not looked at.
        x = torch.cat([warped, warped, original, torch.zeros_like(warped), maps, wide, one, one], 1)
        residual, _ = self.network(x)
        return (frame + wide * residual * 127.5).permute(0, 2, 3, 1)


def export_frame(network: RefinerNetwork, path: Path, side: int = FRAME_SIDE) -> float:
    """Write the graph; return its largest difference from torch, in steps of colour."""
    cells = side // CELL
    inputs = {name: some(2, side, side, 3, low=0, high=255) for name in ("frame", "photo")}
    inputs |= {"shift": some(2, cells, cells, 2), "inside": some(2, cells, cells, 1, low=0)}
    inputs["gate"] = some(2, cells, cells, 1, low=0)
    return write_graph(FrameGraph(network).eval(), inputs, ("picture",), path)
