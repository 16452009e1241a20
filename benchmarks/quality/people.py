"""Real people and our pictures of them, on the same measure.

``visavis bench quality people --videos DIR``: of every talking video with sound one frame, that
with the mouth most shut, becomes an avatar. It is driven twice: by the person's sound alone, and by
the coefficients tracked in the other frames (self-reenactment). A face tracker looks at the
person's frames and at ours alike. Mouths are measured in distances of the outer eye corners: how
far width and opening move at the pace of speech (1.5-8 Hz), how wide the mouth is at rest, and how
our curve over time correlates with the person's own, at which lag.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.benchmarks.common import BenchmarkError, guarded, machine, write_json
from visavis.benchmarks.quality import reenact, talking
from visavis.benchmarks.quality.talking import Moves, Talk
from visavis.models.appearance.enrol import enrol
from visavis.models.appearance.face.basis import load_basis
from visavis.models.appearance.face.fit import fit_face
from visavis.models.appearance.face.neutral import neutralise
from visavis.models.appearance.layers.layers import frame_face, without_bars
from visavis.models.appearance.photo.errors import EnrolmentRefused
from visavis.models.appearance.photo.tracker import MediaPipeTracker
from visavis.models.arrays import Image
from visavis.models.coefficients import INDEX
from visavis.models.renderer.renderer import Renderer
from visavis.streamer.worker.pipeline.motion_models import MotionModels, load_motion
from visavis.streamer.worker.pipeline.picture_models import load_pictures

Row = dict[str, Any]
_HEAD = ("headPitch", "headYaw", "headRoll")
_CELL, _ON_SHEET, _MOUTH = 112, 24, 0.55
_TABLE = (
    ("width, speech band", "width_band", 4),
    ("width at rest", "width_rest", 3),
    ("width, mean", "width_mean", 3),
    ("aperture, speech band", "aperture_band", 4),
    ("aperture, 95th percentile", "aperture_p95", 3),
)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="visavis bench quality people", description=__doc__)
    parser.add_argument("--videos", type=Path, required=True, help="folder of talking videos")
    parser.add_argument("--names", nargs="*", help="stems of its files; default: all with sound")
    parser.add_argument("--size", type=int, default=512, choices=(256, 384, 512))
    parser.add_argument("--look-ahead-ms", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where the result goes")
    parser.add_argument("--sheet", type=Path, help="a PNG of mouths: the person's, ours by sound")
    return guarded(lambda: _measure(parser.parse_args(argv)))


def _measure(args: argparse.Namespace) -> int:
    cv2.setNumThreads(1)
    files = sorted(p for p in args.videos.glob("*") if p.suffix.lower() in talking.FILES)
    files = [p for p in files if not args.names or p.stem in args.names]
    rows, strips = {}, []
    refused = {}
    bench = Bench(args.size, args.look_ahead_ms, args.seed)
    for path in files:
        try:
            rows[path.stem], strip = bench.person(talking.read_talk(path))
            strips.append(strip)
        except (BenchmarkError, EnrolmentRefused) as reason:
            refused[path.stem] = str(reason)
            sys.stderr.write(f"{path.name}: left out: {reason}\n")
    if not rows:
        raise BenchmarkError(f"No talking video in {args.videos} can be measured.")
    report = {
        "machine": machine(), "benchmark": "quality people", "people": len(rows),
        "settings": {"size": args.size, "look_ahead_ms": args.look_ahead_ms, "seed": args.seed},
        "refused": refused, "median": median(list(rows.values())), "rows": rows,
    }  # fmt: skip
    print(table(report["median"]))
    if args.json:
        write_json(args.json, report)
    if args.sheet:
        cv2.imwrite(str(args.sheet), cv2.cvtColor(np.vstack(strips), cv2.COLOR_RGB2BGR))
    return 0


class Bench:
    """What every video is measured with."""

    def __init__(self, size: int, look_ahead_ms: int, seed: int) -> None:
        """Load the models."""
        self._size, self._look_ahead, self._seed = size, look_ahead_ms, seed
        self._tracker = MediaPipeTracker()
        self._motion: MotionModels = load_motion("cpu")
        self._pictures = load_pictures("cpu")
        self._basis = load_basis()

    def person(self, talk: Talk) -> tuple[Row, Image]:
        """Measure one video.

        Returns:
            The figures, and a strip of mouths: the person's above, ours by sound below.

        Raises:
            BenchmarkError: no face can be followed.
            EnrolmentRefused: the frame cannot serve as a photo.
        """
        points = talking.track(talk.frames, self._tracker)
        own = talking.moves(points, talk.fps)
        chosen = talking.calmest(own)
        photo = np.asarray(talk.frames[chosen])
        identity = enrol(photo, tracker=self._tracker, size=self._size)
        renderer = self._pictures.renderer(identity, self._size)
        values = self._by_sound(talk)
        drawn = [renderer.render(v).copy() for v in values]
        seen = talking.track(np.stack(drawn), self._tracker)
        sound = _beside(talking.moves(seen, talk.fps), own)
        sound["head_sigma"] = np.degrees(values[:, [INDEX[n] for n in _HEAD]].std(0)).tolist()
        real: Row = own.figures()
        real["head_sigma"], reenacted = self._reenact(talk, points, own, chosen, renderer)
        row = {"own": real, "by_sound": sound, "reenacted": reenacted, "photo": chosen}
        return row, _strip(talk.frames, points, drawn, seen)

    def _by_sound(self, talk: Talk) -> NDArray[np.float32]:
        stream = self._motion.stream(fps=talk.fps, look_ahead_ms=self._look_ahead, seed=self._seed)
        padded = np.concatenate([talk.pcm, np.zeros(talking.RATE, np.float32)])
        return stream.push(padded)[: len(talk.frames)]

    def _reenact(
        self, talk: Talk, points: NDArray[np.float32], own: Moves, chosen: int, renderer: Renderer
    ) -> tuple[list[float], Row]:
        """Return the head's sigma in degrees and the figures of the reenacted frames."""
        faces = self._tracker.detect(np.asarray(talk.frames[chosen]))
        left, top, right, bottom = without_bars(np.asarray(talk.frames[chosen]))
        shown = talk.frames[:, top:bottom, left:right]
        corner = np.array([left, top, 0], np.float32)
        framing = frame_face(np.asarray(shown[chosen]), faces[0].points - corner, self._size)
        placed = np.stack([framing.points(p - corner) for p in points])
        fit = fit_face(self._basis, framing.points(faces[0].points - corner))
        values, angles = reenact.drive(self._basis, fit, neutralise(self._basis, fit), placed)
        drawn = [renderer.render(v).copy() for v in values]
        seen = talking.track(np.stack(drawn), self._tracker)
        others = [i for i in range(len(drawn)) if i != chosen]
        figures = _beside(talking.moves(seen, talk.fps), own) | reenact.compare(
            [drawn[i] for i in others],
            [framing.cut(np.asarray(shown[i])) for i in others],
            seen[others],
            placed[others],
        )
        return angles.std(0).tolist(), figures


