"""``visavis bench quality renderer``: what the lights make of held-out people and portraits.

Every arm sees the same crops: the raw warp, the shade, the light. Intervals are 95 % bootstraps
over people.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.benchmarks.quality.pictures import interval, ms_ssim, psnr, sharpness, ssim
from visavis.benchmarks.quality.renderer.refiners import refiner_of
from visavis.models.arrays import Floats
from visavis.models.renderer.relight.crop import GATE, INSIDE, SIDE, WARPED, Crop, pack
from visavis.models.renderer.relight.lighting import Lighting
from visavis.models.renderer.training.relight.pairs.pairs import read_pairs

_BATCH = 16
MEASURES: dict[str, Callable[..., float]] = {"psnr": psnr, "ssim": ssim, "ms_ssim": ms_ssim}


def inputs_of(pairs: dict[str, NDArray], rows: NDArray[np.int64]) -> Floats:
    """Return the network's inputs of some pairs."""
    return np.stack([
        pack(
            Crop(
                pairs["warped"][r], pairs["photo"][r], pairs["interior"][r],
                pairs["shift"][r].astype(np.float32), pairs["inside"][r],
            )
        )
        for r in rows
    ])  # fmt: skip


def draw(lighting: Lighting | None, x: Floats) -> Floats:
    """Return pictures ``(B, SIDE, SIDE, 3)`` in 0-255, rounded as a frame is."""
    picture = x[:, WARPED]
    if lighting is not None:
        gains = np.stack(
            [cv2.resize(lighting.gain(one), (SIDE, SIDE)) for one in at_side(x, lighting)]
        )
        picture = picture + x[:, GATE] * gains[:, None] * (picture + 1.0)
    return np.rint(np.clip((picture + 1) * 127.5, 0, 255)).transpose(0, 2, 3, 1)


def at_side(x: Floats, lighting: Lighting) -> Floats:
    """Return inputs at the size of the crop that a light sees."""
    cell = SIDE // lighting.side
    return x.reshape(*x.shape[:2], lighting.side, cell, lighting.side, cell).mean((3, 5))


def measure(
    arms: dict[str, Lighting | None], pairs: dict[str, NDArray]
) -> dict[str, dict[str, NDArray]]:
    """Return every measure of every arm per pair."""
    found: dict[str, dict[str, list[float]]] = {}
    for low in range(0, len(pairs["person"]), _BATCH):
        rows = np.arange(low, min(low + _BATCH, len(pairs["person"])))
        x = inputs_of(pairs, rows)
        pictures = {name: draw(arm, x) for name, arm in arms.items()}
        for place, row in enumerate(rows):
            truth, gate = pairs["target"][row], x[place, GATE][0]
            # The region is wider than what the network may touch: lips and the skin around.
            inside = x[place, INSIDE][0]
            for name, picture in pictures.items():
                values = found.setdefault(name, {})
                for key, of in MEASURES.items():
                    values.setdefault(f"mouth_{key}", []).append(of(picture[place], truth, gate))
                values.setdefault("inside_psnr", []).append(psnr(picture[place], truth, inside))
                rim = gate * (1 - inside)
                values.setdefault("rim_psnr", []).append(psnr(picture[place], truth, rim))
                whole = np.ones_like(gate)
                values.setdefault("crop_psnr", []).append(psnr(picture[place], truth, whole))
                ratio = sharpness(picture[place], gate) / max(sharpness(truth, gate), 1e-6)
                values.setdefault("sharpness", []).append(ratio)
    return {n: {k: np.array(v) for k, v in values.items()} for n, values in found.items()}


def summarise(
    found: dict[str, dict[str, NDArray]], people: NDArray[np.int64]
) -> dict[str, dict[str, tuple[float, float, float]]]:
    """Return mean and interval of every measure, and of the gain over the warp."""
    table = {}
    for name, values in found.items():
        row = {key: interval(v, people) for key, v in values.items()}
        if name != "warp":
            gain = values["mouth_psnr"] - found["warp"]["mouth_psnr"]
            row["gain_over_warp_db"] = interval(gain, people)
        table[name] = row
    return table


def arms_of(folder: Path) -> dict[str, Lighting | None]:
    """Return the raw warp, and the light of every graph in a folder."""
    return {"warp": None, **{p.stem: refiner_of(p)() for p in sorted(folder.glob("*.onnx"))}}


def show(table: dict[str, dict[str, tuple[float, float, float]]]) -> str:
    """Return the table as text."""
    keys = ("mouth_psnr", "inside_psnr", "rim_psnr", "mouth_ssim", "mouth_ms_ssim", "sharpness",
            "gain_over_warp_db")  # fmt: skip
    lines = ["arm           " + "".join(f"{k:>26}" for k in keys)]
    for name, row in table.items():
        cells = [
            f"{row[k][0]:8.3f} [{row[k][1]:7.3f},{row[k][2]:7.3f}]" if k in row else ""
            for k in keys
        ]
        lines.append(f"{name:<14}" + "".join(f"{c:>26}" for c in cells))
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Measure; returns the exit code."""
    parser = argparse.ArgumentParser(prog="visavis bench quality renderer", description=__doc__)
    parser.add_argument("--pairs", type=Path, nargs="+", required=True, help="folders of pairs")
    parser.add_argument("--graphs", type=Path, required=True, help="folder of the arms' graphs")
    parser.add_argument("--limit", type=int, default=512)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    arms = arms_of(args.graphs)
    report = {}
    for folder in args.pairs:
        pairs = read_pairs(folder.glob("*.npz"))
        rows = np.flatnonzero(pairs["person"] < 0)
        if not len(rows):
            print(f"{folder.name}: nothing is held out there.")
            continue
        rows = rows[:: max(1, len(rows) // args.limit)][: args.limit]
        chosen = {name: a[rows] for name, a in pairs.items()}
        people = chosen["person"]
        table = summarise(measure(arms, chosen), people)
        print(f"{folder.name}: {len(rows)} frames of {len(np.unique(people))} held-out people")
        print(show(table))
        report[folder.name] = {"table": table, "frames": len(rows)}
    if args.json:
        args.json.write_text(json.dumps(report, indent=1))
    return 0 if report else 1
