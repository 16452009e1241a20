"""The models of one session: sound in, pictures out. What a slot drives and knows no more about."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from visavis.streamer.worker.pipeline.cores import compute_threads, usable_cores
from visavis.streamer.worker.pipeline.view import View, read_view

if TYPE_CHECKING:
    from visavis.models.motion.stream import MotionStream
    from visavis.models.renderer.canvas import Canvas
    from visavis.models.renderer.renderer import Renderer

RATE = 16_000  # samples per second of the sound that models hear
_EASE_S = 0.16  # to still lips: with the wait for a tick, encoding and the way, 200 ms
DRAWN = ""
"""The bundle that is no file: the drawn person, for warming up and measuring."""


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker is started with.

    Attributes:
        slots: how many sessions it can hold.
        engine: the engine to run graphs on.
        threads: threads per graph.
        compute: sessions that may be drawn at the same time; 0 decides by the cores.
        size: width and height in pixels of the warm-up.
        refine: whether a network lights the mouth.
        light: whether it is the large one for large pictures; None times it here, once. The first
            worker decides for all that come after it, or a face would change with a restart.
        label: whether pictures carry the words "AI avatar".
    """

    slots: int = 16
    engine: str = "auto"
    threads: int = 1
    compute: int = 0
    size: int = 512
    refine: bool = True
    light: bool | None = None
    label: bool = True

    @property
    def compute_threads(self) -> int:
        """How many sessions are drawn at the same time here."""
        return self.compute or compute_threads(usable_cores())


