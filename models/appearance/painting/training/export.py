"""Write the painting network as ONNX, with the manifest beside it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch

from visavis.models.appearance.painting.canvas import CONDITIONS, HEIGHT, WIDTH
from visavis.models.appearance.painting.training.crops import Set
from visavis.models.appearance.painting.training.network import ABOUT, PaintNetwork
from visavis.models.renderer.training.relight.graph_file import some, write_graph

INPUTS = ("x", "conditions", "t", "d", "about")
COMMAND = "visavis train painting --faces FACES --out DIR"


def export(network: PaintNetwork, data: Set, path: Path) -> float:
    """Write graph and manifest; return the graph's largest difference from torch.

    Args:
        network: the student.
        data: what it was trained on.
        path: of the graph; the manifest is ``manifest.json`` beside it.
    """
    network = network.to("cpu", memory_format=torch.contiguous_format).eval()
    inputs = {
        "x": some(2, 3, HEIGHT, WIDTH),
        "conditions": some(2, CONDITIONS, HEIGHT, WIDTH),
        "t": some(2, 1, low=0.0),
        "d": some(2, 1, low=0.0),
        "about": some(2, ABOUT, low=0.0),
    }
    difference = write_graph(network, inputs, ("v",), path)
    manifest = {
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "bytes": path.stat().st_size,
        "parameters": sum(p.numel() for p in network.parameters()),
        "command": COMMAND,
        "mouths": int((~data.held_out).sum()),
        "held_out": sorted(str(n) for n in data.names[data.held_out]),
        "ranges": {"t": [0.0, 1.0], "d": [0.0, 1.0], "about": [0.0, 1.0]},
        "data": "SFHQ and SFHQ-T2I portraits with open mouths (MIT, synthetic photographs).",
        "licence": "Apache-2.0",
    }
    (path.parent / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    return difference
