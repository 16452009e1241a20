"""The graph of the network for light: what the mouth shows in, a factor out."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from models.renderer.refine.crop import CHANNELS, SEEN, SIDE, STATE, STEP, TIME, WARPED
from models.renderer.refine.light import LIGHT_ROWS
from models.renderer.refine.network import RefinerNetwork

OPSET = 17


class LightGraph(nn.Module):
    """A network whose residual is light; its factor is what the frame is multiplied by."""

    def __init__(self, network: RefinerNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 13, H, W) to factors (B, 1, H, W)."""
        full = torch.ones(CHANNELS, device=x.device).view(1, -1, 1, 1).expand(
            x.shape[0], CHANNELS, *x.shape[2:]
        )  # fmt: skip
        warped = x[:, : WARPED.stop - WARPED.start]
        seen = torch.cat([warped, x, full[:, TIME], full[:, STEP]], 1)
        assert STATE.start == 0 and SEEN.start == STATE.stop and SEEN.stop == TIME.start
        return self.network.factor(seen)


def export_light(network: RefinerNetwork, path: Path) -> float:
    """Write the graph ``x`` -> ``factor``; return its largest difference from torch."""
    import onnxruntime

    generator = torch.Generator().manual_seed(0)
    x = torch.rand(3, SEEN.stop - SEEN.start, LIGHT_ROWS, SIDE, generator=generator) * 2 - 1
    graph = LightGraph(network).eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        graph, (x,), str(path), input_names=["x"], output_names=["factor"],
        dynamic_axes={n: {0: "batch"} for n in ("x", "factor")},
        opset_version=OPSET, dynamo=False,
    )  # fmt: skip
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (factor,) = session.run(["factor"], {"x": x.numpy()})
    with torch.no_grad():
        return float(np.abs(factor - graph(x).numpy()).max())


def write_manifest(trained: Path, graph: Path, command: str) -> Path:
    """Write the manifest beside a graph; the figures are added by hand."""
    stages = {n: json.loads((trained / f"{n}.json").read_text()) for n in ("regression", "light")}
    manifest = {
        "file": graph.name,
        "sha256": hashlib.sha256(graph.read_bytes()).hexdigest(),
        "bytes": graph.stat().st_size,
        "command": command,
        "samples": {name: about["samples"] for name, about in stages.items()},
        "device": {name: about["device"] for name, about in stages.items()},
        "pairs": stages["light"]["pairs"],
        "ranges": {"x": [-1.0, 1.0]},
        "data": "SFHQ portraits with open mouths (MIT), closed and opened again by our renderer; "
        "synthetic people of models.renderer.people (ICT-FaceKit, MIT; SFHQ, MIT).",
        "licence": "Apache-2.0",
    }
    path = graph.with_name("manifest.json")
    path.write_text(json.dumps(manifest, indent=1) + "\n")
    return path