@dataclass(frozen=True)
class SlotSpec:
    """What a session asks of its slot.

    ``codec`` is ``H264``, ``VP8`` or ``RAW``: nothing is encoded, pictures go to programs only.
    ``canvas`` is empty for the avatar's own square of ``size`` pixels, else ``"1280x720"`` and the
    like, with ``framing`` and ``background`` as ``worker.view`` reads them.
    Frames come sooner than the look-ahead says, by ``models.motion.stream.eager_ms``: who feeds the
    slot has to know.
    ``payload`` is the watermark's, hexadecimal; empty for none.
    """

    bundle: str
    size: int = 512
    fps: int = 25
    look_ahead_ms: int = 80
    ring_ms: int = 120
    bitrate_kbps: int = 1200
    codec: str = "H264"
    seed: int = 0
    probe: bool = False
    mood: str = "neutral"
    style: float = 1.0
    canvas: str = ""
    framing: str = "bust"
    background: str = "own"
    payload: str = ""

    @property
    def view(self) -> View | None:
        """The canvas, or None for the avatar's own square."""
        return read_view(self.canvas, self.framing, self.background) if self.canvas else None

    @property
    def picture_size(self) -> tuple[int, int]:
        """Width and height of the pictures in pixels."""
        view = self.view
        return (self.size, self.size) if view is None else view.picture_size

    def to_json(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> SlotSpec:
        """Read the fields; unknown ones are ignored."""
        return cls(**{f.name: values[f.name] for f in fields(cls) if f.name in values})


Boxes = list[tuple[int, int, int, int]]
"""(left, top, right, bottom) each, in pixels."""


class Drawer(Protocol):
    """Draws one avatar."""

    def render(self, coefficients: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return (size, size, 3) RGB for (COUNT,) coefficients; valid until the next call."""
        ...


class Pipeline(Protocol):
    """One session's motion and its present avatar."""

    @property
    def changed(self) -> Boxes | None:
        """The parts of the last frame that differ from the one before; None says nothing."""
        ...

    def push(
        self, pcm: NDArray[np.float32], heard: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Take mono 16 kHz samples; return (k, COUNT), the frames that became complete.

        ``heard`` is the other side's sound meanwhile, of the same length; None is silence.
        """
        ...

    def render(self, coefficients: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Draw one frame, (size, size, 3) RGB uint8; valid until the next call."""
        ...

    def reset(self, shown: NDArray[np.float32] | None = None) -> None:
        """Barge-in: forget the sound so far and ease to neutral; frames keep their count.

        ``shown`` (COUNT,) is what to ease from; None is the last frame that was made.
        """
        ...

    def show(self, drawer: Drawer) -> None:
        """Draw another avatar from the next frame on."""
        ...

    def set_mood(self, name: str, style: float = 1.0) -> None:
        """Move in another mood, and as strongly as this style says, from now on."""
        ...


class Pipelines(Protocol):
    """Makes pipelines; may take long, so it is called beside the live slots.

    Attributes:
        light: whether large pictures are lit by the large network; None where none is.
    """

    light: bool | None

    def open(self, spec: SlotSpec) -> Pipeline:
        """Return a fresh session on an avatar."""
        ...

    def drawer(self, bundle: str, size: int, view: View | None = None) -> Drawer:
        """Load an avatar, on a canvas if there is a view."""
        ...


class AvatarPipeline:
    """Motion predictor and renderer of one session."""

    def __init__(self, motion: MotionStream, drawer: Drawer) -> None:
        self._motion = motion
        self._drawer = drawer
        self._pushed = 0  # samples since the last reset
        self._emitted = 0  # and frames

    def push(
        self, pcm: NDArray[np.float32], heard: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Take sound; return the coefficients of the frames that became complete."""
        push = self._motion.push
        frames = push(pcm) if heard is None else push(pcm, heard=heard)
        self._pushed += len(pcm)
        self._emitted += len(frames)
        return frames

    def render(self, coefficients: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Draw one frame."""
        return self._drawer.render(coefficients)

    @property
    def changed(self) -> Boxes | None:
        """The parts of the last frame that differ from the one before; None says nothing."""
        return changed_of(self._drawer)

    def reset(self, shown: NDArray[np.float32] | None = None) -> None:
        """Forget the sound so far; as much silence takes its place, so that frames keep count."""
        self._motion.reset(shown, ease_s=_EASE_S)
        covered = self._emitted * RATE // self._motion.fps
        self._pushed, self._emitted = self._pushed - covered, 0
        self._motion.push(np.zeros(self._pushed, np.float32))

    def show(self, drawer: Drawer) -> None:
        """Draw another avatar from now on."""
        self._drawer = drawer

    def set_mood(self, name: str, style: float = 1.0) -> None:
        """Move in another mood from now on."""
        self._motion.set_mood(name, style)


def changed_of(drawer: Drawer) -> Boxes | None:
    """Return what a drawer says of its last frame; one that stands on no canvas says nothing."""
    changed: Boxes | None = getattr(drawer, "changed", None)
    return changed


class AvatarPipelines:
    """The real thing: the same graphs for all sessions, one renderer each.

    Raises:
        EngineError: the graph cannot be run here.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        import cv2

        # Everything is imported here, so that nobody waits for it when the first session opens.
        import visavis.models.appearance.identity
        import visavis.models.renderer.renderer  # noqa: F401
        from visavis.streamer.worker.pipeline.motion_models import load_motion
        from visavis.streamer.worker.pipeline.picture_models import load_pictures

        cv2.setNumThreads(settings.threads)
        means = settings.engine, settings.threads, settings.compute_threads
        self._models = load_motion(*means)
        self._pictures = load_pictures(
            *means, refine=settings.refine, live=True, light=settings.light
        )
        self.light: bool | None = self._pictures.light is not None if settings.refine else None

    def open(self, spec: SlotSpec) -> AvatarPipeline:
        """Return a fresh session on an avatar."""
        motion = self._models.stream(
            fps=spec.fps,
            look_ahead_ms=spec.look_ahead_ms,
            seed=spec.seed,
            mood=spec.mood,
            style=spec.style,
            eager=True,
        )
        return AvatarPipeline(motion, self.drawer(spec.bundle, spec.size, spec.view))

    def drawer(self, bundle: str, size: int, view: View | None = None) -> Renderer | Canvas:
        """Load an avatar and draw it once, so that the first live frame is not the slow one."""
        from visavis.streamer.worker.pipeline.drawn import drawn_person, load_identity

        identity = drawn_person(size) if bundle == DRAWN else load_identity(bundle)
        if view is None:
            return self._pictures.renderer(identity, size)
        return self._pictures.canvas(identity, view)
