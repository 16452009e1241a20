"""What a video says of itself: the words in its pictures, its watermark, its signed manifest."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.streamer.errors import BadRequest
from visavis.streamer.trust.marks.label import draw_label
from visavis.streamer.trust.marks.provenance import read_manifest
from visavis.streamer.trust.marks.watermark import UNNAMED, Payload
from visavis.streamer.trust.marks.watermark_detector import Found, detect

WINDOW_S: Final = 6.0
_MOST_WINDOWS: Final = 10
LARGEST: Final = 720  # pixels of the longer side that are looked at
_LOOKS: Final = 8  # frames in which the words are looked for
LABELLED: Final = 0.72  # correlation; unlabelled pictures stay below 0.6
_SMALLEST_PX, _LARGEST_PX, _RATIO = 11.0, 96.0, 1.09  # of the label's plate: its height
_BETWEEN: Final = (0.955, 0.97, 0.985, 1.015, 1.03, 1.045)  # of the best step


@dataclass(frozen=True)
class Verdict:
    """What was found in one file.

    Attributes:
        file: its name.
        made_here: by this deployment, by the tag in the watermark; None if that cannot be known.
        watermark: the 64 bits, hexadecimal; empty where there is none.
        deployment: 24 bits that name the server.
        session: 24 bits that name what was live.
        score: of the best window, see ``Found``.
        chance: of a false alarm, by theory.
        label: share of the frames looked at in which the words were found.
        manifest: what the C2PA manifest says.
        words: all of it in one or two sentences.
    """

    file: str
    made_here: bool | None
    watermark: str
    deployment: int
    session: int
    score: float
    chance: float
    label: float
    manifest: dict[str, Any]
    words: str

    @property
    def is_marked(self) -> bool:
        """Whether anything says that it was made by such a server."""
        return bool(self.watermark) or self.label >= 0.5 or bool(self.manifest.get("generated"))

    def describe(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return {**asdict(self), "marked": self.is_marked}


def verify_file(path: Path, key: bytes | None = None, data_dir: Path | None = None) -> Verdict:
    """Look at one video.

    Args:
        path: anything FFmpeg reads.
        key: this deployment's watermark key, to tell its own.
        data_dir: where this deployment's authority for manifests lies.

    Raises:
        BadRequest: it cannot be read, or holds no pictures.
    """
    best: Found | None = None
    seen: list[float] = []
    for number, window in enumerate(_windows(path)):
        found = detect(window)
        if best is None or (found.payload is not None, found.score) > (
            best.payload is not None, best.score
        ):  # fmt: skip
            best = found
        step = max(1, len(window) // _LOOKS)
        seen += [label_in(luma) for _, luma in window[::step]]
        if best.payload is not None or number + 1 == _MOST_WINDOWS:
            break
    if best is None:
        raise BadRequest(f"{path.name} holds no pictures.")
    label = sum(score >= LABELLED for score in seen) / len(seen)
    return _verdict(path, best, label, key, read_manifest(path, data_dir))


def told_by_key(verdict: Verdict, key: bytes) -> Verdict:
    """Return a verdict that was given without a key, by one who knows this deployment's."""
    if not verdict.watermark:
        return verdict
    payload = Payload.from_bytes(bytes.fromhex(verdict.watermark))
    here = payload.is_of(key)
    words = _words(payload, here, verdict.label, verdict.manifest)
    return replace(verdict, made_here=here, words=words)


def _verdict(
    path: Path, found: Found, label: float, key: bytes | None, manifest: dict[str, Any]
) -> Verdict:
    payload = None if found.payload is None else Payload.from_bytes(found.payload)
    made_here = None if payload is None or key is None else payload.is_of(key)
    verdict = Verdict(
        path.name,
        made_here,
        found.payload.hex() if found.payload else "",
        payload.deployment if payload else 0,
        payload.session if payload else 0,
        round(found.score, 1),
        found.chance,
        round(label, 3),
        manifest,
        _words(payload, made_here, label, manifest),
    )
    return verdict


