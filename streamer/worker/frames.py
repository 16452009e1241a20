"""A frame's stations inside a slot: known, drawn, shown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import av
import numpy as np
from numpy.typing import NDArray

from visavis.streamer.media.encoder import Codec, VideoEncoder, as_frame
from visavis.streamer.trust.marks.mark import Marker, Marking
from visavis.streamer.worker.i420 import Still
from visavis.streamer.worker.pipeline.pipeline import Boxes, SlotSpec

RawForm = Literal["rgb", "i420"]


@dataclass
class Pending:
    """A frame whose coefficients are known."""

    frame: int
    coefficients: NDArray[np.float32]
    heard_at: float  # its last sample arrived
    known_at: float
    push_s: float  # the models took this long for it and its companions
    motion_s: float  # and this is its share


@dataclass
class Picture:
    """A frame that is drawn: what the encoder takes, or as the slot's owner wants it."""

    image: av.VideoFrame | NDArray[np.uint8]
    source: Pending
    drawn_at: float
    draw_s: float
    new_avatar: bool


@dataclass(frozen=True)
class Shown:
    """What a tick shows, unencoded.

    Attributes:
        frame: the tick it was asked for, and so its media time.
        own: the frame whose picture it is; smaller than ``frame`` if that came late.
        picture: RGB ``(H, W, 3)`` or I420 ``(H * 3 // 2, W)``, never written to again.
        is_new: it was not shown before.
        late: pictures shown after their own tick, so far.
        repeats: ticks that had no new picture, so far.
        dropped: pictures that were never shown, so far.
        waited_ms: picture drawn to its tick.
        push_ms: what the models took.
        draw_ms: what drawing took.
        ready_ms: sound complete to picture drawn.
    """

    frame: int
    own: int
    picture: NDArray[np.uint8]
    is_new: bool
    late: int
    repeats: int
    dropped: int
    waited_ms: float
    push_ms: float
    draw_ms: float
    ready_ms: float


def encoder_of(spec: SlotSpec) -> VideoEncoder:
    """Return the encoder that a session's pictures go through."""
    codec: Codec = "VP8" if spec.codec == "VP8" else "H264"
    width, height = spec.picture_size
    return VideoEncoder(
        codec, size=width, height=height, fps=spec.fps, bitrate_kbps=spec.bitrate_kbps
    )


class Exit:
    """The way out for a slot's pictures: marked, and in the form that its owner wants.

    Args:
        spec: what the session asked for; its payload goes before the marking's.
        raw: None for what an encoder takes.
        marking: what every picture carries.
    """

    def __init__(self, spec: SlotSpec, raw: RawForm | None, marking: Marking) -> None:
        self._raw = raw
        payload = bytes.fromhex(spec.payload) or marking.payload
        marking = replace(marking, payload=payload, fps=spec.fps)
        self._marker = Marker(marking, transparent=spec.view is not None and spec.view.transparent)
        self._still = Still()

    def marked(
        self, rgb: NDArray[np.uint8], frame: int, changed: Boxes | None
    ) -> av.VideoFrame | NDArray[np.uint8]:
        """Return a picture marked.

        Args:
            rgb: ``(H, W, 3)``; not kept.
            frame: its number.
            changed: what differs from the last picture, as :class:`Still` takes it.
        """
        if self._raw == "rgb":
            return self._marker.rgb(rgb, frame)
        if self._raw is None:
            return as_frame(self._marker.i420(rgb, frame))
        return self._marker.planar(self._still.convert(rgb, changed), frame)
