"""Video encoders at a locked bitrate: H.264 (x264) and VP8 (libvpx), tuned for no delay at all.

The bitrate is set once. What the viewer's estimate (REMB) asks for goes through a governor that
ignores small and short changes, because a changed rate must not cost a keyframe: x264 takes a new
rate in mid-stream, libvpx only when it is opened again.
"""

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
        codec: ``"H264"`` (Annex B, constrained baseline 3.1) or ``"VP8"``.
        size: width and height in pixels.
        fps: frames per second.
        bitrate_kbps: the locked bitrate.
    """

    def __init__(self, codec: Codec, *, size: int, fps: int, bitrate_kbps: int) -> None:
        self._codec: Codec = codec
        self._size = size
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
        context.width = context.height = self._size
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
            "level": "31",
            "maxrate": str(rate),
            "bufsize": str(rate // 8),  # 125 ms: no burst is longer than the line can carry
            "forced-idr": "1",
            "x264-params": f"repeat-headers=1:annexb=1:sliced-threads=0:{_VUI}",
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


def to_yuv(rgb: NDArray[np.uint8]) -> av.VideoFrame:
    """Return an RGB picture (H, W, 3) uint8 as planar 4:2:0, BT.601 limited range."""
    planes = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420)
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")


class BitrateGovernor:
    """Turns a viewer's wavering estimate into few, meaningful bitrate changes.

    Down at once when the estimate falls clearly below the present rate; up again only after it
    has stayed clearly above for a while. Nothing in between.

    Args:
        full_kbps: the locked bitrate; the estimate only ever clamps it.
        clock_now: monotonic seconds of the first observation, for the hold time.
    """

    FALL = 0.85  # of the present rate
    RISE = 1.25
    HOLD_S = 8.0  # between changes upward
    SETTLE_S = 2.0  # between changes downward

    def __init__(self, full_kbps: int, clock_now: float) -> None:
        self.kbps = full_kbps
        self._full = full_kbps
        self._changed_at = clock_now - self.HOLD_S

    def observe(self, estimate_bps: int, now: float) -> int | None:
        """Take an estimate; return the new rate in kb/s if it should change."""
        usable = max(MIN_KBPS, min(self._full, int(estimate_bps * 0.9 / 1000)))
        waited = now - self._changed_at
        falls = usable < self.kbps * self.FALL and waited >= self.SETTLE_S
        full_again = usable == self._full and self.kbps < self._full
        rises = (usable > self.kbps * self.RISE or full_again) and waited >= self.HOLD_S
        if not (falls or rises):
            return None
        self.kbps = usable
        self._changed_at = now
        return usable