def _words(
    payload: Payload | None, made_here: bool | None, label: float, manifest: dict[str, Any]
) -> str:
    said: list[str] = []
    if payload is not None:
        whose = {True: "this server", False: "another server", None: "a server"}[made_here]
        said.append(
            "Generated: the watermark of a program with Vis-à-vis that gave no name."
            if payload.to_bytes() == UNNAMED
            else f"Generated: the watermark of {whose} of Vis-à-vis (deployment "
            f"{payload.deployment:06x}, session {payload.session:06x})."
        )
    if label >= 0.5:
        said.append(f'The words "AI avatar" stand in {label:.0%} of the frames looked at.')
    elif payload is not None:
        said.append('The words "AI avatar" are not in the picture, or were taken out.')
    if manifest.get("generated"):
        whose = "trusted here" if manifest["state"] == "Trusted" else "nobody here knows"
        said.append(f"Its C2PA manifest says that it is generated, by a signature {whose}.")
    elif manifest.get("state") == "Invalid":
        said.append("It has a C2PA manifest, but was changed since that was signed.")
    if not said:
        said.append(
            "Nothing was found. That does not say that it is genuine: marks can be removed, and "
            "other programs leave others."
        )
    return " ".join(said)


def _windows(path: Path) -> Iterator[list[tuple[float, NDArray[np.uint8]]]]:
    """Yield stretches of luma frames with their times; each holds one size of picture."""
    try:
        with av.open(str(path)) as file:
            if not file.streams.video:
                raise BadRequest(f"{path.name} holds no pictures.")
            window: list[tuple[float, NDArray[np.uint8]]] = []
            for frame in file.decode(video=0):
                luma = _luma(frame)
                at = float(frame.time or 0.0)
                begins = window and (
                    at - window[0][0] >= WINDOW_S or luma.shape != window[0][1].shape
                )
                if begins:
                    yield window
                    window = []
                window.append((at, luma))
            if window:
                yield window
    except (av.FFmpegError, OSError) as error:
        raise BadRequest(f"{path.name} cannot be read as a video.") from error


def _luma(frame: av.VideoFrame) -> NDArray[np.uint8]:
    scale = min(1.0, LARGEST / max(frame.width, frame.height))
    width, height = (max(16, round(side * scale / 2) * 2) for side in (frame.width, frame.height))
    small = frame.reformat(width=width, height=height, format="gray", interpolation="AREA")
    return np.asarray(small.to_ndarray(), np.uint8)


def label_in(luma: NDArray[np.uint8]) -> float:
    """Return how surely the words stand in the lower part of a picture, as a correlation."""
    height = luma.shape[0]
    lower = luma[height // 2 :].astype(np.float32)
    drawn = draw_label(1024, 1024).grey.astype(np.float32)
    most, tall, best = min(_LARGEST_PX, height / 5), _SMALLEST_PX, (0.0, 0.0)
    while tall <= most:
        best = max(best, (_likeness(lower, drawn, tall), tall))
        tall *= _RATIO
    # Letters a twentieth too large lose a quarter of the correlation: look between the steps, too.
    near = (_likeness(lower, drawn, best[1] * ratio) for ratio in _BETWEEN if best[1])
    return max(best[0], *near, 0.0)


def _likeness(lower: NDArray[np.float32], drawn: NDArray[np.float32], tall: float) -> float:
    """Return the best correlation with the words drawn so many pixels tall; 0 if too large."""
    ratio = tall / drawn.shape[0]
    words = cv2.resize(drawn, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
    if words.shape[0] >= lower.shape[0] or words.shape[1] >= lower.shape[1]:
        return 0.0
    found = cv2.matchTemplate(lower, words, cv2.TM_CCOEFF_NORMED)
    value = float(found[np.isfinite(found)].max(initial=0.0))
    return value if math.isfinite(value) else 0.0
