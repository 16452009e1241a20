"""The loop of the presenter: sound in, pictures and sound out on one media time."""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from visavis.streamer.clock import Clock
from visavis.streamer.config import MediaConfig
from visavis.streamer.media.delay import Pace
from visavis.streamer.media.files.recorder import Recorder
from visavis.streamer.media.path import Leeway, MediaPath
from visavis.streamer.media.timeline import RATE
from visavis.streamer.presenter.devices.camera import CameraFeed
from visavis.streamer.presenter.devices.speaker import Device, Speaker
from visavis.streamer.presenter.engine import LiveAvatar
from visavis.streamer.presenter.script.captions import Captions
from visavis.streamer.presenter.script.sources import Followed, Mark, Source
from visavis.streamer.worker.frames import Shown

_LOOK_S = 0.010  # how often missing sound is looked for
_START_HEADROOM_MS = 10.0  # what drawing and a sound device take; grows and shrinks by itself
# A picture leaves as soon as it is drawn, at most so much before or after its sound. If all waited
# for the slowest, as a network's receiver needs it, everybody would be later by that.
_LEEWAY = Leeway(sooner_s=0.010, later_s=0.012)
_PACE = Pace(spare_ms=3.0, least_ms=2.0, most_down_ms=8.0)
_STARTING = 50  # ticks at the start, when files and caches are cold, that say nothing of the rest
_FIGURES_S = 10.0  # that the figures look back


@dataclass
class Figures:
    """What happened of late.

    Attributes:
        level: peak of the last blocks of sound, 0-1.
        shown: ticks so far.
        late: of these, without a picture of their own.
        lately: whether each of the last ticks was.
        draw_ms: what drawing took, of the last ticks.
        ready_ms: sound complete to picture drawn, likewise.
        ticks: monotonic seconds of the last ticks.
    """

    level: float = 0.0
    shown: int = 0
    late: int = 0
    draw_ms: collections.deque[float] = field(default_factory=lambda: collections.deque(maxlen=500))
    ready_ms: collections.deque[float] = field(
        default_factory=lambda: collections.deque(maxlen=500)
    )
    lately: collections.deque[bool] = field(default_factory=lambda: collections.deque(maxlen=500))
    ticks: collections.deque[float] = field(default_factory=lambda: collections.deque(maxlen=500))

    def fps(self, now: float) -> float:
        """Return frames per second over the last seconds."""
        recent = [t for t in self.ticks if now - t < _FIGURES_S]
        span = now - recent[0] if len(recent) > 1 else 0.0
        return len(recent) / span if span > 0 else 0.0


