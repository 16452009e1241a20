"""``python -m visavis.benchmarks.quality.strip``: the photo, then frames of speech at even steps.

Even steps, not chosen ones: what a viewer would see, blinks and half-open mouths included.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from visavis.benchmarks.common import astronaut_jpeg
from visavis.models.appearance.identity import Identity
from visavis.streamer.avatars.enrolment import enrol_photo_sync
from visavis.streamer.media.files.audio_file import read_all
from visavis.streamer.worker.pipeline.motion_models import load_motion
from visavis.streamer.worker.pipeline.picture_models import load_pictures

_FPS = 25


def main(argv: list[str] | None = None) -> int:
    """Draw the strip; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photo", type=Path, help="default: scikit-image's astronaut")
    parser.add_argument("--audio", type=Path, required=True)
    parser.add_argument("--start-s", type=float, default=0.5)
    parser.add_argument("--step-s", type=float, default=0.28)
    parser.add_argument("--columns", type=int, default=6)
    parser.add_argument("--rows", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args(argv)
    photo = args.photo.read_bytes() if args.photo else astronaut_jpeg()
    with tempfile.TemporaryDirectory() as scratch:
        bundle = Path(scratch) / "identity.vav"
        enrol_photo_sync(photo, bundle, size=512, timeout_s=60, progress=None)
        renderer = load_pictures("cpu").renderer(Identity.load(bundle), 512)
    motion = load_motion("cpu").stream(fps=_FPS)
    frames = motion.push(read_all(args.audio, motion.SAMPLE_RATE))
    count = args.columns * args.rows - 1
    wanted = [round((args.start_s + k * args.step_s) * _FPS) for k in range(count)]
    tiles: list[NDArray[np.uint8]] = [_square(photo)]
    for number in wanted:
        tiles.append(renderer.render(frames[min(number, len(frames) - 1)]).copy())
    rows = [np.hstack(tiles[r * args.columns :][: args.columns]) for r in range(args.rows)]
    sheet = Image.fromarray(np.vstack(rows))
    sheet.resize((sheet.width * 5 // 12, sheet.height * 5 // 12), Image.Resampling.LANCZOS).save(
        args.output, quality=88
    )
    return 0


def _square(photo: bytes) -> NDArray[np.uint8]:
    picture = Image.open(io.BytesIO(photo)).convert("RGB")
    side = min(picture.size)
    return np.asarray(picture.crop((0, 0, side, side)).resize((512, 512)))


if __name__ == "__main__":
    sys.exit(main())
