"""What papers on talking heads put into their tables, measured on our pictures, by group.

``visavis bench quality vlogger --photos DIR --speech DIR``: enrols as many portraits of each skin
tone and sex as ``--per-cell`` says (or those named), lets all of them speak the same aligned
recordings, and measures image quality without a reference (NIQE against our own pristine fit to the
folder's other pictures, CPBD, sharpness over the photo's), identity (landmark ratios, back-warped
pixels), steadiness (jitter, flicker, warping error), lips (closures, correlation with the sound),
blinks, how seeds differ and how far faces move; each with a 95 % interval over people, for all and
for every tone, sex and age. ``--videos DIR`` adds how mouths follow those of real people.
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
from visavis.benchmarks.quality import people, talking
from visavis.benchmarks.quality.motion import speech
from visavis.benchmarks.quality.renderer.photos_groups import TONES, choose, members_of
from visavis.benchmarks.quality.vlogger import naturalness, person
from visavis.models.appearance.enrol import enrol
from visavis.models.appearance.photo.errors import EnrolmentRefused
from visavis.models.appearance.photo.tracker import MediaPipeTracker
from visavis.models.arrays import Image
from visavis.models.renderer.training.people.labels import PortraitLabels, read_labels
from visavis.streamer.worker.pipeline.picture_models import load_pictures

Row = dict[str, float | str]
_UNKNOWN = PortraitLabels("unknown", "unknown", 3)
_KINDS = (".jpg", ".jpeg", ".png", ".webp")
_PRISTINE = 120  # pictures that NIQE's model is fitted to
_SMALLEST = 480  # pixels of such a picture: enlarged ones are not pristine
_ROUNDS = 2000
_ROWS = (
    ("NIQE, lower is better (photo)", ("niqe", "photo_niqe"), 2),
    ("CPBD, higher is better (photo)", ("cpbd", "photo_cpbd"), 2),
    ("sharpness over the photo's", ("sharpness",), 2),
    ("identity: landmark ratios off by, %", ("landmarks_percent",), 1),
    ("identity: pixels warped back to the photo, dB", ("backwarped_psnr",), 1),
    ("flicker, levels; warping error, 1/1000", ("flicker", "warping_error"), 2),
    ("jitter of landmarks, 1/1000 eye distances a frame²", ("jitter",), 2),
    ("lips: bilabials closed where 5 % of vowels are", ("closures",), 2),
    ("lips: r with the sound; lag, ms", ("lip_r", "lip_lag_ms"), 2),
    ("diversity over seeds; range of expression", ("diversity", "expression_range"), 1),
)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="visavis bench quality vlogger", description=__doc__)
    parser.add_argument("--photos", type=Path, required=True, help="folder of portraits")
    parser.add_argument("--speech", type=Path, required=True, help="folder of aligned recordings")
    parser.add_argument("--videos", type=Path, help="folder of talking videos with sound")
    parser.add_argument("--names", nargs="*", help="files of --photos; default: a balanced choice")
    parser.add_argument("--per-cell", type=int, default=4, help="of each tone and sex")
    parser.add_argument("--recordings", type=int, default=24)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=4.0, help="of speech that are drawn")
    parser.add_argument("--size", type=int, default=512, choices=(256, 384, 512))
    parser.add_argument("--json", type=Path, help="where the result goes")
    return guarded(lambda: _measure(parser.parse_args(argv)))


def _measure(args: argparse.Namespace) -> int:
    cv2.setNumThreads(1)
    labels = read_labels()
    names = args.names or choose(labels, args.per_cell)
    pristine = naturalness.fit(pictures_of(args.photos, set(names)))
    script = person.make_script(speech.folder(args.speech, args.recordings), args.seeds)
    rows, refused = _everyone(args, names, labels, pristine, script)
    if not rows:
        raise BenchmarkError(f"No portrait of {args.photos} can be enrolled.")
    report: dict[str, Any] = {
        "machine": machine(), "benchmark": "quality vlogger", "people": len(rows),
        "settings": {n: getattr(args, n) for n in ("size", "seeds", "recordings", "seconds")},
        "pristine": {"blocks": pristine.blocks}, "refused": refused,
        "life": person.life_of(script), "groups": groups(list(rows.values())), "rows": plain(rows),
    }  # fmt: skip
    if args.videos:
        report["real_mouths"] = _real_mouths(args)
    print(table(report))
    if args.json:
        write_json(args.json, report)
    return 0


def pictures_of(folder: Path, without: set[str]) -> list[Image]:
    """Return up to ``_PRISTINE`` pictures that are large enough, 512 pixels a side.

    Raises:
        BenchmarkError: there is no such folder.
    """
    if not folder.is_dir():
        raise BenchmarkError(f"There is no folder {folder}.")
    files = [p for p in sorted(folder.iterdir()) if p.suffix.lower() in _KINDS]
    found: list[Image] = []
    for path in files:
        if path.name in without:
            continue
        picture = cv2.imread(str(path))
        if picture is None or min(picture.shape[:2]) < _SMALLEST:
            continue
        side = min(picture.shape[:2])
        square = cv2.cvtColor(picture[:side, :side], cv2.COLOR_BGR2RGB)
        way = cv2.INTER_AREA if side >= 512 else cv2.INTER_CUBIC
        found.append(np.asarray(cv2.resize(square, (512, 512), interpolation=way), np.uint8))
        if len(found) == _PRISTINE:
            break
    return found


def _everyone(
    args: argparse.Namespace,
    names: list[str],
    labels: dict[str, PortraitLabels],
    pristine: naturalness.Pristine,
    script: person.Script,
) -> tuple[dict[str, Row], dict[str, str]]:
    rows: dict[str, Row] = {}
    refused: dict[str, str] = {}
    tracker, pictures = MediaPipeTracker(), load_pictures("cpu")
    try:
        for name in names:
            picture = cv2.imread(str(args.photos / name))
            if picture is None:
                refused[name] = "it cannot be read"
                continue
            try:
                photo = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
                identity = enrol(photo, tracker=tracker, size=args.size)
            except EnrolmentRefused as reason:
                refused[name] = str(reason)
                continue
            renderer = pictures.renderer(identity, args.size)
            who = labels.get(name, _UNKNOWN)
            found = person.measure(identity, renderer, tracker, pristine, script, args.seconds)
            rows[name] = {"tone": TONES[who.tone], "sex": who.sex, "age": who.age, **found}
            sys.stderr.write(f"{name}: measured\n")
    finally:
        tracker.close()
    return rows, refused


def _real_mouths(args: argparse.Namespace) -> Row:
    """Return how our mouths go with those of the people in videos, by sound alone; medians."""
    bench = people.Bench(args.size, 40, 1)
    found = []
    for path in sorted(p for p in args.videos.glob("*") if p.suffix.lower() in talking.FILES):
        try:
            found.append(bench.person(talking.read_talk(path))[0]["by_sound"])
        except (BenchmarkError, EnrolmentRefused) as reason:
            sys.stderr.write(f"{path.name}: left out: {reason}\n")
    if not found:
        raise BenchmarkError(f"No talking video in {args.videos} can be measured.")
    names = ("aperture_r", "aperture_lag_ms", "width_r", "width_lag_ms")
    medians: Row = {n: float(np.median([row[n] for row in found])) for n in names}
    return medians | {"people": float(len(found))}


def groups(rows: list[Row]) -> dict[str, dict[str, dict[str, float]]]:
    """Return mean, 95 % interval and people per measure, for all and for every group of four."""
    out: dict[str, dict[str, dict[str, float]]] = {}
    for name in (k for k, v in rows[0].items() if not isinstance(v, str)):
        values = np.array([float(row[name]) for row in rows])
        everyone = {"all": np.isfinite(values)} | members_of(rows, values)
        found = {g: interval(values[m]) for g, m in everyone.items() if m.any()}
        out[name] = found
    return out


def interval(values: NDArray[np.float64]) -> dict[str, float]:
    """Return the mean of people's values and its 95 % interval by bootstrap."""
    rng = np.random.default_rng(0)
    drawn = values[rng.integers(0, len(values), (_ROUNDS, len(values)))].mean(1)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return {
        "mean": float(values.mean()), "low": float(low), "high": float(high), "people": len(values)
    }  # fmt: skip


