"""``visavis bench quality tuning``: does tuning on a person's own photo make a better picture?

For held-out synthetic people whose photo shows them with open lips: the shipped shade against the
same after its last layers learned from that photo, on other frames of the same person. Nobody's
frames are learned from.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from visavis.benchmarks.common import machine, write_json
from visavis.benchmarks.quality.pictures import interval, psnr
from visavis.models.renderer.relight.shade import shade_graph
from visavis.models.renderer.training.people.shards import Clip, read_shards, truth_tracker
from visavis.models.renderer.training.relight.data import PairSet
from visavis.models.renderer.training.relight.pairs import arrays_of
from visavis.models.renderer.training.relight.portraits import opening, portrait_pairs
from visavis.models.renderer.training.relight.shade_network import ShadeNetwork, shaded
from visavis.models.renderer.training.relight.synthetic import pairs_of_clip
from visavis.models.renderer.training.relight.tune import load_shade, tuned

_OPEN = 0.05  # of the outer eye distance
_STEPS = (25, 50, 100)


def pictures(network: ShadeNetwork, pairs: PairSet) -> np.ndarray:
    """Return the pairs' pictures ``(N, SIDE, SIDE, 3)`` in 0-255."""
    with torch.no_grad():
        found = shaded(network, pairs.whole(np.arange(len(pairs))).x)
    return ((found + 1) * 127.5).clamp(0, 255).permute(0, 2, 3, 1).numpy()


def compare(clip: Clip, network: ShadeNetwork, variants: int) -> dict[str, list[float]] | None:
    """Return PSNR in the mouth by arm of every frame of one person; None without own pairs."""
    rng = np.random.default_rng([5, clip.person])
    frames = list(pairs_of_clip(clip, len(clip.targets), 1))
    points = truth_tracker(clip, rng).detect(clip.photo)[0].points
    began = time.monotonic()
    own = list(portrait_pairs(clip.photo, points, 1, rng, variants))
    if not frames or not own:
        return None
    held = arrays_of(frames)
    pairs = PairSet(held, "mouth")
    gates = pairs.whole(np.arange(len(pairs))).weight[:, 0].numpy()
    arms = {"warp": held["warped"], "shade": pictures(network, pairs)}
    spent = time.monotonic() - began
    found: dict[str, list[float]] = {"seconds": []}
    for steps in _STEPS:
        began = time.monotonic()
        arms[f"tuned {steps}"] = pictures(
            tuned(network, own, steps, np.random.default_rng(1)), pairs
        )
        found["seconds"].append(spent + time.monotonic() - began)
    for name, shown in arms.items():
        found[name] = [psnr(p, t, g) for p, t, g in zip(shown, held["target"], gates, strict=True)]
    return found


def main(argv: list[str] | None = None) -> int:
    """Measure; returns the exit code."""
    parser = argparse.ArgumentParser(prog="visavis bench quality tuning", description=__doc__)
    parser.add_argument("--people", type=Path, nargs="+", required=True, help="folders of shards")
    parser.add_argument("--variants", type=int, default=6, help="pairs made of the photo")
    parser.add_argument("--all", action="store_true", help="people that were trained on as well")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    network = load_shade(shade_graph())
    rows: dict[str, list[float]] = {}
    whose: list[int] = []
    for folder in args.people:
        for clip in read_shards(folder, None if args.all else "held_out"):
            if opening(clip.landmarks) < _OPEN:
                continue
            found = compare(clip, network, args.variants)
            if found is not None:
                for name, values in found.items():
                    rows.setdefault(name, []).extend(values)
                whose += [clip.person] * len(found["shade"])
    if not whose:
        print("Nobody who is held out shows open lips in the photo.")
        return 1
    people = np.array(whose)
    seconds = np.array(rows.pop("seconds")).reshape(-1, len(_STEPS))
    print(f"{len(people)} frames of {len(np.unique(people))} people")
    report = {}
    for name, values in rows.items():
        gain = np.array(values) - np.array(rows["shade"])
        report[name] = {"psnr": float(np.mean(values)), "gain_over_shade": interval(gain, people)}
        mean, low, high = report[name]["gain_over_shade"]
        print(
            f"{name:<10}{np.mean(values):7.2f} dB, "
            f"over the shade {mean:+.2f} [{low:.2f}, {high:.2f}]"
        )
    print(f"pairs and tuning take {np.percentile(seconds, 95, axis=0).round(1)} s at p95")
    if args.json:
        write_json(args.json, {
            "machine": machine(), "benchmark": "quality tuning", "people": len(np.unique(people)),
            "frames": len(people), "arms": report,
            "seconds_p95": np.percentile(seconds, 95, axis=0).tolist(), "steps": list(_STEPS),
        })  # fmt: skip
    return 0
