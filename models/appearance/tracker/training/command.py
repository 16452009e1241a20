"""``visavis train tracker --faces FACES --out DIR``: label, animate, train, write the weights."""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import cv2
import torch

from visavis.models.appearance.tracker.training.animate import animate
from visavis.models.appearance.tracker.training.label import label
from visavis.models.appearance.tracker.training.samples import Faces
from visavis.models.appearance.tracker.training.train import PARTS, train

_MINUTES = {"face": 40.0, "lips": 13.0, "eye": 10.0, "find": 14.0, "matte": 7.0}
_STAGES = ("label", "animate", *PARTS)


def main(argv: list[str] | None = None) -> int:
    """Run the stages that are asked for; returns the exit code."""
    parser = argparse.ArgumentParser(prog="visavis train tracker", description=__doc__)
    parser.add_argument("--faces", type=Path, required=True, help="folder of portraits (JPEG)")
    parser.add_argument("--out", type=Path, required=True, help="where everything goes")
    parser.add_argument(
        "--stages", nargs="+", default=list(_STAGES), metavar="STAGE",
        help=f"of {', '.join(_STAGES)}; PART=MINUTES trains so long",
    )  # fmt: skip
    parser.add_argument("--people", type=int, default=300, help="portraits to animate")
    parser.add_argument("--frames", type=int, default=14, help="of each")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args(argv)
    stages = [item.partition("=") for item in arguments.stages]
    for name, _, _ in stages:
        if name not in _STAGES:
            parser.error(f"there is no stage {name}; choose {', '.join(_STAGES)}")
    cv2.setNumThreads(1)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    data = arguments.out / "data"
    for name, _, minutes in stages:
        if name == "label":
            label(arguments.faces, data)
        elif name == "animate":
            animate(
                arguments.faces, data, people=arguments.people, frames=arguments.frames,
                minutes=float(minutes or 15),
            )  # fmt: skip
        else:
            train(name, arguments.faces, arguments.out, float(minutes or _MINUTES[name]))
    write_manifest(arguments.out, Faces.load(data, arguments.faces))
    return 0


def write_manifest(out: Path, faces: Faces) -> None:
    """Write ``mirror.json`` and the sums of what has been exported, with what they came from."""
    (out / "mirror.json").write_text(json.dumps(faces.mirror.tolist()) + "\n")
    manifest: dict[str, Any] = {
        "command": "visavis train tracker --faces FACES --out DIR",
        "data": "SFHQ portraits (MIT), every eleventh held out, and the same animated by our own "
        "renderer; landmarks and mattes by MediaPipe 0.10.21 (Apache-2.0) as the teacher.",
        "licence": "Apache-2.0",
        "samples": {},
    }
    for part in PARTS:
        graph, state = out / f"{part}.onnx", out / f"{part}.pt"
        if not graph.exists():
            continue
        manifest[f"{part}_file"] = graph.name
        manifest[f"{part}_sha256"] = hashlib.sha256(graph.read_bytes()).hexdigest()
        manifest[f"{part}_bytes"] = graph.stat().st_size
        if state.exists():
            manifest["samples"][part] = int(torch.load(state, weights_only=True)["seen"])
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