def plain(rows: dict[str, Row]) -> dict[str, dict[str, float | str | None]]:
    """Return rows with null for what could not be measured: JSON knows no NaN."""
    return {
        name: {k: None if isinstance(v, float) and v != v else v for k, v in row.items()}
        for name, row in rows.items()
    }


def table(report: dict[str, Any]) -> str:
    """Return ten lines in Markdown: everybody, and the groups that are furthest apart."""
    lines = ["| | all, 95 % interval | groups from, to |", "|---|---|---|"]
    for title, names, digits in _ROWS:
        cells, ends = [], []
        for name in names:
            entry = report["groups"].get(name, {})
            whole = entry.get("all")
            if whole is None:
                continue
            mean, low, high = (f"{whole[k]:.{digits}f}" for k in ("mean", "low", "high"))
            cells.append(f"{mean} [{low}, {high}]")
            parts = {k: v["mean"] for k, v in entry.items() if k != "all"}
            if parts:
                least = min(parts, key=parts.__getitem__)
                most = max(parts, key=parts.__getitem__)
                ends.append(
                    f"{parts[least]:.{digits}f} ({least}) to {parts[most]:.{digits}f} ({most})"
                )
        lines.append(f"| {title} | {'; '.join(cells)} | {'; '.join(ends[:1])} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
