"""``visavis bench trust``: exits x attacks, detection rate and wrong bits, and false alarms.

Clips are avatars of the given photos, each speaking different sentences with another seed; every
clip has a payload of its own. A clip counts as read only if its very payload comes back.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.benchmarks.common import percentiles, write_json
from visavis.benchmarks.trust.attacks import ATTACKS, FPS, KBPS, Timed, coded, timed
from visavis.streamer.media.encoder import Codec
from visavis.streamer.trust.marks.mark import Marker, Marking
from visavis.streamer.trust.marks.verdict import LARGEST
from visavis.streamer.trust.marks.watermark import Watermark
from visavis.streamer.trust.marks.watermark_code import encode
from visavis.streamer.trust.marks.watermark_detector import LEAST_SCORE, detect

_SECONDS = 5
_RATE = 16_000
_ROUNDS = 300
Rows = dict[tuple[str, str], list[tuple[bool, float, int]]]


def clips(
    photos: list[Path], speech: Path, each: int, size: int
) -> Iterator[list[NDArray[np.uint8]]]:
    """Yield RGB frames of five seconds, ``each`` clips a person; what is refused is left out."""
    from visavis.models.appearance.identity import Identity
    from visavis.models.appearance.photo.errors import EnrolmentRefused
    from visavis.streamer.avatars.enrolment import EnrolmentFailed, read_photo_sync
    from visavis.streamer.media.files.audio_file import read_blocks
    from visavis.streamer.worker.pipeline.motion_models import load_motion
    from visavis.streamer.worker.pipeline.picture_models import load_pictures

    sound = np.concatenate(list(read_blocks(speech, _RATE))).reshape(-1).astype(np.float32)
    motion, pictures = load_motion("cpu", 1, 1), load_pictures("cpu", refine=True)
    for person, photo in enumerate(photos):
        try:
            read = read_photo_sync(photo.read_bytes(), size=size, timeout_s=120.0)
        except (EnrolmentRefused, EnrolmentFailed) as error:
            sys.stderr.write(f"{photo.name}: {error}\n")
            continue
        renderer = pictures.renderer(Identity.from_bytes(read.bundle), size)
        for number in range(each):
            start = (person * each + number) * _SECONDS * _RATE % (len(sound) - 7 * _RATE)
            stream = motion.stream(
                fps=FPS, look_ahead_ms=40, seed=number, mood="neutral", style=1.0
            )
            rows = stream.push(sound[start : start + 6 * _RATE])[: _SECONDS * FPS]
            yield [renderer.render(row).copy() for row in rows]


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Return the table."""
    rng = np.random.default_rng(args.seed)
    rows: Rows = {}
    unmarked: list[float] = []
    psnr: list[float] = []
    photos = sorted(args.photos.glob("*.jpg"))
    photos = photos[:: max(1, len(photos) // args.people)][: args.people]
    for number, frames in enumerate(clips(photos, args.speech, args.each, args.size)):
        payload = rng.bytes(8)
        codec: Codec = "VP8" if number % 2 else "H264"
        marker, plain = Marker(Marking(payload=payload, fps=FPS)), Marker(Marking())
        with_mark = [marker.i420(f, n) for n, f in enumerate(frames)]
        without = [plain.i420(f, n) for n, f in enumerate(frames)]
        psnr.append(_psnr(with_mark, without))
        shown = coded(with_mark, codec)
        for name, attack in ATTACKS.items():
            found = detect(_as_verify(attack(shown, rng)))
            wrong = _wrong(found.payload, found.errors)
            rows.setdefault((codec, name), []).append(
                (found.payload == payload, found.score, wrong)
            )
        free = coded(without, codec)
        for name in ("none", "scaled by 0.75"):
            found = detect(_as_verify(ATTACKS[name](free, rng)))
            unmarked.append(found.score)
            assert found.payload is None, "a false alarm: keep this clip"
        sys.stderr.write(f"clip {number + 1}: {codec}, {psnr[-1]:.1f} dB\n")
        if args.json:  # what there is so far
            write_json(args.json, _result(args.size, rows, psnr, unmarked))
    for path in args.real or ():
        unmarked += [detect(window).score for window in _real(path)]
    return _result(args.size, rows, psnr, unmarked)


def _result(size: int, rows: Rows, psnr: list[float], unmarked: list[float]) -> dict[str, Any]:
    nothing = [np.zeros((size, size), np.uint8)] * 12
    return {
        "bench": "trust",
        "clips": len(psnr),
        "seconds": _SECONDS,
        "size": size,
        "kbps": KBPS,
        "psnr_db": percentiles(psnr, 2),
        "embed_ms": _cost(size),
        "exits": [_row(codec, name, values) for (codec, name), values in rows.items()],
        "unmarked": {
            "clips": len(unmarked),
            "false_alarms": sum(score >= LEAST_SCORE for score in unmarked),
            "score": percentiles(unmarked, 1),
            "threshold": LEAST_SCORE,
            "false_alarm_rate_by_theory": detect(timed(nothing)).chance,
        },
    }


def _as_verify(frames: Timed) -> Timed:
    """Return frames as ``visavis verify`` looks at them: no larger than it needs."""
    ratio = LARGEST / max(frames[0][1].shape)
    if ratio >= 1:
        return frames
    return [
        (at, cv2.resize(f, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA))
        for at, f in frames
    ]


def _row(codec: str, name: str, values: list[tuple[bool, float, int]]) -> dict[str, Any]:
    read = [v for v in values if v[0]]
    return {
        "codec": codec,
        "attack": name,
        "n": len(values),
        "read": len(read),
        "score": percentiles([v[1] for v in values], 1),
        "wrong_of_172": percentiles([float(v[2]) for v in read], 1) if read else None,
    }


def _wrong(payload: bytes | None, errors: int) -> int:
    return errors if payload is not None else len(encode(bytes(8)))


def _psnr(one: list[NDArray[np.uint8]], other: list[NDArray[np.uint8]]) -> float:
    height = one[0].shape[0] * 2 // 3
    error = np.mean(
        [(a[:height].astype(np.float32) - b[:height]) ** 2 for a, b in zip(one, other, strict=True)]
    )
    return float(10 * np.log10(255**2 / error))


def _cost(size: int) -> dict[str, Any]:
    mark, luma = Watermark(bytes(8), size, size, FPS), np.full((size, size), 90, np.uint8)
    spent = []
    for number in range(_ROUNDS):
        began = time.perf_counter()
        mark.add(luma, number)
        spent.append(1e3 * (time.perf_counter() - began))
    return percentiles(spent, 3)


def _real(path: Path) -> Iterator[list[tuple[float, NDArray[np.uint8]]]]:
    """Yield the five-second stretches of a real video, its last one included."""
    with av.open(str(path)) as file:
        frames = [
            (float(f.time or 0.0), f.reformat(format="gray").to_ndarray())
            for f in file.decode(video=0)
        ]
    step = _SECONDS * FPS
    for start in range(0, len(frames), step):
        if len(frames) - start >= step // 2:
            yield frames[start : start + step]


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="visavis bench trust", description=__doc__)
    parser.add_argument("--photos", type=Path, required=True, help="a folder of portraits, JPEG")
    parser.add_argument("--speech", type=Path, required=True, help="a sound file of speech")
    parser.add_argument("--people", type=int, default=10)
    parser.add_argument("--each", type=int, default=4, help="clips of each person")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--real", type=Path, nargs="*", help="unmarked videos, for false alarms")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where the result goes; default: stdout")
    args = parser.parse_args(sys.argv[1:] if argv is None else argv)
    write_json(args.json, measure(args))
    return 0


if __name__ == "__main__":
    sys.exit(main())
