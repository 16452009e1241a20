"""Exits x attacks: is the very payload read back, and how many bits were wrong before correction.

A cell is one clip by one exit after one attack. Each is written down as soon as it is known: a
table of hours can be broken off and gone on with.
"""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.benchmarks.common import percentiles
from visavis.benchmarks.trust import lines
from visavis.benchmarks.trust.attacks import ATTACKS, FPS, Luma, Timed, coded
from visavis.benchmarks.trust.clips import Wanted, clips
from visavis.streamer.trust.marks.mark import Marker, Marking
from visavis.streamer.trust.marks.verdict import LARGEST
from visavis.streamer.trust.marks.watermark_code import CODED
from visavis.streamer.trust.marks.watermark_detector import detect

_FILE_CRF = "18"  # as `visavis render` writes files
I420 = NDArray[np.uint8]


@dataclass(frozen=True)
class Cell:
    """One clip by one exit after one attack.

    Attributes:
        clip: its number.
        exit: one of ``EXITS``.
        attack: one of ``ATTACKS``.
        read: the very payload came back.
        score: see ``Found``.
        wrong: coded bits of 172 that were wrong at the best place.
        psnr_db: of the marked luma against the unmarked, before any encoder.
    """

    clip: int
    exit: str
    attack: str
    read: bool
    score: float
    wrong: int
    psnr_db: float


def as_file(pictures: Sequence[I420]) -> list[Luma]:
    """Return the luma of pictures written as ``visavis render`` does."""
    context = av.CodecContext.create("libx264", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.height, context.width = pictures[0].shape[0] * 2 // 3, pictures[0].shape[1]
    context.pix_fmt, context.time_base = "yuv420p", Fraction(1, FPS)
    context.thread_count = 1
    context.options = {"crf": _FILE_CRF, "preset": "veryfast"}
    decoder, frames = av.CodecContext.create("h264", "r"), []
    for number, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts = number
        frames += [f for packet in context.encode(frame) for f in decoder.decode(packet)]
    frames += [f for packet in context.encode(None) for f in decoder.decode(packet)]
    frames += decoder.decode(None)
    return [frame.reformat(format="gray").to_ndarray() for frame in frames]


def as_raw(pictures: Sequence[I420]) -> list[Luma]:
    """Return the luma of pictures that no encoder has touched."""
    return [picture[: picture.shape[0] * 2 // 3] for picture in pictures]


EXITS: Final[dict[str, Callable[[Sequence[I420]], list[Luma]]]] = {
    # Calls, WHEP, WHIP, rooms; their recordings are the same packets.
    "live H.264": lambda pictures: coded(pictures, "H264"),
    "live VP8": lambda pictures: coded(pictures, "VP8"),
    "file": as_file,
    # The virtual camera, agents, LiveKit and Pipecat.
    "raw frames": as_raw,
}


def payload_of_clip(number: int) -> bytes:
    """Return the payload of a clip, another for each."""
    return hashlib.sha256(b"bench trust %d" % number).digest()[:8]


def measure(wanted: Wanted, kept: Path, exits: Sequence[str], most: int, until: float) -> bool:
    """Fill in what is missing; False if time ran out before all was.

    Args:
        wanted: the clips.
        kept: folder of the clips and of ``cells.jsonl``.
        exits: of ``EXITS``, in this order.
        most: clips.
        until: of ``time.monotonic``; no cell begins after it.
    """
    known = {(c.clip, c.exit, c.attack) for c in cells(kept)}
    for number, plain in itertools.islice(clips(wanted, kept), most):
        for way in exits:
            missing = [a for a in ATTACKS if (number, way, a) not in known]
            if not missing:
                continue
            if time.monotonic() > until:
                return False
            marked, psnr_db = _marked(plain, payload_of_clip(number))
            shown = EXITS[way](marked)
            for attack in missing:
                if time.monotonic() > until:
                    return False
                _write(kept, _cell(number, way, attack, shown, psnr_db))
    return True


def _cell(number: int, way: str, attack: str, shown: list[Luma], psnr_db: float) -> Cell:
    rng = np.random.default_rng([number, list(ATTACKS).index(attack)])
    found = detect(as_verify(ATTACKS[attack](shown, rng)))
    read = found.payload == payload_of_clip(number)
    wrong = found.errors if found.payload is not None else CODED
    return Cell(number, way, attack, read, round(found.score, 1), wrong, psnr_db)


def _marked(plain: NDArray[np.uint8], payload: bytes) -> tuple[list[I420], float]:
    """Return labelled and watermarked frames, and how far they are from labelled ones."""
    marker, without = Marker(Marking(payload=payload, fps=FPS)), Marker(Marking())
    out: list[I420] = []
    squares = 0.0
    for number, picture in enumerate(plain):
        out.append(marker.planar(picture, number))
        height = picture.shape[0] * 2 // 3
        error = cv2.absdiff(out[-1][:height], without.planar(picture, number)[:height])
        squares += float(np.mean(error.astype(np.float32) ** 2))
    return out, round(float(10 * np.log10(255**2 * len(out) / max(squares, 1e-9))), 2)


def as_verify(frames: Timed) -> Timed:
    """Return frames as ``visavis verify`` looks at them: no larger than it needs."""
    ratio = LARGEST / max(frames[0][1].shape)
    if ratio >= 1:
        return frames
    return [
        (at, cv2.resize(f, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA))
        for at, f in frames
    ]


def cells(kept: Path) -> list[Cell]:
    """Return what is known."""
    return lines.read(kept / "cells.jsonl", Cell)


def _write(kept: Path, cell: Cell) -> None:
    lines.append(kept / "cells.jsonl", cell)


def rows(known: Sequence[Cell]) -> list[dict[str, Any]]:
    """Return the table: a row for each exit and attack that something is known of."""
    out: list[dict[str, Any]] = []
    for way in EXITS:
        for attack in ATTACKS:
            of = [c for c in known if (c.exit, c.attack) == (way, attack)]
            if not of:
                continue
            read = [c for c in of if c.read]
            out.append(
                {
                    "exit": way,
                    "attack": attack,
                    "n": len(of),
                    "read": len(read),
                    "detection_rate": round(len(read) / len(of), 4),
                    "score": percentiles([c.score for c in of], 1),
                    "least_score": min(c.score for c in of),
                    "bit_error": percentiles([c.wrong / CODED for c in read], 4),
                }
            )
    return out
