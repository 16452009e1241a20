"""Pictures and sound into a file while they happen: fragmented MP4, readable however it ends."""

# PyAV's packets are generic, and its methods name them without what they are of.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import queue
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from visavis.streamer.errors import BadRequest
from visavis.streamer.media.timeline import RATE

_QUEUE_FRAMES = 50  # two seconds; what does not fit is left out, and counted
_END_S = 20.0
_FRAGMENT_S = 1


class Recorder:
    """Encodes on a thread of its own; H.264 and AAC.

    A file that is cut off in the middle (power, kill) plays up to its last whole second.

    Args:
        path: the ``.mp4`` to write.
        width: of the pictures in pixels, even.
        height: likewise.
        fps: frames per second.

    Raises:
        BadRequest: it cannot be written.
    """

    def __init__(self, path: Path, width: int, height: int, fps: int) -> None:
        if path.suffix.lower() not in (".mp4", ".m4v"):
            raise BadRequest(f"A recording must end in .mp4, not {path.suffix!r}.")
        if not path.parent.is_dir():
            raise BadRequest(f"There is no folder {path.parent} to write into.")
        self.frames = self.dropped = 0
        self.problem = ""
        self._fps = fps
        self._first: int | None = None
        self._path = path
        try:
            self._open(path, width, height)
        except OSError as error:
            raise BadRequest(f"{path} cannot be written: {error.strerror or error}.") from error
        self._queue: queue.Queue[tuple[int, Any, Any] | None] = queue.Queue(_QUEUE_FRAMES)
        self._thread = threading.Thread(target=self._run, name="record", daemon=True)
        self._thread.start()

    def _open(self, path: Path, width: int, height: int) -> None:
        flags = "frag_keyframe+empty_moov+default_base_moof"
        self._container = av.open(str(path), "w", format="mp4", options={"movflags": flags})
        self._video = self._container.add_stream("libx264", rate=self._fps)
        self._video.width, self._video.height = width, height
        self._video.pix_fmt = "yuv420p"
        self._video.options = {
            "preset": "superfast",
            "crf": "20",
            "threads": "1",
            "g": str(self._fps * _FRAGMENT_S),
            "bf": "0",
        }
        self._audio = self._container.add_stream("aac", rate=RATE, layout="mono")

    def put(self, frame: int, picture: NDArray[np.uint8], sound: NDArray[np.int16]) -> None:
        """Add a frame.

        Args:
            frame: its number, which its media time is; the first one begins the file.
            picture: I420 ``(H * 3 // 2, W)``, not written to afterwards.
            sound: mono int16 at 48 kHz of the same media time.
        """
        if self._first is None:
            self._first = frame
        try:
            self._queue.put_nowait((frame - self._first, picture, sound))
        except queue.Full:
            self.dropped += 1

    def stop(self, why: str) -> None:
        """Write nothing more; what was written before stays. Any thread may ask.

        Args:
            why: a sentence.
        """
        self.problem = self.problem or f"The recording {self._path.name} has stopped: {why}"

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            if self.problem:
                continue
            try:
                self._write(*item)
            except (OSError, av.FFmpegError, ValueError) as error:
                why = getattr(error, "strerror", None) or error
                self.problem = f"The recording {self._path.name} has stopped: {why}."

    def _write(self, number: int, picture: NDArray[np.uint8], sound: NDArray[np.int16]) -> None:
        image = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        image.pts, image.time_base = number, Fraction(1, self._fps)
        self._container.mux(self._video.encode(image))
        if len(sound):
            block = av.AudioFrame.from_ndarray(sound[None], format="s16", layout="mono")
            block.rate, block.pts = RATE, round(number * RATE / self._fps)
            block.time_base = Fraction(1, RATE)
            self._container.mux(self._audio.encode(block))
        self.frames += 1

    def close(self) -> None:
        """Write what waits and finish the file."""
        self._queue.put(None)
        self._thread.join(_END_S)
        try:
            if not self.problem:
                for stream in (self._video, self._audio):
                    self._container.mux(stream.encode(None))
            self._container.close()
        except (OSError, av.FFmpegError, ValueError) as error:
            self.problem = self.problem or f"The recording could not be finished: {error}."
