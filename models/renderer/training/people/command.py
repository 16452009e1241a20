"""``visavis train renderer --make-people``: draw synthetic people into shards and sheets."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from visavis.models.renderer.training.people.balance import balance_of, describe
from visavis.models.renderer.training.people.drawing.gl import CanvasUnavailableError, GlCanvas
from visavis.models.renderer.training.people.shards import ShardWriter
from visavis.models.renderer.training.people.sheets import sheet_of_shards, write_sheet
from visavis.models.renderer.training.people.studio import Studio


def make_people(
    studio: Studio, folder: Path, *, shards: int, people: int, runs: int, seed: int, size: int
) -> None:
    """Write shards that are not there yet; one person is in memory at a time.

    Args:
        studio: makes the people.
        folder: of the shards.
        shards: how many there are to be.
        people: per shard.
        runs: of six frames per person.
        seed: of everyone.
        size: of the pictures.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(shards):
        path = folder / f"shard-{index:05d}.npz"
        if path.exists():
            continue
        writer, began, frames = ShardWriter(), time.perf_counter(), 0
        for number in range(index * people, (index + 1) * people):
            take = studio.take(number, seed, runs)
            writer.add(
                take.number, take.held_out, take.labels, take.motion, take.landmarks,
                take.photo, take.frames,
            )  # fmt: skip
            frames += len(take.frames)
        written = writer.write(path, size=size, seed=seed)
        took = time.perf_counter() - began
        print(
            f"{path.name}: {people} people, {frames} frames, {written / 1e6:.1f} MB, "
            f"{frames / took:.2f} frames/s",
            flush=True,
        )
    text = describe(balance_of(folder))
    (folder / "balance.txt").write_text(text + "\n")
    print(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="visavis train renderer --make-people")
    parser.add_argument("--people", type=Path, help="folder of the shards")
    parser.add_argument("--shards", type=int, default=8, help="how many there are to be")
    parser.add_argument("--per-shard", type=int, default=8, help="people in a shard")
    parser.add_argument("--runs", type=int, default=4, help="runs of six frames per person")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=int, default=320, help="side of the pictures")
    parser.add_argument("--fine", type=int, default=2, help="samples per pixel and axis")
    parser.add_argument("--facekit", type=Path, help="folder of the face kit")
    parser.add_argument("--faces", type=Path, help="folder of the source portraits")
    parser.add_argument(
        "--sheet",
        type=Path,
        help="write a contact sheet: of the shards in --people, or new",
    )
    parser.add_argument("--show", choices=("people", "mouths", "eyes"), default="people")
    return parser


def _sheet_of_shards(folder: Path, sheet: Path, seed: int) -> int:
    try:
        picture = sheet_of_shards(folder, seed)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    cv2.imwrite(str(sheet), np.ascontiguousarray(picture[..., ::-1]))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    arguments = _parser().parse_args(argv)
    if arguments.people is None and arguments.sheet is None:
        sys.stderr.write("Say where to: --people FOLDER for shards, or --sheet FILE.png.\n")
        return 2
    cv2.setNumThreads(1)
    if arguments.sheet is not None and arguments.people is not None:
        return _sheet_of_shards(arguments.people, arguments.sheet, arguments.seed)
    if arguments.facekit is None or arguments.faces is None:
        sys.stderr.write("People are made of --facekit FOLDER and --faces FOLDER.\n")
        return 2
    try:
        canvas = GlCanvas(arguments.size, arguments.fine)
        from visavis.models.appearance.tracker.provider import open_tracker

        segmenter = open_tracker()
        studio = Studio(arguments.facekit, arguments.faces, segmenter, canvas, arguments.size)
    except (CanvasUnavailableError, OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if arguments.sheet is not None:
        picture = write_sheet(studio, arguments.show, arguments.seed)
        cv2.imwrite(str(arguments.sheet), np.ascontiguousarray(picture[..., ::-1]))
        return 0
    make_people(
        studio, arguments.people, shards=arguments.shards, people=arguments.per_shard,
        runs=arguments.runs, seed=arguments.seed, size=arguments.size,
    )  # fmt: skip
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
