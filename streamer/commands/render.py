"""``visavis render``: the live models, run as fast as they go, into a file.

Sound is read twice, at the model's rate and at the file's, so that nothing longer than a block is
ever held; frame *n* of the picture belongs to samples ``[n·rate/fps, (n+1)·rate/fps)`` of both.
"""

# PyAV's packets are generic, and its methods name them without what they are of.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
from numpy.typing import NDArray

from visavis.streamer.commands.outputs import check_output, whole_file
from visavis.streamer.errors import BadRequest
from visavis.streamer.media.files.audio_file import is_silent, read_blocks
from visavis.streamer.trust.marks.mark import MARKED, Marker, Marking
from visavis.streamer.worker.pipeline.film import draw_film

if TYPE_CHECKING:
    from visavis.models.motion.stream import MotionStream
    from visavis.streamer.worker.pipeline.pipeline import Drawer
    from visavis.streamer.worker.pipeline.view import View

AUDIO_RATE = 48_000
SUFFIXES = (".mp4", ".mov", ".mkv")
_QUEUE_FRAMES = 8
_H264 = {"crf": "18", "preset": "veryfast", "threads": "1"}
_PRORES = {"profile": "4", "alpha_bits": "16", "threads": "2"}  # 4444
Progress = Callable[[float], None]


@dataclass(frozen=True)
class RenderReport:
    """What came out.

    Attributes:
        frames: pictures written.
        seconds: duration of the sound.
        silent: nobody was heard in the whole file, so the mouth stayed shut.
        notes: sentences about the sound: which track was taken, what was damaged.
    """

    frames: int
    seconds: float
    silent: bool
    notes: tuple[str, ...] = ()


def suffixes_of(view: View | None) -> tuple[str, ...]:
    """Return the endings that an output may have; only a ``.mov`` keeps opacity."""
    return (".mov",) if view is not None and view.transparent else SUFFIXES


def render_file(
    motion: MotionStream,
    drawers: Sequence[Drawer],
    audio: Path,
    output: Path,
    *,
    size: int,
    fps: int,
    view: View | None = None,
    heard: Path | None = None,
    track: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
    marking: Marking = MARKED,
    sign: Callable[[Path], object] | None = None,
) -> RenderReport:
    """Render a sound file to H.264 + AAC in an MP4, or to ProRes 4444 if it is transparent.

    Args:
        motion: a fresh motion stream at ``fps``.
        drawers: of the avatar at ``size``, or on the canvas of ``view``; one for each core.
        audio: any sound file.
        output: the ``.mp4`` to write; appears only when it is complete.
        size: width and height in pixels.
        fps: frames per second.
        view: the canvas, if there is one.
        heard: a sound file of what the other side says meanwhile.
        track: which sound track of ``audio``, from 0; see ``read_blocks``.
        force: another file at ``output`` may be replaced.
        progress: told the seconds of sound that are done.
        marking: what every picture carries.
        sign: given the whole file before it appears.

    Raises:
        BadRequest: the sound cannot be read or the output cannot be written.
    """
    check_output(output, (audio, heard), force=force, suffixes=suffixes_of(view))
    listener = Listener(audio, motion, heard, track)
    with whole_file(output, force=force) as partial:
        sound = read_blocks(audio, AUDIO_RATE, layout="stereo", block=1024, track=track)
        width, height = (size, size) if view is None else (view.width, view.height)
        alpha = view is not None and view.transparent
        marker = Marker(replace(marking, fps=fps), transparent=alpha)
        with _Writer(partial, width, height, fps, sound, alpha) as writer:
            frames = 0
            for picture in draw_film(listener.frames(), drawers):
                writer.put(marker.rgb(picture, frames))
                frames += 1
                if progress is not None:
                    progress(frames / fps)
        if sign is not None:
            sign(partial)
    seconds = listener.samples / motion.SAMPLE_RATE
    return RenderReport(frames, seconds, listener.silent, tuple(listener.notes))


