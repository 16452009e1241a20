"""Write a trained network as ONNX and compare the two."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from models.renderer.refine.crop import CHANNELS, SEEN, SIDE
from models.renderer.refine.light_graph import export_light
from models.renderer.refine.light_graph import write_manifest as describe_light
from models.renderer.refine.network import NetworkConfig, RefinerNetwork
from models.renderer.refine.shade import SHADE_SIDE
from models.renderer.refine.shade_network import ShadeNetwork

OPSET = 17
COMMAND = (
    "visavis train renderer --faces FACES --people PEOPLE --out DIR --stages shade "
    "--samples 110000 --batch 16"
)
LIGHT_COMMAND = (
    "visavis train renderer --faces FACES --people PEOPLE --out DIR --free-tone "
    "--stages regression light --samples 700000 --batch 512 --rate 2e-3 --device cuda"
)


def load_network(weights: Path) -> RefinerNetwork:
    """Read a stage's averaged weights; the file beside them says their sizes."""
    about = json.loads(weights.with_suffix(".json").read_text())["network"]
    network = RefinerNetwork(NetworkConfig(**{**about, "widths": tuple(about["widths"])}))
    network.load_state_dict(load_file(weights))
    return network.eval()


def export_onnx(network: nn.Module, path: Path, side: int = SIDE) -> None:
    """Write the graph ``x`` -> ``residual``, ``alpha``; the batch is free, all else is fixed."""
    x = torch.zeros(2, CHANNELS, side, side)
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


def export_shade(network: nn.Module, path: Path) -> float:
    """Write the shade's graph ``x`` -> ``factor``; return its largest difference from torch."""
    import onnxruntime

    x = torch.rand(3, SEEN.stop - SEEN.start, SHADE_SIDE, SHADE_SIDE) * 2 - 1
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        network, (x,), str(path), input_names=["x"], output_names=["factor"],
        dynamic_axes={n: {0: "batch"} for n in ("x", "factor")},
        opset_version=OPSET, dynamo=False,
    )  # fmt: skip
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (factor,) = session.run(["factor"], {"x": x.numpy()})
    with torch.no_grad():
        return float(np.abs(factor - network(x).numpy()).max())


def write_manifest(trained: Path, graph: Path, command: str) -> Path:
    """Write the shade's manifest beside its graph; the figures are added by hand."""
    about = json.loads((trained / "shade.json").read_text())
    manifest = {
        "file": graph.name,
        "sha256": hashlib.sha256(graph.read_bytes()).hexdigest(),
        "bytes": graph.stat().st_size,
        "parameters": sum(v.numel() for v in load_file(trained / "shade.safetensors").values()),
        "command": command,
        "samples": about["samples"],
        "pairs": about["pairs"],
        "data": "SFHQ portraits with open mouths (MIT), closed and opened again by our renderer; "
        "synthetic people of models.renderer.people (ICT-FaceKit, MIT; SFHQ, MIT).",
        "licence": "Apache-2.0",
    }
    path = graph.with_name("manifest.json")
    path.write_text(json.dumps(manifest, indent=1) + "\n")
    return path


def export_stages(trained: Path, out: Path) -> dict[str, float]:
    """Write every trained stage's graph, and an untrained one for the bench to fail.

    Returns:
        The largest difference from torch by stage.
    """
    differences = {}
    for weights in sorted(trained.glob("*.safetensors")):
        if weights.stem == "shade":
            shade = ShadeNetwork()
            shade.load_state_dict(load_file(weights))
            differences["shade"] = export_shade(shade.eval(), out / "shade.onnx")
            write_manifest(trained, out / "shade.onnx", COMMAND)
            continue
        if weights.stem == "light":
            differences["light"] = export_light(load_network(weights), out / "light.onnx")
            describe_light(trained, out / "light.onnx", LIGHT_COMMAND)
            continue
        about = json.loads(weights.with_suffix(".json").read_text())
        network, side = load_network(weights), int(about["side"])
        generator = torch.Generator().manual_seed(0)
        x = torch.rand(2, CHANNELS, side, side, generator=generator)
        export_onnx(network, out / f"{weights.stem}.onnx", side)
        differences[weights.stem] = parity(network, out / f"{weights.stem}.onnx", x)
        torch.manual_seed(0)
        untrained = RefinerNetwork(network.config).eval()
        nn.init.normal_(untrained.head.weight, 0.0, 0.05)  # its own start changes nothing
        export_onnx(untrained, out / "untrained.onnx", side)
    return differences