def _beside(ours: Moves, own: Moves) -> Row:
    """Return the figures of our mouth and how it goes with the person's."""
    figures: Row = ours.figures()
    for name in ("aperture", "width"):
        r, lag = talking.follow(getattr(ours, name), getattr(own, name), own.fps)
        figures |= {f"{name}_r": r, f"{name}_lag_ms": lag}
    figures["aperture_r_within_20_ms"], _ = talking.follow(ours.aperture, own.aperture, own.fps, 20)
    figures["rest_over_own"] = figures["width_rest"] / own.figures()["width_rest"]
    return figures


def median(rows: list[Row]) -> Row:
    """Return the medians over people, part by part."""
    out: Row = {}
    for part in ("own", "by_sound", "reenacted"):
        out[part] = {
            name: np.median([row[part][name] for row in rows], axis=0).tolist()
            for name in rows[0][part]
        }
    return out


def table(medians: Row) -> str:
    """Return the medians as a table in Markdown."""
    parts = ("own", "by_sound", "reenacted")
    lines = [
        "| in distances of the eyes' corners | the person | by sound | by tracked coefficients |"
    ]
    lines.append("|---|---|---|---|")
    for title, name, digits in _TABLE:
        cells = " | ".join(f"{medians[p][name]:.{digits}f}" for p in parts)
        lines.append(f"| {title} | {cells} |")
    for name in ("aperture", "width"):
        cells = " | ".join(
            f"{medians[p][name + '_r']:.2f} at {medians[p][name + '_lag_ms']:+.0f} ms"
            for p in parts[1:]
        )
        lines.append(f"| {name} over time, r | – | {cells} |")
    heads = ["/".join(f"{v:.1f}" for v in medians[p]["head_sigma"]) for p in parts[:2]]
    lines.append(f"| head, sigma of pitch/yaw/roll in degrees | {heads[0]} | {heads[1]} | – |")
    return "\n".join(lines)


def _strip(
    frames: Image, points: NDArray[np.float32], drawn: list[Image], seen: NDArray[np.float32]
) -> Image:
    """Return two rows of mouths at the same even steps."""
    rows = []
    steps = np.linspace(0, len(drawn) - 1, _ON_SHEET).round().astype(int)
    for pictures, faces in ((frames, points), (drawn, seen)):
        cells = []
        for i in steps:
            unit = float(np.linalg.norm(faces[i, 33, :2] - faces[i, 263, :2]))
            half = max(2, round(_MOUTH * unit))
            middle = faces[i, [13, 14], :2].mean(0)
            side = (2 * half, 2 * half)
            crop = cv2.getRectSubPix(np.asarray(pictures[i]), side, tuple(map(float, middle)))
            cells.append(cv2.resize(crop, (_CELL, _CELL), interpolation=cv2.INTER_CUBIC))
        rows.append(np.hstack(cells))
    return np.asarray(np.vstack(rows), np.uint8)


if __name__ == "__main__":
    sys.exit(main())
