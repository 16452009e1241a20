"""Video encoders at a locked bitrate: H.264 (x264) and VP8 (libvpx), tuned for no delay at all.

The bitrate is set once. What the viewer's estimate (REMB) asks for goes through a governor that
ignores small and short changes, because a changed rate must not cost a keyframe: x264 takes a new
rate in mid-stream, libvpx only when it is opened again.
"""

# PyAV's packets are generic, and its methods name them without what they are of.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from fractions import Fraction
from typing import Literal

import av
import cv2
import numpy as np
from av.video.frame import PictureType
from numpy.typing import NDArray

Codec = Literal["H264", "VP8"]
MIN_KBPS = 100
_LONG_GOP = 100_000  # keyframes come on demand, not by the calendar
_NONE, _INTRA = PictureType.NONE, PictureType.I
# BT.601 limited range is what browsers assume of WebRTC video, and what the conversion makes.
_VUI = "colormatrix=smpte170m:colorprim=smpte170m:transfer=smpte170m:range=tv"


class VideoEncoder:
    """One stream of pictures into one bitstream.

    Args:
        codec: ``"H264"`` (Annex B, constrained baseline, 3.1 where that is enough) or ``"VP8"``.
        size: width in pixels, and height if there is none.
        height: in pixels.
        fps: frames per second.
        bitrate_kbps: the locked bitrate.
    """

    def __init__(
        self, codec: Codec, *, size: int, fps: int, bitrate_kbps: int, height: int = 0
    ) -> None:
        self._codec: Codec = codec
        self._width, self._height = size, height or size
        self._fps = fps
        self._kbps = max(MIN_KBPS, bitrate_kbps)
        self._full_kbps = self._kbps
        self._context = self._open()
        self._wants_keyframe = True
        self._next_pts = 0

    @property
    def bitrate_kbps(self) -> int:
        """The rate it aims at now."""
        return self._kbps

    def request_keyframe(self) -> None:
        """Make the next picture decodable on its own."""
        self._wants_keyframe = True

    def set_bitrate(self, kbps: int) -> None:
        """Aim at another rate, never above the locked one."""
        kbps = max(MIN_KBPS, min(kbps, self._full_kbps))
        if kbps == self._kbps:
            return
        self._kbps = kbps
        if self._codec == "H264":
            self._context.bit_rate = kbps * 1000  # ffmpeg reconfigures x264 at the next picture
        else:
            self._context = self._open()
            self._wants_keyframe = True

    def encode(self, picture: av.VideoFrame) -> tuple[bytes, bool]:
        """Return ``(bitstream, is_keyframe)`` of one picture made by :func:`to_yuv`."""
        picture.pts = self._next_pts
        picture.time_base = Fraction(1, self._fps)
        picture.pict_type = _INTRA if self._wants_keyframe else _NONE
        self._wants_keyframe = False
        self._next_pts += 1
        packets = self._context.encode(picture)
        return b"".join(bytes(p) for p in packets), any(p.is_keyframe for p in packets)

    def _open(self) -> av.VideoCodecContext:
        name = "libx264" if self._codec == "H264" else "libvpx"
        context = av.CodecContext.create(name, "w")
        assert isinstance(context, av.VideoCodecContext)
        context.width, context.height = self._width, self._height
        context.pix_fmt = "yuv420p"
        context.framerate = Fraction(self._fps, 1)
        context.time_base = Fraction(1, self._fps)
        context.bit_rate = self._kbps * 1000
        context.gop_size = _LONG_GOP
        context.thread_count = 1
        context.options = self._h264_options() if self._codec == "H264" else self._vp8_options()
        context.open()
        return context

    def _h264_options(self) -> dict[str, str]:
        rate = self._kbps * 1000
        return {
            "preset": "superfast",
            "tune": "zerolatency",
            "profile": "baseline",
            "level": _level(self._width, self._height, self._fps),
            "maxrate": str(rate),
            "bufsize": str(rate // 8),  # 125 ms: no burst is longer than the line can carry
            "forced-idr": "1",
            "x264-params": f"repeat-headers=1:annexb=1:sliced-threads=0:scenecut=0:{_VUI}",
        }

    def _vp8_options(self) -> dict[str, str]:
        rate = str(self._kbps * 1000)
        return {
            "deadline": "realtime",
            "cpu-used": "-6",
            "lag-in-frames": "0",
            "minrate": rate,
            "maxrate": rate,
            "bufsize": str(self._kbps * 1000 // 2),
            "error-resilient": "default",
            "undershoot-pct": "100",
            "overshoot-pct": "15",
            "qmin": "4",
            "qmax": "56",
            "static-thresh": "1",
        }


def _level(width: int, height: int, fps: int) -> str:
    """Return the lowest of a few levels that holds such pictures (H.264, table A-1)."""
    blocks = -(-width // 16) * -(-height // 16)
    for level, most, per_second in (("31", 3600, 108_000), ("40", 8192, 245_760)):
        if blocks <= most and blocks * fps <= per_second:
            return level
    return "51"


def to_i420(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an RGB picture (H, W, 3) uint8 as I420 (H * 3 // 2, W), BT.601 limited range."""
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420), np.uint8)


def to_yuv(rgb: NDArray[np.uint8]) -> av.VideoFrame:
    """Return an RGB picture (H, W, 3) uint8 as planar 4:2:0, BT.601 limited range."""
    return as_frame(to_i420(rgb))


def as_frame(i420: NDArray[np.uint8]) -> av.VideoFrame:
    """Return an I420 picture (H * 3 // 2, W) uint8 as what the encoder takes."""
    return av.VideoFrame.from_ndarray(i420, format="yuv420p")


def from_yuv(picture: av.VideoFrame) -> NDArray[np.uint8]:
    """Return what :func:`to_yuv` made as I420 (H * 3 // 2, W)."""
    return np.asarray(picture.to_ndarray(), np.uint8)


class BitrateGovernor:
    """Turns a viewer's wavering estimate into few, meaningful bitrate changes.

    An estimate is capped by what was sent, and a quiet face needs little; so an estimate says
    something only when it is below what is being sent. Then the rate falls at once. It climbs back
    in steps after the line has carried everything for a while. Nothing in between.

    Args:
        full_kbps: the locked bitrate; the estimate only ever clamps it.
        now: monotonic seconds.
    """

    CONGESTED = 0.95  # estimate over what is sent
    RISE = 1.5
    HOLD_S = 6.0  # without congestion before a step up; doubles each time that was too much
    MOST_HOLD_S = 96.0
    SETTLE_S = 2.0  # between steps down
    SMOOTHING = 0.15  # weight of the newest estimate

    def __init__(self, full_kbps: int, now: float) -> None:
        self.kbps = full_kbps
        self._full = full_kbps
        self._hold_s = self.HOLD_S
        self._rose = False
        self._estimate: float | None = None
        self._changed_at = now
        self._congested_at = now

    def observe(self, estimate_bps: int, sent_bps: float, now: float) -> int | None:
        """Take an estimate; return the new rate in kb/s if it should change.

        Args:
            estimate_bps: what the viewer thinks its line carries.
            sent_bps: what was really sent of late.
            now: monotonic seconds.
        """
        last = estimate_bps if self._estimate is None else self._estimate
        self._estimate = last + self.SMOOTHING * (estimate_bps - last)
        if self._estimate < self.CONGESTED * sent_bps:
            self._congested_at = now
            usable = max(MIN_KBPS, int(0.9 * self._estimate / 1000))
            if usable < self.kbps and now - self._changed_at >= self.SETTLE_S:
                self._hold_s = min(self.MOST_HOLD_S, self._hold_s * (2 if self._rose else 1))
                self._rose = False
                return self._change(usable, now)
        elif self.kbps < self._full:
            calm = now - max(self._congested_at, self._changed_at)
            if calm >= self._hold_s:
                self._rose = True
                return self._change(min(self._full, int(self.kbps * self.RISE) + 1), now)
        return None

    def _change(self, kbps: int, now: float) -> int:
        self.kbps = kbps
        self._changed_at = now
        return kbps
