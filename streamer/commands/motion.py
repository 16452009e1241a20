"""``visavis motion``: a sound file becomes coefficients, for rigs in Blender, Unreal and three.js.

Two formats, chosen by the ending of the output. Both are written frame by frame, so that an hour of
sound needs no more memory than a minute; the file appears when it is complete.

``.json``: one object: ``format`` ("visavis-motion"), ``version`` (1), ``fps``, ``look_ahead_ms``,
``seed``, ``mood``, ``style``, ``names`` (the order of a frame's values), ``frames`` (an array of
arrays of numbers) and last ``frame_count``. Frame *n* is the sound of ``[n/fps, (n+1)/fps)``
seconds. Faces are 0-1, angles in radians, shifts in distances between the eyes; signs as in
``visavis.models.coefficients``.

``.csv``: the layout of a Live Link Face take: ``Timecode`` (``HH:MM:SS:FF.mmm``; FF.mmm counts
60ths of a second at any frame rate), ``BlendShapeCount`` (61), ARKit's 52 coefficients under their
names with a capital first letter, then yaw, pitch and roll of the head and of either eye in
radians, right-handed about ARKit's axes of the face (x to the viewer's right, y up, z to the
viewer): yaw > 0 turns to the viewer's right, pitch > 0 looks down, roll > 0 tips the crown to the
viewer's left.

In both files gaze is also written as ARKit's ``eyeLook`` coefficients.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from visavis.models.coefficients import ARKIT, COEFFICIENTS, INDEX
from visavis.models.motion.behaviour import with_eye_look
from visavis.streamer.commands import outputs
from visavis.streamer.commands.outputs import whole_file
from visavis.streamer.commands.render import Listener, RenderReport
from visavis.streamer.errors import BadRequest
from visavis.streamer.worker.pipeline.motion_models import load_motion

if TYPE_CHECKING:
    from visavis.models.motion.stream import MotionStream

ANGLES = (
    "HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll",
    "RightEyeYaw", "RightEyePitch", "RightEyeRoll",
)  # fmt: skip
HEADER = ("Timecode", "BlendShapeCount", *(n[0].upper() + n[1:] for n in ARKIT), *ANGLES)
_DIGITS = 5
Progress = Callable[[float], None]


@dataclass(frozen=True)
class MotionSettings:
    """What a file of motion was made with; written into the JSON."""

    fps: int
    look_ahead_ms: int
    seed: int
    mood: str
    style: float


class _Format(Protocol):
    def begin(self) -> str: ...

    def frame(self, number: int, values: NDArray[np.float32]) -> str: ...

    def end(self, frames: int) -> str: ...


class JsonFormat:
    """The layout of the ``.json`` file."""

    def __init__(self, settings: MotionSettings) -> None:
        self._about = {"format": "visavis-motion", "version": 1, **settings.__dict__}

    def begin(self) -> str:
        """Return everything before the first frame."""
        head = json.dumps({**self._about, "names": list(COEFFICIENTS)}, ensure_ascii=False)
        return head[:-1] + ', "frames": [\n'

    def frame(self, number: int, values: NDArray[np.float32]) -> str:
        """Return one frame of ``(COUNT,)``."""
        row = ",".join(_number(v) for v in values)
        return f"{',' if number else ''}[{row}]\n"

    def end(self, frames: int) -> str:
        """Return everything after the last frame."""
        return f'], "frame_count": {frames}}}\n'


class CsvFormat:
    """The layout of the ``.csv`` file."""

    def __init__(self, settings: MotionSettings) -> None:
        self._fps = settings.fps

    def begin(self) -> str:
        """Return the header."""
        return ",".join(HEADER) + "\n"

    def frame(self, number: int, values: NDArray[np.float32]) -> str:
        """Return one row."""
        columns = (*values[: len(ARKIT)], *angles(values))
        row = ",".join(_number(v) for v in columns)
        return f"{timecode(number, self._fps)},{len(columns)},{row}\n"

    def end(self, frames: int) -> str:
        """Return nothing: a row is complete in itself."""
        return ""


def angles(values: NDArray[np.float32]) -> tuple[float, ...]:
    """Return the nine angles of ``ANGLES`` in radians for coefficients ``(COUNT,)``."""
    pitch, yaw, roll, look, down = (
        float(values[INDEX[n]])
        for n in ("headPitch", "headYaw", "headRoll", "gazeYaw", "gazePitch")
    )
    return (yaw, pitch, -roll, look, down, 0.0, look, down, 0.0)


def timecode(number: int, fps: int) -> str:
    """Return the start of a frame as ``HH:MM:SS:FF.mmm``.

    ``FF.mmm`` counts 60ths of a second whatever ``fps`` is: importers take it so.
    """
    thousandths = number * 60_000 // fps
    seconds, rest = divmod(thousandths, 60_000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour % 24:02d}:{minute:02d}:{second:02d}:{rest // 1000:02d}.{rest % 1000:03d}"


def _number(value: float) -> str:
    text = f"{value:.{_DIGITS}f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def open_motion(settings: MotionSettings, engine: str) -> MotionStream:
    """Load the motion graph and return a fresh stream.

    Raises:
        BadRequest: a setting is out of range.
        EngineError: the graph cannot be run here.
    """
    from visavis.models.motion.flow import MANNERS

    if settings.mood not in MANNERS:
        raise BadRequest(f"The mood must be one of {', '.join(MANNERS)}, not {settings.mood!r}.")
    if not 0.0 <= settings.style <= 2.0:
        raise BadRequest(f"The style must be between 0 and 2, not {settings.style:g}.")
    models = load_motion(engine)
    try:
        return models.stream(**settings.__dict__)
    except ValueError as error:
        raise BadRequest(str(error)) from error


def write_motion(
    motion: MotionStream,
    audio: Path,
    output: Path,
    settings: MotionSettings,
    *,
    heard: Path | None = None,
    track: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> RenderReport:
    """Write the motion of a sound file.

    Args:
        motion: a fresh ``MotionStream``.
        audio: any sound file.
        output: ``.json`` or ``.csv``; appears only when it is complete.
        settings: what ``motion`` was made with.
        heard: what the other side says meanwhile.
        track: which sound track of ``audio``, from 0; see ``read_blocks``.
        force: another file at ``output`` may be replaced.
        progress: told the seconds of sound that are done.

    Raises:
        BadRequest: the sound cannot be read or the output cannot be written.
    """
    form = check_output(output, (audio, heard), force=force)(settings)
    listener = Listener(audio, motion, heard, track)
    with (
        whole_file(output, force=force) as partial,
        partial.open("w", encoding="utf-8", newline="\n") as file,
    ):
        frames = _write(file, form, listener.frames(), settings.fps, progress)
    seconds = listener.samples / motion.SAMPLE_RATE
    return RenderReport(frames, seconds, listener.silent, tuple(listener.notes))


def _write(
    file: IO[str],
    form: _Format,
    rows: Iterable[NDArray[np.float32]],
    fps: int,
    progress: Progress | None,
) -> int:
    file.write(form.begin())
    number = 0
    for values in rows:
        file.write(form.frame(number, with_eye_look(values)))
        number += 1
        if progress is not None and number % fps == 0:
            progress(number / fps)
    file.write(form.end(number))
    return number


def check_output(
    output: Path, inputs: Iterable[Path | None] = (), *, force: bool = False
) -> type[JsonFormat] | type[CsvFormat]:
    """Return the format that an output's name asks for.

    Raises:
        BadRequest: none, or it cannot be written; see ``outputs.check_output``.
    """
    formats: dict[str, type[JsonFormat] | type[CsvFormat]] = {
        ".json": JsonFormat,
        ".csv": CsvFormat,
    }
    outputs.check_output(output, inputs, force=force, suffixes=tuple(formats))
    return formats[output.suffix.lower()]