class Listener:
    """Feeds a file to the motion stream and remembers what it heard.

    Args:
        audio: what is said.
        motion: a fresh motion stream.
        heard: what the other side says from the same moment on; silence when it ends earlier.
        track: which sound track of ``audio``, from 0; see ``read_blocks``.
    """

    def __init__(
        self,
        audio: Path,
        motion: MotionStream,
        heard: Path | None = None,
        track: int | None = None,
    ) -> None:
        self._audio = audio
        self._track = track
        self._motion = motion
        self._heard = heard
        self.samples = 0
        self.silent = True
        self.notes: list[str] = []

    def frames(self) -> Iterator[NDArray[np.float32]]:
        """Yield one coefficient vector a frame until the sound has ended."""
        rate, emitted = self._motion.SAMPLE_RATE, 0
        step = rate // 5
        other = None if self._heard is None else read_blocks(self._heard, rate, block=step)
        said = read_blocks(self._audio, rate, block=step, track=self._track, say=self.notes.append)
        for block in said:
            self.samples += len(block)
            self.silent = self.silent and is_silent(block)
            for values in self._push(block, other):
                emitted += 1
                yield values
        # The look-ahead and the last started frame are fed with silence.
        fps = self._motion.fps
        owed = -(-self.samples * fps // rate) - emitted
        for values in self._motion.push(np.zeros(rate, np.float32))[: max(0, owed)]:
            yield values

    def _push(
        self, block: NDArray[np.float32], other: Iterator[NDArray[np.float32]] | None
    ) -> NDArray[np.float32]:
        if other is None:
            return self._motion.push(block)
        heard = next(other, np.zeros(0, np.float32))[: len(block)]
        return self._motion.push(block, heard=np.pad(heard, (0, len(block) - len(heard))))


class _Writer:
    """Encodes on its own thread, so that drawing and encoding share the cores.

    Sound is written beside the pictures as they come, not after them: players can then start
    before the whole file has arrived, and the muxer holds nothing back.
    """

    def __init__(
        self,
        path: Path,
        width: int,
        height: int,
        fps: int,
        sound: Iterator[NDArray[np.float32]],
        alpha: bool,
    ) -> None:
        self._container = av.open(str(path), "w", options={"movflags": "+faststart"})
        self._video = self._container.add_stream("prores_ks" if alpha else "libx264", rate=fps)
        self._video.width, self._video.height = width, height
        self._video.pix_fmt = "yuva444p10le" if alpha else "yuv420p"
        self._video.options = dict[str, object](_PRORES if alpha else _H264)
        self._alpha = alpha
        self._audio = self._container.add_stream("aac", rate=AUDIO_RATE, layout="stereo")
        self._fps = fps
        self._sound = sound
        self._queue: queue.Queue[NDArray[np.uint8] | None] = queue.Queue(_QUEUE_FRAMES)
        self._error: Exception | None = None
        self._given_up = threading.Event()
        self._thread = threading.Thread(target=self._encode, name="encode", daemon=True)
        self._thread.start()

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None:
            # Stopped or broken off: nothing more is encoded, and what is there goes away.
            self._given_up.set()
        self._queue.put(None)
        self._thread.join()
        if kind is not None:
            with contextlib.suppress(av.FFmpegError, OSError):
                self._container.close()
            return
        try:
            self._container.close()  # writes the index: on a full disk it is this that fails
        except (av.FFmpegError, ValueError) as error:
            self._error = self._error or error
        self._check()

    def put(self, picture: NDArray[np.uint8]) -> None:
        """Queue one RGB picture; waits when the encoder is behind."""
        self._check()
        self._queue.put(picture)

    def _check(self) -> None:
        if isinstance(self._error, BadRequest | OSError):
            raise self._error
        if self._error is not None:
            raise BadRequest(f"The video could not be encoded: {self._error}.") from self._error

    def _encode(self) -> None:
        sound = self._sound_packets()
        count = 0
        while True:
            picture = self._queue.get()
            try:
                # Keep draining after an error, or the drawing thread would wait for ever.
                if self._error is None and not self._given_up.is_set():
                    self._write(picture, count, sound)
            except Exception as error:
                self._error = error
            if picture is None:
                return
            count += 1

    def _write(
        self,
        picture: NDArray[np.uint8] | None,
        count: int,
        sound: Generator[None, int | None, None],
    ) -> None:
        """Write picture ``count`` and its sound, or with None all that is left."""
        if count == 0:
            next(sound)
        if picture is None:
            self._container.mux(self._video.encode(None))
            sound.send(None)
            return
        frame = self._frame(picture)
        frame.pts, frame.time_base = count, Fraction(1, self._fps)
        self._container.mux(self._video.encode(frame))
        sound.send((count + 1) * AUDIO_RATE // self._fps)

    def _frame(self, picture: NDArray[np.uint8]) -> av.VideoFrame:
        if not self._alpha:
            return av.VideoFrame.from_ndarray(picture, format="rgb24")
        from visavis.models.renderer.canvas import straight

        width = picture.shape[1] // 2
        rgba = straight(picture[:, :width], picture[:, width:, 0])
        return av.VideoFrame.from_ndarray(rgba, format="rgba")

    def _sound_packets(self) -> Generator[None, int | None, None]:
        """Write sound up to the sample that is sent in; None writes the rest."""
        written = 0
        wanted = yield
        for block in self._sound:
            while wanted is not None and written >= wanted:
                wanted = yield
            planar = np.ascontiguousarray(block.T)
            frame = av.AudioFrame.from_ndarray(planar, format="fltp", layout="stereo")
            frame.rate, frame.pts = AUDIO_RATE, written
            frame.time_base = Fraction(1, AUDIO_RATE)
            written += len(block)
            self._container.mux(self._audio.encode(frame))
        while wanted is not None:
            wanted = yield
        self._container.mux(self._audio.encode(None))
        yield
