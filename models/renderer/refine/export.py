"""Write a trained network as ONNX and compare the two."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from models.renderer.refine.crop import CHANNELS, SIDE
from models.renderer.refine.network import MouthNetwork, NetworkConfig

OPSET = 17


def load_network(weights: Path, widths: tuple[int, ...]) -> MouthNetwork:
    """Read a stage's averaged weights."""
    network = MouthNetwork(NetworkConfig(tuple(widths)))  # type: ignore[arg-type]
    network.load_state_dict(load_file(weights))
    return network.eval()


def export_onnx(network: nn.Module, path: Path) -> None:
    """Write the graph ``x`` -> ``residual``, ``alpha``; the batch is free, all else is fixed."""
    x = torch.zeros(2, CHANNELS, SIDE, SIDE)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        network, (x,), str(path), input_names=["x"], output_names=["residual", "alpha"],
        dynamic_axes={n: {0: "batch"} for n in ("x", "residual", "alpha")},
        opset_version=OPSET, dynamo=False,
    )  # fmt: skip


@torch.no_grad()
def parity(network: nn.Module, path: Path, x: Tensor) -> float:
    """Return the largest difference of the gated change between torch and ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    residual, alpha = session.run(["residual", "alpha"], {"x": x.numpy()})
    ours = network(x)
    return float(np.abs(residual * alpha - (ours[0] * ours[1]).numpy()).max())


def export_stages(trained: Path, out: Path) -> dict[str, float]:
    """Write every trained stage's graph, and an untrained one for the bench to fail.

    Returns:
        The largest difference from torch by stage.
    """
    differences = {}
    x = torch.rand(2, CHANNELS, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    widths: tuple[int, ...] = NetworkConfig().widths
    for weights in sorted(trained.glob("*.safetensors")):
        widths = json.loads(weights.with_suffix(".json").read_text())["widths"]
        network = load_network(weights, widths)
        export_onnx(network, out / f"{weights.stem}.onnx")
        differences[weights.stem] = parity(network, out / f"{weights.stem}.onnx", x)
    torch.manual_seed(0)
    untrained = MouthNetwork(NetworkConfig(tuple(widths))).eval()  # type: ignore[arg-type]
    nn.init.normal_(untrained.head.weight, 0.0, 0.05)  # its own start changes nothing
    export_onnx(untrained, out / "untrained.onnx")
    return differences
