"""Write a trained network as ONNX and compare the two."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from visavis.models.renderer.relight.crop import SEEN
from visavis.models.renderer.relight.shade import SHADE_SIDE
from visavis.models.renderer.training.relight.graphs.graph_file import some, write_graph
from visavis.models.renderer.training.relight.graphs.light_graph import export_light
from visavis.models.renderer.training.relight.graphs.network import NetworkConfig, RefinerNetwork
from visavis.models.renderer.training.relight.graphs.shade_network import ShadeNetwork

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


def export_shade(network: nn.Module, path: Path) -> float:
    """Write the shade's graph ``x`` -> ``factor``; return its largest difference from torch."""
    x = some(3, SEEN.stop - SEEN.start, SHADE_SIDE, SHADE_SIDE)
    return write_graph(network, {"x": x}, ("factor",), path)


def write_manifest(graph: Path, trained: Path, stages: Sequence[str], command: str) -> Path:
    """Write the manifest beside a graph that ships; the figures are added by hand.

    Args:
        graph: the file.
        trained: folder of the weights.
        stages: that led to it, the last one's weights are in the graph.
        command: that repeats them.
    """
    about = {name: json.loads((trained / f"{name}.json").read_text()) for name in stages}
    weights = load_file(trained / f"{stages[-1]}.safetensors")
    manifest = {
        "file": graph.name,
        "sha256": hashlib.sha256(graph.read_bytes()).hexdigest(),
        "bytes": graph.stat().st_size,
        "parameters": sum(v.numel() for v in weights.values()),
        "command": command,
        "samples": {name: a["samples"] for name, a in about.items()},
        "device": {name: a["device"] for name, a in about.items()},
        "pairs": about[stages[-1]]["pairs"],
        "ranges": {"x": [-1.0, 1.0]},
        "data": "SFHQ portraits with open mouths (MIT), closed and opened again by our renderer; "
        "synthetic people of models/renderer/training/people (ICT-FaceKit, MIT; SFHQ, MIT).",
        "licence": "Apache-2.0",
    }
    path = graph.with_suffix(".json")
    path.write_text(json.dumps(manifest, indent=1) + "\n")
    return path


def export_stages(trained: Path, out: Path) -> dict[str, float]:
    """Write the graph of every trained stage that runs; a regression is the light's first half.

    What ships gets a manifest, ``<graph>.json``, beside it.

    Returns:
        The largest difference from torch by graph.
    """
    differences = {}
    for weights in sorted(trained.glob("*.safetensors")):
        stage = weights.stem
        graph = out / f"{stage}.onnx"
        if stage == "shade":
            shade = ShadeNetwork()
            shade.load_state_dict(load_file(weights))
            differences[stage] = export_shade(shade.eval(), graph)
            write_manifest(graph, trained, ("shade",), COMMAND)
            continue
        if stage == "light":
            differences[stage] = export_light(load_network(weights), graph)
            write_manifest(graph, trained, ("regression", "light"), LIGHT_COMMAND)
    return differences
