"""The one door for pictures: what is drawn becomes what leaves, and carries its mark by then.

Every exit takes its pictures from :class:`Marker`, which copies them into the form the exit wants
anyway; a test over the source holds that nothing else does. The label is laid over the finished
picture as a small patch that was drawn once, so that a frame costs a few thousand multiplications.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.streamer.config import TrustConfig
from visavis.streamer.errors import BadRequest
from visavis.streamer.media.encoder import to_i420
from visavis.streamer.trust.audit import AuditError, AuditLog
from visavis.streamer.trust.marks.deployment import payload_for
from visavis.streamer.trust.marks.label import Patch, draw_label, in_chroma, in_luma, lay
from visavis.streamer.trust.marks.watermark import UNNAMED, Watermark

EXITS: Final = {
    "visavis.streamer.worker.slot:Slot._draw": (
        "live H.264 and VP8: calls, WHEP and WHIP, rooms and their recordings, stages; and the "
        "presenter's camera, recording and raw ticks"
    ),
    "visavis.streamer.worker.raw:RawAvatar.frames": "raw frames for programs in process",
    "visavis.streamer.commands.render:render_file": "video files",
}
"""Where pictures leave what draws them, and what goes out there."""
KEPT: Final = {
    "visavis.streamer.worker.pipeline.pipeline:AvatarPipeline.render": "passes a picture on",
    "visavis.streamer.worker.pipeline.film:draw_film": "passes pictures on",
    "visavis.streamer.presenter.script.direction:DirectedPipeline.render": "passes a picture on",
    "visavis.streamer.avatars.child:_draw": "the still at rest that its owner sees in the library",
    "visavis.streamer.commands.doctor:_capacity": "times pictures and throws them away",
}
"""Where pictures are drawn that do not go out from there."""


@dataclass(frozen=True)
class Marking:
    """What pictures carry.

    Attributes:
        label: the words "AI avatar", seen by everybody.
        payload: 8 bytes of an imperceptible watermark; none where it is empty.
        fps: frames per second, by which the watermark changes.
    """

    label: bool = True
    payload: bytes = b""
    fps: float = 25.0


MARKED: Final = Marking(payload=UNNAMED)
"""What pictures carry where nobody has decided otherwise, nor said whose they are."""


def decide(trust: TrustConfig, data_dir: Path, where: str) -> Marking:
    """Return what pictures carry; switching a mark off is written down, or it stays on.

    Args:
        trust: the settings.
        data_dir: where the audit log lies; made if needed.
        where: what runs without the label: ``server``, ``render`` or ``present``.

    Raises:
        BadRequest: a mark is off and that cannot be written down.
    """
    off = [name for name in ("label", "watermark") if not getattr(trust, name)]
    if off:
        try:
            data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            for name in off:
                AuditLog(data_dir / "audit.jsonl").record(f"{name}-off", where)
        except (OSError, AuditError) as error:
            raise BadRequest(
                f"The {off[0]} cannot be switched off, since the audit log does not take it: "
                f"{getattr(error, 'strerror', None) or error}",
                code="audit",
            ) from error
    return Marking(trust.label)


def marked_as(
    marking: Marking, trust: TrustConfig, data_dir: Path, session: str, fps: float
) -> Marking:
    """Return a marking with the watermark of one session, if there is to be one."""
    payload = payload_for(data_dir, session) if trust.watermark else b""
    return replace(marking, payload=payload, fps=fps)


class Marker:
    """Marks the pictures of one exit.

    Patches are drawn for the first picture and again if its shape changes.

    Args:
        marking: what pictures carry.
        transparent: the right half of a picture is the left half's opacity.
    """

    def __init__(self, marking: Marking, *, transparent: bool = False) -> None:
        self._marking = marking
        self._transparent = transparent
        self._shape: tuple[int, int] = (0, 0)
        self._rgb: list[Patch] = []
        self._luma: list[Patch] = []
        self._chroma: list[Patch] = []
        self._watermark: Watermark | None = None
        self._shown = 0  # columns of the picture that are seen, not opacity

    def rgb(self, picture: NDArray[np.uint8], number: int = 0) -> NDArray[np.uint8]:
        """Return a marked copy of an RGB picture.

        Args:
            picture: ``(H, W, 3)`` uint8.
            number: of the frame, which its media time is.

        Returns:
            The same shape; the caller's own.
        """
        self._prepare(*picture.shape[:2])
        out = picture.copy()
        if self._watermark is not None:
            self._watermark.add(out[:, : self._shown], number)
        for patch in self._rgb:
            lay(patch, out)
        return out

    def i420(self, picture: NDArray[np.uint8], number: int = 0) -> NDArray[np.uint8]:
        """Return a marked RGB picture as planar 4:2:0, BT.601 limited range.

        Args:
            picture: ``(H, W, 3)`` uint8, both sides even.
            number: of the frame, which its media time is.

        Returns:
            I420 ``(H * 3 // 2, W)`` uint8; the caller's own.
        """
        return self._mark(to_i420(picture), number)

    def planar(self, picture: NDArray[np.uint8], number: int = 0) -> NDArray[np.uint8]:
        """Return a marked copy of a picture that is I420 already; likewise."""
        return self._mark(picture.copy(), number)

    def _mark(self, out: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
        height, width = out.shape[0] * 2 // 3, out.shape[1]
        self._prepare(height, width)
        if self._watermark is not None:
            self._watermark.add(out[:height, : self._shown], number)
        for patch in self._luma:
            lay(patch, out[:height])
        for plane in out[height:].reshape(2, height // 2, width // 2):
            for patch in self._chroma:
                lay(patch, plane)
        return out

    def _prepare(self, height: int, width: int) -> None:
        if self._shape == (height, width):
            return
        self._shape = (height, width)
        self._shown = shown = width // 2 if self._transparent else width
        if self._marking.payload:
            self._watermark = Watermark(self._marking.payload, shown, height, self._marking.fps)
        if not self._marking.label:
            return
        label = draw_label(shown, height)
        self._rgb = [label]
        if self._transparent:  # the words are seen where nothing of the person is, too
            self._rgb.append(label.opacity(shown))
        self._luma = [in_luma(patch) for patch in self._rgb]
        self._chroma = [in_chroma(label)]
