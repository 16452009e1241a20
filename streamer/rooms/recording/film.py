"""One feed's packets as a file that a crash cannot spoil: nothing is encoded again.

H.264 goes into fragmented MP4, VP8, for which few players know a way in MP4, into WebM. A fragment
is complete after a second, so that a power cut costs the last second and not the recording.
Both tracks keep their media time: what left the server together lies together in the file.
"""

# PyAV's packets are generic, and its methods name them without what they are of.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeArgument=false
from __future__ import annotations

import io
import struct
from fractions import Fraction
from typing import Any

import av

VIDEO_BASE = Fraction(1, 90_000)
SOUND_RATE = 48_000
_SOUND_BASE = Fraction(1, SOUND_RATE)
_OPUS_BLOCK = SOUND_RATE // 100
_FRAGMENT_US = 1_000_000
_OPTIONS = {
    ".mp4": {
        "movflags": "+empty_moov+default_base_moof",
        "frag_duration": str(_FRAGMENT_US),
        "flush_packets": "1",
    },
    ".webm": {"cluster_time_limit": str(_FRAGMENT_US // 1000), "flush_packets": "1"},
}


def suffix_for(codec: str) -> str:
    """Return the ending of a file for pictures in this codec."""
    return ".webm" if codec.upper() == "VP8" else ".mp4"


class Film:
    """Writes one file; used by one thread.

    Args:
        file: where to, empty; closed in the end. A sealed one seals what is written.
        suffix: which container, ``.mp4`` or ``.webm``.
        keyframe: the first picture.
        first_frame: its number; the file begins here.
        fps: frames per second.

    Raises:
        OSError: it cannot be written.
        av.FFmpegError: the picture is none.
    """

    def __init__(
        self, file: io.RawIOBase, suffix: str, keyframe: bytes, first_frame: int, fps: int
    ) -> None:
        self._file = file
        self._first_frame, self._fps = first_frame, fps
        self._container = av.open(file, "w", format=suffix[1:], options=_OPTIONS[suffix])
        if suffix == ".webm":
            width, height = _vp8_size(keyframe)
            self._video: Any = self._container.add_mux_stream(
                "vp8", rate=fps, width=width, height=height
            )
        else:
            with av.open(io.BytesIO(keyframe), format="h264") as source:
                self._video = self._container.add_stream_from_template(source.streams.video[0])
        self._video.time_base = VIDEO_BASE
        self._sound: Any = self._container.add_stream("libopus", rate=SOUND_RATE, layout="mono")

    def picture(self, frame: int, data: bytes, keyframe: bool) -> None:
        """Write a picture; ``frame`` is its number on the session's media time."""
        step = VIDEO_BASE.denominator // self._fps
        packet = self._packet(data, (frame - self._first_frame) * step, VIDEO_BASE, step)
        packet.stream, packet.is_keyframe = self._video, keyframe
        self._container.mux_one(packet)

    def sound(self, data: bytes, pts: int) -> None:
        """Write an Opus packet; ``pts`` is its media time in samples. What is too early is left."""
        pts -= self._first_frame * SOUND_RATE // self._fps
        if pts < -_OPUS_BLOCK:
            return
        packet = self._packet(data, pts, _SOUND_BASE, _OPUS_BLOCK)
        packet.stream = self._sound
        self._container.mux_one(packet)

    @staticmethod
    def _packet(data: bytes, pts: int, base: Fraction, duration: int) -> av.Packet:
        packet = av.Packet(data)
        packet.time_base, packet.duration = base, duration
        packet.pts = packet.dts = pts
        return packet

    def close(self) -> None:
        """Finish the file."""
        try:
            self._container.close()
        finally:
            self._file.close()


def _vp8_size(keyframe: bytes) -> tuple[int, int]:
    """Read width and height (RFC 6386, section 9.1)."""
    if len(keyframe) < 10 or keyframe[3:6] != b"\x9d\x01\x2a":
        raise ValueError("This is no VP8 keyframe.")
    width, height = struct.unpack_from("<HH", keyframe, 6)
    return width & 0x3FFF, height & 0x3FFF
