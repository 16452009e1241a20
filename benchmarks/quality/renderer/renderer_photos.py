"""The refiner on enrolled photos: on against off, where no truth exists.

``visavis bench quality photos --identities DIR --graph FILE``: sharpness against the photo, what
flickers while the mouth is held open and the head moves, what is left of the colour after a
minute, how much of the picture changes at all, and a contact sheet to look at.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.benchmarks.quality.measures import flicker
from visavis.benchmarks.quality.pictures import sharpness
from visavis.benchmarks.quality.renderer.refiners import refiner_of
from visavis.models.appearance.identity import Identity
from visavis.models.arrays import Floats, Image
from visavis.models.coefficients import INDEX, neutral
from visavis.models.renderer.refiner import Refiner
from visavis.models.renderer.renderer import Renderer

FPS = 25
_CELL = 150

MOTIONS: dict[str, dict[str, float]] = {
    "ah": {"jawOpen": 0.34, "mouthLowerDown": 0.12, "mouthUpperUp": 0.06},
    "eh": {"jawOpen": 0.22, "mouthLowerDown": 0.2, "mouthUpperUp": 0.1, "mouthSmile": 0.1},
    "ee": {"jawOpen": 0.08, "mouthLowerDown": 0.22, "mouthUpperUp": 0.12, "mouthSmile": 0.2},
    "oh": {"jawOpen": 0.25, "mouthFunnel": 0.4, "mouthPucker": 0.4},
    "f": {"jawOpen": 0.06, "mouthRollLower": 0.4, "mouthUpperUp": 0.22},
    "wide": {"jawOpen": 0.6, "mouthLowerDown": 0.2},
    "smile": {"jawOpen": 0.1, "mouthSmile": 0.6, "mouthUpperUp": 0.3, "mouthLowerDown": 0.2},
    "left": {"jawOpen": 0.25, "mouthLowerDown": 0.15, "headYaw": -0.25},
    "right": {"jawOpen": 0.25, "mouthLowerDown": 0.15, "headYaw": 0.25},
    "nod": {"jawOpen": 0.25, "mouthLowerDown": 0.15, "headPitch": 0.15},
    "thin": {"jawOpen": 0.08, "mouthLowerDown": 0.06},
    "rest": {},
}


def coefficients(values: dict[str, float]) -> Floats:
    """Return a vector; a name without side means both."""
    vector = neutral()
    for name, value in values.items():
        for full in (name, name + "Left", name + "Right"):
            if full in INDEX:
                vector[INDEX[full]] = value
    return vector


def held_open(frame: int) -> Floats:
    """Return a mouth that is held open on a head that sways."""
    t = frame / FPS
    return coefficients(
        {
            "jawOpen": 0.3, "mouthLowerDown": 0.12,
            "headYaw": 0.10 * np.sin(2 * np.pi * 0.23 * t), "headPitch": 0.04 * np.sin(1.9 * t),
        }
    )  # fmt: skip


def mouth_of(renderer: Renderer, size: int = 96) -> Image:
    """Return the mouth's square of the frame just drawn."""
    points = renderer.rig.points
    lips = renderer.rig.lips
    ring = np.concatenate([points[lips.upper, :2], points[lips.lower, :2]])
    side = int(1.35 * renderer.rig.unit)
    left, top = (int(np.clip(v - side / 2, 0, renderer.size - side)) for v in ring.mean(0))
    crop = renderer._out[top : top + side, left : left + side]
    return cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)


def measure(identity: Identity, make: Callable[[], Refiner], minutes: float) -> dict[str, float]:
    """Measure one identity with and without refiner."""
    row: dict[str, float] = {}
    changed = []
    for name, refiner in (("off", None), ("on", make())):
        renderer = Renderer(identity, refiner=refiner)
        crops = []
        for frame in range(3 * FPS):
            renderer.render(held_open(frame))
            crops.append(mouth_of(renderer))
        row[f"flicker_{name}"] = flicker(crops)
        picture = renderer.render(coefficients(MOTIONS["eh"])).copy()
        changed.append(picture.astype(np.float64))
        box = np.zeros(picture.shape[:2])
        face = renderer.rig.source
        x0, y0 = np.clip(face.min(0), 0, None).astype(int)
        x1, y1 = np.clip(face.max(0), 0, identity.size).astype(int)
        box[y0:y1, x0:x1] = 1.0
        row[f"sharpness_{name}"] = sharpness(picture, box) / sharpness(identity.photo, box)
        first = np.mean([c.mean((0, 1)) for c in crops[:FPS]], 0)
        if name == "on":
            # The head's sway has a period of 4.35 s; whole periods compare.
            period = round(FPS / 0.23)
            start = _mean_colour(renderer, range(period))
            for frame in range(period, int(60 * FPS * minutes) - period, 10):
                renderer.render(held_open(frame))
            last = int(60 * FPS * minutes) // period * period
            end = _mean_colour(renderer, range(last - period, last))
            row["drift_percent"] = float(100 * np.abs(end - start).max() / max(first.max(), 1.0))
    difference = np.abs(changed[0] - changed[1]).max(2)
    row["changed_share"] = float((difference > 0).mean())
    return row


def _mean_colour(renderer: Renderer, frames: range) -> NDArray[np.float64]:
    total = np.zeros(3)
    for frame in frames:
        renderer.render(held_open(frame))
        total += mouth_of(renderer).mean((0, 1))
    return total / len(frames)


def sheet(identities: dict[str, Identity], make: Callable[[], Refiner]) -> Image:
    """Return mouths: per identity a row without and a row with refiner, a column per motion."""
    rows = []
    for name, identity in identities.items():
        for refiner in (None, make()):
            renderer = Renderer(identity, refiner=refiner)
            cells = []
            for motion, values in MOTIONS.items():
                renderer.render(coefficients(values))
                cell = mouth_of(renderer, _CELL)
                text = f"{name} {motion} {'on' if refiner else 'off'}"
                cv2.putText(cell, text, (3, 12), 0, 0.36, (255, 255, 90), 1, cv2.LINE_AA)
                cells.append(cell)
            rows.append(np.hstack(cells))
    return np.vstack(rows)


def main(argv: list[str] | None = None) -> int:
    """Measure every identity of a folder; returns the exit code."""
    parser = argparse.ArgumentParser(prog="visavis bench quality photos", description=__doc__)
    parser.add_argument("--identities", type=Path, required=True, help="folder of bundles")
    parser.add_argument("--graph", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    make = refiner_of(args.graph)
    found = {p.stem: Identity.load(p) for p in sorted(args.identities.iterdir()) if p.is_file()}
    if args.sheet:
        cv2.imwrite(str(args.sheet), cv2.cvtColor(sheet(found, make), cv2.COLOR_RGB2BGR))
    if args.json:
        rows = {name: measure(identity, make, args.minutes) for name, identity in found.items()}
        keys = list(next(iter(rows.values())))
        for name, row in [
            *rows.items(),
            ("mean", {k: np.mean([r[k] for r in rows.values()]) for k in keys}),
        ]:
            print(f"{name:<12}" + "".join(f"{k} {row[k]:.4f}  " for k in keys))
        args.json.write_text(json.dumps(rows, indent=1))
    return 0