class Presenter:
    """Joins a source, an avatar and what shows them.

    Args:
        avatar: draws; started and closed here.
        media: frame rate, look-ahead and bounds.
        source: where sound comes from.
        arrived: set when a source has sound before it is asked.
        clock: monotonic time.
        slide: told when the next slide is due.
        captions: written as paragraphs are said.
        recorder: gets every frame with its sound.
    """

    def __init__(
        self,
        avatar: LiveAvatar,
        media: MediaConfig,
        source: Source,
        *,
        clock: Clock,
        arrived: threading.Event | None = None,
        slide: Callable[[], None] = lambda: None,
        captions: Captions | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self.figures = Figures()
        self.path = MediaPath(
            media, clock, avatar.feed, early_ms=avatar.early_ms, pace=_PACE, leeway=_LEEWAY
        )
        self.path.delay.headroom_ms = min(_START_HEADROOM_MS, float(media.ring_ms))
        self.muted = False
        self.avatar, self.source = avatar, source
        self._followed = source if isinstance(source, Followed) else None
        self._clock = clock
        self._arrived = arrived or threading.Event()
        self._slide, self._captions, self._recorder = slide, captions, recorder
        self.camera: CameraFeed | None = None
        self.speaker: Speaker | None = None
        self._source_time = 0
        self._due: list[tuple[int, Mark]] = []  # media times in samples of what is to happen
        self._frame = 0
        self._first_frame: int | None = None
        self._end_at: int | None = None  # media time in samples at which the source ended
        self._ending = threading.Event()

    def feed_camera(self, camera: CameraFeed) -> None:
        """Show pictures on a camera; opened and closed here."""
        self.camera = camera

    def feed_speaker(self, open_device: Callable[[], Device]) -> None:
        """Play the sound into a device; opened and closed here."""
        self.speaker = Speaker(open_device, self._media_time, self._read, self._clock.now)

    def _media_time(self, now: float) -> float | None:
        if not self.path.live:
            return None
        return (now - self.path.timeline.start - self.path.delay.seconds) * RATE

    def _read(self, position: int, count: int) -> NDArray[np.int16]:
        return self.path.read(position, count)

    @property
    def delay_ms(self) -> float:
        """How much later than it was heard a sound leaves, with its picture."""
        return 1e3 * self.path.delay.seconds

    def problems(self) -> list[str]:
        """Return a sentence for everything that is wrong now."""
        parts = (self.source, self.camera, self.speaker, self._recorder)
        said = [part.problem for part in parts if part is not None and part.problem]
        return said + ([self.avatar.failure] if self.avatar.failure else [])

    def open(self) -> None:
        """Open the devices.

        Raises:
            MissingPart: something is not installed.
        """
        for device in (self.camera, self.speaker):
            if device is not None:
                device.open()
        self.avatar.start()

    def run(self) -> None:
        """Present until the source ends or :meth:`stop` is called."""
        self.path.begin()
        while not self._ending.is_set() and not self.over:
            self.step()
            wait = self._next_tick() - self._clock.now()
            if wait > 0 and self._arrived.wait(min(wait, _LOOK_S)):
                self._arrived.clear()

    @property
    def over(self) -> bool:
        """Whether the source has ended and its last sound has left."""
        if self.avatar.failure:
            return True
        due = self._media_time(self._clock.now())
        return self._end_at is not None and due is not None and due > self._end_at

    def step(self) -> None:
        """Take what has come and release what is due."""
        self.path.muted = self.muted
        for block in self.source.take(self._clock.now()):
            self.path.sound(self._source_time, block.samples)
            self._source_time += len(block.samples)
            start = self.path.timeline.written - len(block.samples)
            for mark in block.marks:
                self._happens(mark, start)
            if self._followed is not None:
                self._followed.placed(start, block)
            if len(block.samples):
                peak = float(np.abs(block.samples.astype(np.int32)).max()) / 32_768.0
                self.figures.level = max(peak, 0.8 * self.figures.level)
        if self.source.ended and self._end_at is None:
            self._end_at = self.path.timeline.written
        self.path.fill()
        due = self.path.due_frame(_LEEWAY.later_s)
        if due < self._frame and self._clock.now() >= self._next_tick():
            due = self._frame
        if due >= self._frame:
            self._tick(due)
            self._frame = due + 1
        self._fire()

    def _next_tick(self) -> float:
        """Return when the next frame leaves, as far as it is known now."""
        frame = self._frame
        return self.path.earliest(frame) if self.avatar.ready(frame) else self.path.latest(frame)

    def _tick(self, frame: int) -> None:
        shown = self.avatar.release(frame)
        now = self._clock.now()
        if shown is None:
            return
        figures, on_time = self.figures, shown.own == frame
        spare_ms = shown.waited_ms + 1e3 * (self.path.latest(frame) - now) if on_time else 0.0
        if figures.shown >= _STARTING:
            self.path.delay.observe(on_time=on_time, waited_ms=spare_ms)
        figures.shown += 1
        figures.late += not on_time
        figures.lately.append(not on_time)
        figures.ticks.append(now)
        if shown.is_new:
            figures.draw_ms.append(shown.draw_ms)
            figures.ready_ms.append(shown.ready_ms)
        if self.camera is not None:
            self.camera.show(shown.picture)
        self._record(frame, shown)

    def _record(self, frame: int, shown: Shown) -> None:
        if self._first_frame is None:
            self._first_frame = frame
        if self._recorder is not None:
            start, end = self.path.start_of(frame), self.path.start_of(frame + 1)
            self._recorder.put(frame, shown.picture, self.path.read(start, end - start))

    # ------------------------------------------------------------------ what a script says

    def _happens(self, mark: Mark, position: int) -> None:
        """Take a mark whose sound begins at a media time."""
        step = mark.step
        if step.kind == "mood":
            self.avatar.mood(step.text)
        elif step.kind == "look":
            self.avatar.look(step.text)
        else:
            self._due.append((position, mark))

    def _fire(self) -> None:
        due = self._media_time(self._clock.now())
        if self._followed is not None and due is not None:
            self._followed.shown(max(0, int(due)))
        while self._due and due is not None and self._due[0][0] <= due:
            position, mark = self._due.pop(0)
            if mark.step.kind == "next":
                self._slide()
            elif mark.step.kind == "say":
                self.caption(mark.step.text, position, mark.seconds)

    def caption(self, text: str, media_time: int, seconds: float) -> None:
        """Write a caption that begins at a media time, in samples, where captions are written."""
        if self._captions is not None:
            first = self.path.start_of(self._first_frame or 0)
            self._captions.add(text, max(0.0, (media_time - first) / RATE), seconds)

    # ------------------------------------------------------------------ end

    def stop(self) -> None:
        """End :meth:`run`."""
        self._ending.set()
        self._arrived.set()

    def close(self) -> None:
        """Give everything back."""
        self.stop()
        self.path.end()
        for part in (self.speaker, self.camera, self.source, self.avatar, self._recorder):
            if part is not None:
                part.close()


class Waiting:
    """A clock for a loop that waits by itself."""

    def now(self) -> float:
        """Return monotonic seconds."""
        return time.monotonic()

    async def sleep_until(self, deadline: float) -> None:
        """Nobody sleeps on this clock."""
        raise NotImplementedError("the presenter's loop waits by itself")
