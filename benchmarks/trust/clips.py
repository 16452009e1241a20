"""Talking people to be marked, drawn once and kept: a table of 10 attacks needs them again."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.benchmarks.trust.attacks import FPS
from visavis.streamer.media.encoder import to_i420

SECONDS = 5
_RATE = 16_000
# The last clip of each person stands before one of these: what generated pictures have most of,
# and where a watermark has the least to hide in.
_GROUNDS = ("#3366aa", "#808080", "#e8e4dc", "#1c2026", "#00b140")


@dataclass(frozen=True)
class Wanted:
    """Which clips are drawn.

    Attributes:
        photos: a folder of portraits, JPEG.
        speech: a sound file of speech.
        people: how many of the portraits, spread over the folder.
        each: clips of each person.
        size: side in pixels.
    """

    photos: Path
    speech: Path
    people: int
    each: int
    size: int


def clips(wanted: Wanted, kept: Path) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield numbers and unmarked I420 frames ``(125, H * 3 // 2, W)``, drawn only where not kept.

    Args:
        wanted: which clips.
        kept: a folder for them; about 50 MB a clip at 512².
    """
    kept.mkdir(parents=True, exist_ok=True)
    photos = sorted(wanted.photos.glob("*.jpg"))
    photos = photos[:: max(1, len(photos) // wanted.people)][: wanted.people]
    for person, photo in enumerate(photos):
        numbers = range(person * wanted.each, (person + 1) * wanted.each)
        files = [kept / f"{number:03}.npy" for number in numbers]
        refused = kept / f"{person:03}.refused"
        if not refused.exists() and not all(file.exists() for file in files):
            _draw(wanted, photo, person, files, refused)
        for number, file in zip(numbers, files, strict=True):
            if file.exists():
                yield number, np.load(file, mmap_mode="r")


def _draw(wanted: Wanted, photo: Path, person: int, files: list[Path], refused: Path) -> None:
    """Draw one person's clips; whose photo is refused has none."""
    from visavis.models.appearance.identity import Identity
    from visavis.models.appearance.photo.errors import EnrolmentRefused
    from visavis.streamer.avatars.enrolment import EnrolmentFailed, read_photo_sync
    from visavis.streamer.media.files.audio_file import read_blocks
    from visavis.streamer.worker.pipeline.motion_models import load_motion
    from visavis.streamer.worker.pipeline.picture_models import load_pictures
    from visavis.streamer.worker.pipeline.view import View

    size = wanted.size
    try:
        read = read_photo_sync(photo.read_bytes(), size=size, timeout_s=120.0)
    except (EnrolmentRefused, EnrolmentFailed) as error:
        sys.stderr.write(f"{photo.name}: {error}\n")
        refused.touch()
        return
    sound = np.concatenate(list(read_blocks(wanted.speech, _RATE))).reshape(-1).astype(np.float32)
    motion, pictures = load_motion("cpu", 1, 1), load_pictures("cpu", light=False)
    identity = Identity.from_bytes(read.bundle)
    for number, file in enumerate(files):
        start = (person * wanted.each + number) * SECONDS * _RATE % (len(sound) - 7 * _RATE)
        ground = _GROUNDS[person % len(_GROUNDS)]
        drawer = (
            pictures.canvas(identity, View(size, size, "head", ground))
            if number + 1 == wanted.each and wanted.each > 1
            else pictures.renderer(identity, size)
        )
        stream = motion.stream(fps=FPS, look_ahead_ms=40, seed=number, mood="neutral", style=1.0)
        rows = stream.push(sound[start : start + (SECONDS + 1) * _RATE])[: SECONDS * FPS]
        frames = np.stack([to_i420(np.ascontiguousarray(drawer.render(row))) for row in rows])
        partial = file.with_suffix(".part.npy")
        np.save(partial, frames)
        partial.replace(file)
