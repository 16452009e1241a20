"""``visavis bench quality faces``: our face tracker against MediaPipe on portraits and videos.

Landmarks are compared in inter-ocular distances; MediaPipe's own disagreement with itself (mirror,
a shift of one pixel, another crop) stands beside, since no student can be nearer to a teacher than
the teacher is to itself. Portraits are those that training held out.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.benchmarks.common import BenchmarkError, guarded, machine, write_json
from visavis.benchmarks.quality.faces.negatives import plain_pictures, without_face
from visavis.models.appearance.enrol import enrol
from visavis.models.appearance.photo.errors import EnrolmentRefused
from visavis.models.appearance.tracker.faces import FaceLandmarks, OpenTracker
from visavis.models.appearance.tracker.parts import EYE, LIPS
from visavis.models.appearance.tracker.provider import mediapipe_installed, open_tracker
from visavis.models.appearance.tracker.training.label import is_held_out, portraits

Picture = NDArray[np.uint8]
Found = tuple[FaceLandmarks | None, FaceLandmarks | None]  # ours, MediaPipe's
_FRAMES_EVERY = 5
_LIDS = EYE[:16]


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="visavis bench quality faces", description=__doc__)
    parser.add_argument("--faces", type=Path, required=True, help="folder of portraits")
    parser.add_argument("--videos", type=Path, help="folder of videos of one face each")
    parser.add_argument("--most", type=int, default=150, help="portraits")
    parser.add_argument("--enrolments", type=int, default=40, help="of these, both ways")
    parser.add_argument("--json", type=Path, help="where the result goes")
    return guarded(lambda: _measure(parser.parse_args(argv)))


def _measure(args: argparse.Namespace) -> int:
    if not mediapipe_installed():
        raise BenchmarkError(
            "MediaPipe, which this is measured against, does not install on this Python."
        )
    cv2.setNumThreads(1)
    paths = [p for i, p in portraits(args.faces) if is_held_out(i)][: args.most]
    if not paths:
        raise BenchmarkError(f"There are no portraits in {args.faces}.")
    photos = [_read(p) for p in paths]
    ours, theirs = open_tracker("own"), open_tracker("mediapipe")
    pairs = [(_largest(ours, p), _largest(theirs, p)) for p in photos]
    report: dict[str, Any] = {
        "machine": machine(), "benchmark": "quality faces", "portraits": len(photos),
        "landmarks, % of the inter-ocular distance": regions(pairs, ours),
        "found": {
            "ours": _share(a is not None for a, _ in pairs),
            "mediapipe": _share(b is not None for _, b in pairs),
            "ours of what mediapipe finds": _share(a is not None for a, b in pairs if b),
        },
        "disagreement with itself, %": {
            "ours": consistency(ours, photos[::2]), "mediapipe": consistency(theirs, photos[::2]),
        },
        "found where nobody is": negatives(ours, theirs, photos, pairs),
        "matte": mattes(ours, theirs, photos),
        "speed": speed(ours, theirs, photos),
        "enrolment": enrolments(ours, theirs, photos[: args.enrolments]),
    }  # fmt: skip
    if args.videos:
        report["videos"] = videos(ours, theirs, args.videos)
    for name, value in report.items():
        print(f"{name}: {value}")
    if args.json:
        write_json(args.json, report)
    return 0


def regions(pairs: list[Found], ours: OpenTracker) -> dict[str, dict[str, float]]:
    """Return mean, median and 90th percentile over faces of the mean distance, by region, in %."""
    mirror = _mirror(ours)
    marks = {
        "face": np.arange(468),
        "lips": np.array(LIPS[:40]),
        "lids": np.concatenate([np.array(_LIDS), mirror[list(_LIDS)]]),
        "irises": np.arange(468, 478),
    }
    both = [(a, b) for a, b in pairs if a is not None and b is not None]
    distance = np.stack(
        [np.linalg.norm((a.points - b.points)[:, :2], axis=1) / b.inter_ocular_px for a, b in both]
    )
    out = {}
    for name, which in marks.items():
        each = 100 * distance[:, which].mean(1)
        out[name] = {
            "mean": round(float(each.mean()), 2), "median": round(float(np.median(each)), 2),
            "p90": round(float(np.percentile(each, 90)), 2),
        }  # fmt: skip
    return out


def consistency(tracker: OpenTracker, photos: list[Picture]) -> dict[str, float]:
    """Return how far a tracker's landmarks move, in %, where they should not; medians."""
    mirror = _mirror(open_tracker("own"))
    rows: dict[str, list[float]] = {"mirror": [], "one pixel": [], "another crop": []}
    for photo in photos:
        first = _largest(tracker, photo)
        if first is None:
            continue
        _height, width = photo.shape[:2]
        flipped = _largest(tracker, np.ascontiguousarray(photo[:, ::-1]))
        if flipped is not None:
            back = flipped.points[mirror][:, :2] * (-1, 1) + (width, 0)
            rows["mirror"].append(_apart(first, back))
        for name, (dx, dy) in (("one pixel", (1, 1)), ("another crop", (width // 12, 0))):
            moved = _largest(tracker, np.ascontiguousarray(photo[dy:, dx:]))
            if moved is not None:
                rows[name].append(_apart(first, moved.points[:, :2] + (dx, dy)))
    return {name: round(float(np.median(values)), 2) for name, values in rows.items()}


def negatives(
    ours: OpenTracker, theirs: OpenTracker, photos: list[Picture], pairs: list[Found]
) -> dict[str, int]:
    """Return how many pictures without a face there are, and in how many one was found."""
    pictures = list(plain_pictures())
    for seed, (photo, (_, face)) in enumerate(zip(photos, pairs, strict=True)):
        if face is not None and len(pictures) < 200:
            pictures.append(without_face(photo, face.points, seed))
    return {
        "pictures": len(pictures),
        "ours": sum(bool(ours.detect(p)) for p in pictures),
        "mediapipe": sum(bool(theirs.detect(p)) for p in pictures),
    }


def mattes(ours: OpenTracker, theirs: OpenTracker, photos: list[Picture]) -> dict[str, float]:
    """Return the overlap of both mattes at one half, and their difference along the edge."""
    overlap, edge = [], []
    for photo in photos[::2]:
        a, b = ours.segment(photo), theirs.segment(photo)
        union = ((a > 0.5) | (b > 0.5)).sum()
        overlap.append(((a > 0.5) & (b > 0.5)).sum() / max(union, 1))
        width = max(3, min(photo.shape[:2]) // 40) | 1
        hard = (b > 0.5).astype(np.uint8)
        kernel = np.ones((width, width), np.uint8)
        band = cv2.dilate(hard, kernel) != cv2.erode(hard, kernel)
        if band.any():
            edge.append(float(np.abs(a - b)[band].mean()))
    return {
        "IoU, mean": round(float(np.mean(overlap)), 4),
        "IoU, 10th percentile": round(float(np.percentile(overlap, 10)), 4),
        "difference along the edge": round(float(np.mean(edge)), 4),
    }


def speed(ours: OpenTracker, theirs: OpenTracker, photos: list[Picture]) -> dict[str, float]:
    """Return milliseconds, medians: a portrait detected, a video frame followed, a matte."""
    small = [cv2.resize(p, (512, 512)) for p in photos[:12]]
    out = {}
    for name, tracker in (("ours", ours), ("mediapipe", theirs)):
        for what, call in (
            ("detect", tracker.detect), ("track", tracker.track), ("segment", tracker.segment)
        ):  # fmt: skip
            out[f"{name}: {what}, ms"] = _milliseconds(call, small)
    return out


def enrolments(
    ours: OpenTracker, theirs: OpenTracker, photos: list[Picture]
) -> dict[str, float | list[str]]:
    """Return how often both ways end alike, and the codes of those that do not."""
    apart, took = [], []
    for photo in photos:
        began = time.perf_counter()
        mine = _outcome(photo, ours)
        took.append(time.perf_counter() - began)
        other = _outcome(photo, theirs)
        if mine != other:
            apart.append(f"{mine} / {other}")
    agree = 1 - len(apart) / max(1, len(photos))
    return {
        "agree": round(agree, 3),
        "ours / mediapipe": apart,
        "s, median": round(float(np.median(took)), 2),
    }


def videos(ours: OpenTracker, theirs: OpenTracker, folder: Path) -> dict[str, Any]:
    """Return the landmarks' distances on frames of videos, each tracker following its own way."""
    pairs: list[Found] = []
    for path in sorted(folder.glob("*.mpg")):
        for number, frame in enumerate(_frames(path)):
            mine = ours.track(frame)
            if number % _FRAMES_EVERY == 0:
                pairs.append((mine, _largest(theirs, frame)))
    if not pairs:
        raise BenchmarkError(f"There are no videos (.mpg) in {folder}.")
    return {
        "frames": len(pairs), "found": _share(a is not None for a, _ in pairs),
        **regions(pairs, ours),
    }  # fmt: skip


def _outcome(photo: Picture, tracker: OpenTracker) -> str:
    try:
        enrol(photo, tracker=tracker, size=256)
    except EnrolmentRefused as refusal:
        return refusal.code
    return "ready"


def _milliseconds(call: Callable[[Picture], Any], pictures: list[Picture]) -> float:
    times = []
    for picture in pictures:
        call(picture)
        began = time.perf_counter()
        call(picture)
        times.append(1000 * (time.perf_counter() - began))
    return round(float(np.median(times)), 1)


def _frames(path: Path) -> Iterator[Picture]:
    import av

    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def _read(path: Path) -> Picture:
    return np.ascontiguousarray(cv2.imread(str(path))[..., ::-1], np.uint8)


def _largest(tracker: OpenTracker, photo: Picture) -> FaceLandmarks | None:
    faces = tracker.detect(photo)
    return faces[0] if faces else None


def _apart(face: FaceLandmarks, other: NDArray[np.floating]) -> float:
    return float(
        100 * np.linalg.norm(face.points[:, :2] - other, axis=1).mean() / face.inter_ocular_px
    )


def _mirror(tracker: OpenTracker) -> NDArray[np.int64]:
    return np.asarray(tracker.mirror)  # type: ignore[attr-defined]


def _share(hits: Any) -> float:
    values = list(hits)
    return round(sum(values) / max(1, len(values)), 4)


if __name__ == "__main__":
    sys.exit(main())
