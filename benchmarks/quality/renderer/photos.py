"""The warp on many portraits: contact sheets to look at, and every measure by group.

``visavis bench quality portraits --photos DIR``: enrols portraits of that folder, as many of each
skin tone and sex as ``--per-cell`` says (by the labels of ``training/people``), or those named.
``--sheet FILE`` draws twelve of them at twelve motions of speech and, beside it, at twelve
of eyes and head.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.benchmarks.common import machine, write_json
from visavis.benchmarks.quality.renderer.photos_groups import by_group, choose, measure, table
from visavis.benchmarks.quality.renderer.photos_sheet import POSES, SPEECH, contact_sheet
from visavis.models.appearance.enrol import enrol
from visavis.models.appearance.identity import Identity
from visavis.models.appearance.photo.errors import EnrolmentRefused
from visavis.models.appearance.photo.tracker import MediaPipeTracker
from visavis.models.renderer.training.people.labels import PortraitLabels, read_labels
from visavis.streamer.worker.pipeline.motion_models import load_motion

_FPS = 25
_SILENCE_S = 6.0
_SHEET = 12
_UNKNOWN = PortraitLabels("unknown", "unknown", 3)


def main(argv: list[str] | None = None) -> int:
    """Measure, draw; returns the exit code."""
    parser = argparse.ArgumentParser(prog="visavis bench quality portraits", description=__doc__)
    parser.add_argument("--photos", type=Path, required=True, help="folder of portraits")
    parser.add_argument("--names", nargs="*", help="files of it; default: a balanced choice")
    parser.add_argument("--per-cell", type=int, default=6, help="of each tone and sex")
    parser.add_argument("--sheet", type=Path, help="PNG; a second one gets -poses in its name")
    parser.add_argument("--cell", type=int, default=256, help="pixels of a picture on the sheet")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    labels = read_labels()
    names = args.names or choose(labels, args.per_cell)
    tracker = MediaPipeTracker()
    try:
        found, refused = _enrol(args.photos, names, tracker)
        for name, why in refused.items():
            print(f"{name}: refused: {why}")
        if not found:
            return 1
        if args.sheet:
            _draw(args.sheet, found, args.cell)
        if args.json:
            silence = _silence()
            rows = {
                name: measure(identity, tracker, silence, labels.get(name, _UNKNOWN))
                for name, identity in found.items()
            }
            groups = by_group(rows)
            print(table(groups))
            report = {
                "machine": machine(), "benchmark": "quality portraits", "people": len(rows),
                "refused": refused, "groups": groups, "portraits": _plain(rows),
            }  # fmt: skip
            write_json(args.json, report)
    finally:
        tracker.close()
    return 0


def _enrol(
    folder: Path, names: list[str], tracker: MediaPipeTracker
) -> tuple[dict[str, Identity], dict[str, str]]:
    found: dict[str, Identity] = {}
    refused: dict[str, str] = {}
    for name in names:
        picture = cv2.imread(str(folder / name))
        if picture is None:
            refused[name] = "it cannot be read"
            continue
        try:
            found[name] = enrol(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), tracker=tracker)
        except EnrolmentRefused as reason:
            refused[name] = str(reason)
    return found, refused


def _plain(rows: dict[str, dict[str, float | str]]) -> dict[str, dict[str, float | str | None]]:
    """Return the rows with null for what could not be measured: JSON knows no NaN."""
    return {
        name: {k: None if isinstance(v, float) and v != v else v for k, v in row.items()}
        for name, row in rows.items()
    }


def _draw(path: Path, found: dict[str, Identity], cell: int) -> None:
    every = max(1, len(found) // _SHEET)
    shown = dict(list(found.items())[::every][:_SHEET])
    for motions, place in ((SPEECH, path), (POSES, path.with_stem(path.stem + "-poses"))):
        sheet = contact_sheet(shown, motions, cell=cell)
        cv2.imwrite(str(place), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def _silence() -> NDArray[np.float32]:
    motion = load_motion("cpu").stream(fps=_FPS)
    return np.asarray(motion.push(np.zeros(int(_SILENCE_S * motion.SAMPLE_RATE), np.float32)))


if __name__ == "__main__":
    raise SystemExit(main())
