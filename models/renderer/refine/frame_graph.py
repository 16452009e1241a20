"""The graph of the network for whole frames: pictures in, picture out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.renderer.refine.network import RefinerNetwork
from models.renderer.refiner import CELL

OPSET = 17
FRAME_SIDE = 512
_INPUTS = {"frame": 3, "photo": 3, "shift": 2, "inside": 1, "gate": 1}


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
    import onnxruntime

    generator = torch.Generator().manual_seed(0)
    sides = {n: side if n in ("frame", "photo") else side // CELL for n in _INPUTS}
    inputs = {
        n: torch.rand(2, sides[n], sides[n], c, generator=generator) for n, c in _INPUTS.items()
    }
    inputs["frame"], inputs["photo"] = 255 * inputs["frame"], 255 * inputs["photo"]
    graph = FrameGraph(network).eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        graph, tuple(inputs.values()), str(path), input_names=list(inputs),
        output_names=["picture"], dynamic_axes={n: {0: "batch"} for n in (*inputs, "picture")},
        opset_version=OPSET, dynamo=False,
    )  # fmt: skip
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (picture,) = session.run(["picture"], {n: v.numpy() for n, v in inputs.items()})
    with torch.no_grad():
        return float(np.abs(picture - graph(*inputs.values()).numpy()).max())
