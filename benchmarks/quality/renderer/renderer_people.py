"""Whole frames of held-out synthetic people, with and without refiner, region by region.

``visavis bench quality synthetic --people DIR [--graph FILE]``: every held-out person's photo is
enrolled, its frames are drawn and compared with the true pictures: mouth, eyes, silhouette and
everything. The truth is bent onto the warp (see ``training.relight.synthetic``), since a
landmark that lies a pixel off is the enrolment's error, not the picture's.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.benchmarks.quality.pictures import interval, ms_ssim, psnr, ssim
from visavis.benchmarks.quality.renderer.refiners import refiner_of
from visavis.models.appearance.enrol import enrol
from visavis.models.appearance.photo.errors import EnrolmentRefused
from visavis.models.arrays import Image
from visavis.models.renderer.refiner import Refiner
from visavis.models.renderer.renderer import Renderer
from visavis.models.renderer.training.people.shards import Clip, read_shards, truth_tracker
from visavis.models.renderer.training.relight.pairs.synthetic import registered

Table = dict[str, tuple[float, float, float]]
_MOUTH, _EYE, _OUTLINE = (3, 4, 5), (6,), (0, 8)  # classes of the truth
_MEASURES: dict[str, Callable[..., float]] = {"psnr": psnr, "ssim": ssim, "ms_ssim": ms_ssim}
_NEAR = 0.05  # of the picture's side: how far the regions reach beyond their classes
GROUPS = ("tone", "age", "sex")


def regions(semantics: Image) -> dict[str, NDArray[np.float64]]:
    """Return weights ``(S, S)`` per region; a region that is not seen is left out.

    Args:
        semantics: ``(S, S)`` classes of the true picture.
    """
    reach = max(1, int(_NEAR * len(semantics)) // 2)
    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    behind = np.isin(semantics, _OUTLINE).astype(np.uint8)
    edge = cv2.dilate(behind, kernel) - cv2.erode(behind, kernel)
    found = {
        "mouth": cv2.dilate(np.isin(semantics, _MOUTH).astype(np.uint8), kernel),
        "eyes": cv2.dilate(np.isin(semantics, _EYE).astype(np.uint8), kernel),
        "silhouette": edge,
        "all": np.ones_like(behind),
    }
    return {name: region.astype(np.float64) for name, region in found.items() if region.any()}


def frames_of(
    clip: Clip, make: Callable[[], Refiner] | None, count: int
) -> Iterator[tuple[dict[str, Image], Image, Image]]:
    """Yield pictures by arm, bent truth and classes for some frames of a clip.

    Raises:
        EnrolmentRefused: the photo cannot serve.
    """
    rng = np.random.default_rng([1, clip.person])
    side = clip.photo.shape[0]
    identity = enrol(clip.photo, tracker=truth_tracker(clip, rng), size=side)
    arms = {"off": Renderer(identity, size=side)}
    if make is not None:
        arms["on"] = Renderer(identity, size=side, refiner=make())
    for k in np.linspace(0, len(clip.targets) - 1, min(count, len(clip.targets))).astype(int):
        drawn = {name: r.render(clip.coefficients[k]).copy() for name, r in arms.items()}
        truth = clip.truth(int(k))
        wanted = cv2.resize(truth.photo_xy, (side, side))
        skin = ~np.isin(truth.semantics, (*_MOUTH, *_EYE))
        source, unit = arms["off"].shown(), arms["off"]._rig.unit
        target, _ = registered(clip.targets[int(k)], source, wanted, skin, unit)
        yield drawn, target, truth.semantics


def measure(
    people: Path, make: Callable[[], Refiner] | None, count: int
) -> tuple[dict[str, list[float]], list[dict[str, object]]]:
    """Return every measure by ``arm/region/measure`` with NaN where a region is not seen.

    The second value has the labels and the number of the person of each frame.
    """
    rows: list[dict[str, float]] = []
    whose: list[dict[str, object]] = []
    for clip in read_shards(people, "held_out"):
        try:
            for drawn, target, semantics in frames_of(clip, make, count):
                row = {
                    f"{arm}/{region}/{name}": of(picture, target, weight)
                    for arm, picture in drawn.items()
                    for region, weight in regions(semantics).items()
                    for name, of in _MEASURES.items()
                }
                rows.append(row)
                whose.append({**clip.labels, "person": clip.person})
        except EnrolmentRefused:
            continue
    keys = sorted({key for row in rows for key in row})
    return {key: [row.get(key, float("nan")) for row in rows] for key in keys}, whose


def summarise(found: dict[str, list[float]], whose: list[dict[str, object]]) -> Table:
    """Return mean and interval over people of every measure, and of on minus off."""
    people = np.array([int(str(w["person"])) for w in whose])
    table: Table = {}
    for key, values in found.items():
        series = np.array(values)
        if key.startswith("on/"):
            gain = series - np.array(found["off/" + key[3:]])
            seen = np.isfinite(gain)
            table["gain/" + key[3:]] = interval(gain[seen], people[seen])
        seen = np.isfinite(series)
        table[key] = interval(series[seen], people[seen])
    return table


def by_group(
    found: dict[str, list[float]], whose: list[dict[str, object]], key: str
) -> dict[str, float]:
    """Return the mean of one measure for every tone, age and sex."""
    values, result = np.array(found[key]), {}
    for group in GROUPS:
        labels = np.array([str(w.get(group, "unknown")) for w in whose])
        for label in np.unique(labels):
            mine = values[(labels == label) & np.isfinite(values)]
            if len(mine):
                result[f"{group} {label}"] = float(mine.mean())
    return result


def main(argv: list[str] | None = None) -> int:
    """Measure; returns the exit code."""
    parser = argparse.ArgumentParser(prog="visavis bench quality synthetic", description=__doc__)
    parser.add_argument("--people", type=Path, required=True, help="folder of shards")
    parser.add_argument("--graph", type=Path, help="of the refiner; without it the warp alone")
    parser.add_argument("--frames", type=int, default=6, help="of each person")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    cv2.setNumThreads(1)
    make = refiner_of(args.graph) if args.graph is not None else None
    found, whose = measure(args.people, make, args.frames)
    if not whose:
        print(f"Nobody is held out in {args.people}.")
        return 1
    table = summarise(found, whose)
    print(f"{len(whose)} frames of {len({w['person'] for w in whose})} held-out people")
    for key, (mean, low, high) in table.items():
        print(f"{key:<28}{mean:9.3f} [{low:.3f}, {high:.3f}]")
    arm = "on" if make is not None else "off"
    groups = by_group(found, whose, f"{arm}/mouth/psnr")
    mean = table[f"{arm}/mouth/psnr"][0]
    for name, value in groups.items():
        print(f"{arm} mouth psnr, {name:<14}{value:7.2f} dB, {100 * (value / mean - 1):+.1f} %")
    if args.json:
        args.json.write_text(json.dumps({"table": table, "groups": groups}, indent=1))
    return 0
