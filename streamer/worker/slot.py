"""One session inside a worker: sound in, coefficients, pictures, packets out at their tick.

Two threads meet here. The compute thread calls :meth:`Slot.work`; the media thread feeds sound and
asks for packets at ticks. The lock covers the queues only, never a model or an encoder, so a tick
is answered at once while a frame is being drawn.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

import av
import numpy as np
from numpy.typing import NDArray

from visavis.streamer.media.encoder import from_yuv
from visavis.streamer.media.picture_ring import PictureRing
from visavis.streamer.media.ring import FrameRing, RingCounters
from visavis.streamer.trust.marks.mark import MARKED, Marking
from visavis.streamer.worker.frames import Exit, Pending, Picture, RawForm, Shown, encoder_of
from visavis.streamer.worker.overload import Effort
from visavis.streamer.worker.pipeline.pipeline import RATE, Drawer, Pipeline, SlotSpec
from visavis.streamer.worker.probe import Probe
from visavis.streamer.worker.protocol import Packet
from visavis.streamer.worker.turn import Turn

MAX_HEARD_S = 0.3  # of the other side's sound that waits
MAX_BACKLOG_S = 1.0  # of sound that waits for the models; beyond, what waits is silenced


class Slot:
    """The live state of one session.

    Args:
        spec: what the session asked for.
        pipeline: its models.
        now: monotonic seconds; ages and urgency only, never media time.
        epoch: which opening of its place this is.
        raw: None encodes pictures for :meth:`tick`; else :meth:`release` hands them out as RGB
            ``(H, W, 3)`` or as I420 ``(H * 3 // 2, W)``.
        drawn: called with a frame number on the compute thread when its picture waits.
        marking: what every picture carries.
    """

    def __init__(
        self,
        spec: SlotSpec,
        pipeline: Pipeline,
        now: Callable[[], float] = time.monotonic,
        *,
        epoch: int = 0,
        raw: RawForm | None = None,
        drawn: Callable[[int], None] = lambda frame: None,
        marking: Marking = MARKED,
    ) -> None:
        self.spec = spec
        self.epoch = epoch
        self._raw = raw
        self._drawn = drawn
        self._pipeline = pipeline
        self._exit = Exit(spec, raw, marking)
        self._now = now
        self._lock = threading.Lock()
        self._encoder = None if raw else encoder_of(spec)
        self._ring: FrameRing[Picture] = FrameRing(spec.ring_ms, spec.fps)
        self._probe = Probe(RATE, spec.fps) if spec.probe else None
        self._inbox: deque[tuple[float, NDArray[np.float32]]] = deque()
        self._pending: deque[Pending] = deque()
        self._position: int | None = None  # of the next sample expected
        self._first_frame = 0
        self._emitted = 0
        self._tick_at = 0.0
        self._generation = 0
        self._resets = False
        self._pictures: PictureRing | None = None
        self._again_from = 0  # the first frame to be made again after an interruption; 0: none
        self._next_drawer: Drawer | None = None
        self._effort = Effort.FULL
        self._shared: deque[tuple[int, NDArray[np.float32]]] | None = None
        self._heard: deque[NDArray[np.float32]] = deque()
        self._turn = Turn(spec.fps)
        self._mood: tuple[str, float] | None = None  # to be taken up with the next sound

    # ------------------------------------------------------------------ media thread

    def feed(self, position: int, pcm: NDArray[np.int16]) -> None:
        """Take sound whose first sample is at ``position`` (16 kHz samples of media time)."""
        samples = pcm.astype(np.float32) / 32_768.0
        with self._lock:
            if self._position is None:
                position, samples = self._start_at(position, samples)
            gap = position - self._position if self._position is not None else 0
            if gap < 0:
                samples = samples[-gap:]
            elif gap > 0:
                samples = np.concatenate([np.zeros(min(gap, RATE), np.float32), samples])
            if len(samples):
                self._position = (self._position or 0) + len(samples)
                self._inbox.append((self._now(), samples))
            if sum(len(s) for _, s in self._inbox) > MAX_BACKLOG_S * RATE:
                self._hush_inbox()

    def hear_other(self, pcm: NDArray[np.int16]) -> None:
        """Take what the other side says; it goes to the models with the sound that comes next."""
        with self._lock:
            self._heard.append(pcm.astype(np.float32) / 32_768.0)
            while sum(len(s) for s in self._heard) > MAX_HEARD_S * RATE:
                self._heard.popleft()

    def share_motion(self, on: bool) -> None:
        """Keep the coefficients of frames for :meth:`take_motion`, or stop."""
        with self._lock:
            self._shared = deque(maxlen=self.spec.fps) if on else None

    def share_pictures(self, ring: PictureRing | None) -> None:
        """Put the picture of every tick into shared memory as well; None stops that."""
        if self._pictures is not None:
            self._pictures.close()
        self._pictures = ring

    def take_motion(self, frame: int) -> list[tuple[int, NDArray[np.float32]]]:
        """Return ``(number, coefficients)`` of the frames up to ``frame`` not yet taken."""
        with self._lock:
            due: list[tuple[int, NDArray[np.float32]]] = []
            while self._shared and self._shared[0][0] <= frame:
                due.append(self._shared.popleft())
            return due

    def _start_at(
        self, position: int, samples: NDArray[np.float32]
    ) -> tuple[int, NDArray[np.float32]]:
        """Begin at the first frame boundary from ``position`` on."""
        fps = self.spec.fps
        self._first_frame = -(-position * fps // RATE)
        start = self._first_frame * RATE // fps
        self._position = start
        return max(position, start), samples[max(0, start - position) :]

    def release(self, frame: int) -> Shown | None:
        """Return what frame number ``frame`` shows, raw; None before the first picture."""
        began = self._now()
        picture, is_new, counters = self._release(frame, began)
        if picture is None:
            return None
        assert isinstance(picture.image, np.ndarray), "this slot encodes its pictures"
        source = picture.source
        return Shown(
            frame=frame,
            own=source.frame,
            picture=picture.image,
            is_new=is_new,
            late=counters.late,
            repeats=counters.repeated,
            dropped=counters.dropped,
            waited_ms=1e3 * (began - picture.drawn_at),
            push_ms=1e3 * source.push_s,
            draw_ms=1e3 * picture.draw_s,
            ready_ms=1e3 * (picture.drawn_at - source.heard_at),
        )

    def ready(self, frame: int) -> bool:
        """Whether the picture of this frame, or of a later one, waits for its tick."""
        with self._lock:
            return self._ring.has(frame)

    def _release(self, frame: int, began: float) -> tuple[Picture | None, bool, RingCounters]:
        with self._lock:
            self._tick_at = began
            picture, is_new = self._ring.release(frame, due=not self._thins(frame))
            return picture, is_new, replace(self._ring.counters)

    def tick(self, frame: int) -> Packet | None:
        """Encode what frame number ``frame`` shows; None before the first picture.

        A raw slot's packets hold no data; its pictures are in shared memory, if anybody asked.
        """
        began = self._now()
        picture, is_new, counters = self._release(frame, began)
        if picture is None:
            return None
        if self._pictures is not None:
            image = picture.image
            self._pictures.put(frame, image if isinstance(image, np.ndarray) else from_yuv(image))
        data, keyframe = self._encode(picture, is_new)
        encode_s = self._now() - began
        source = picture.source
        return Packet(
            frame=frame,
            keyframe=keyframe,
            repeated=not is_new,
            late=counters.late,
            repeats=counters.repeated,
            dropped=counters.dropped,
            motion_ms=1e3 * (source.known_at - source.heard_at),
            render_ms=1e3 * (picture.drawn_at - source.known_at),
            ring_ms=1e3 * (began - picture.drawn_at),
            encode_ms=1e3 * encode_s,
            busy_ms=1e3 * (source.motion_s + picture.draw_s + encode_s),
            data=data,
            push_ms=1e3 * source.push_s,
            draw_ms=1e3 * picture.draw_s,
            tick_at=began,
        )

    def _encode(self, picture: Picture, is_new: bool) -> tuple[bytes, bool]:
        if self._encoder is None:
            return b"", False
        assert isinstance(picture.image, av.VideoFrame)
        if is_new and picture.new_avatar:
            self._encoder.request_keyframe()
        return self._encoder.encode(picture.image)

    @property
    def stale(self) -> int:
        """Ticks so far that showed an old picture."""
        return self._ring.counters.late + self._ring.counters.repeated

    @property
    def known(self) -> int:
        """Frames so far whose coefficients are known."""
        return self._emitted

    def ease(self, effort: Effort) -> None:
        """Do less, or more again, for every frame from now on."""
        with self._lock:
            self._effort = effort

    def _thins(self, frame: int) -> bool:
        return self._effort is Effort.HALF_RATE and frame % 2 == 1

    def request_keyframe(self) -> None:
        """Make the next packet decodable on its own."""
        if self._encoder is not None:
            self._encoder.request_keyframe()

    def set_bitrate(self, kbps: int) -> None:
        """Aim at another bitrate."""
        if self._encoder is not None:
            self._encoder.set_bitrate(kbps)

    def set_mood(self, mood: str, style: float) -> None:
        """Move in another mood, from the next sound on."""
        with self._lock:
            self._mood = mood, style

    def look(self, yaw: float, pitch: float) -> None:
        """Turn eyes and head there, in degrees; see :meth:`Turn.to`."""
        self._turn.to(yaw, pitch)

    def interrupt(self) -> None:
        """Barge-in: drop sound, coefficients and pictures that wait; the count goes on.

        Frames that were known already, but not shown, are made again, easing from what is shown.
        """
        with self._lock:
            self._hush_inbox()
            self._again_from = self._ring.last_tick + 1
            self._pending.clear()
            if self._shared is not None:
                self._shared.clear()
            self._ring.clear()
            self._generation += 1
            self._resets = True

    def show(self, drawer: Drawer) -> None:
        """Swap the avatar at the next frame; the first new picture is a keyframe."""
        with self._lock:
            self._next_drawer = drawer

    def _hush_inbox(self) -> None:
        """Silence what waits but keep its length: media time is a count of samples."""
        self._inbox = deque((at, np.zeros_like(s)) for at, s in self._inbox)

    # ------------------------------------------------------------------ compute thread

    def deadline(self) -> float | None:
        """Return when the most urgent work must be done, or None if there is none."""
        with self._lock:
            if self._resets:
                return self._now()
            if not self._inbox and not (self._pending and self._ring.holds(self._pending[0].frame)):
                return None
            frame = self._pending[0].frame if self._pending else self._first_frame + self._emitted
            last = self._ring.last_tick
            if last < 0:
                return self._now()
            return self._tick_at + (frame - last) / self.spec.fps

    def work(self) -> None:
        """Do one piece of work: hear what has arrived, else draw one frame."""
        with self._lock:
            inbox, self._inbox = list(self._inbox), deque()
            resets, self._resets = self._resets, False
            generation = self._generation
            mood, self._mood = self._mood, None
        if mood is not None:
            self._pipeline.set_mood(*mood)
        if resets:
            self._start_over(generation)
        if inbox:
            self._hear(inbox, generation)
            return
        with self._lock:
            pending = self._choose()
            drawer, self._next_drawer = self._next_drawer, None
        if pending is not None:
            self._draw(pending, drawer, generation)
        elif drawer is not None:
            self._pipeline.show(drawer)

    def _start_over(self, generation: int) -> None:
        """Reset the models and make the frames again that are due before sound comes in."""
        began = self._now()
        with self._lock:
            shown = self._ring.shown
            count = self._first_frame + self._emitted - max(self._again_from, self._first_frame)
            count = max(0, min(count, self.spec.fps)) if self._again_from else 0
        self._pipeline.reset(None if shown is None else shown.source.coefficients)
        if count:
            self._emitted -= count
            values = self._pipeline.push(np.zeros(count * RATE // self.spec.fps, np.float32))
            self._known(values, began, began, generation)

    def _hear(self, inbox: list[tuple[float, NDArray[np.float32]]], generation: int) -> None:
        began = self._now()
        samples = np.concatenate([s for _, s in inbox])
        if self._probe is not None:
            self._probe.listen(samples)
        heard = self._take_heard(len(samples))
        values = (
            self._pipeline.push(samples) if heard is None else self._pipeline.push(samples, heard)
        )
        self._known(values, inbox[-1][0], began, generation)

    def _known(
        self, values: NDArray[np.float32], heard_at: float, began: float, generation: int
    ) -> None:
        """Take the coefficients of the next frames."""
        self._turn.apply(values)
        known_at = self._now()
        push_s = known_at - began
        share = push_s / max(1, len(values))
        with self._lock:
            for row in values:
                frame = self._first_frame + self._emitted
                self._emitted += 1
                if generation == self._generation:
                    self._pending.append(
                        Pending(frame, row.copy(), heard_at, known_at, push_s, share)
                    )
                    if self._shared is not None:
                        self._shared.append((frame, row.copy()))

    def _take_heard(self, count: int) -> NDArray[np.float32] | None:
        """Return as much of the other side's sound, silence before what there is; None if none."""
        with self._lock:
            if not self._heard:
                return None
            waiting = np.concatenate(self._heard)
            self._heard.clear()
            if len(waiting) > count:
                self._heard.append(waiting[count:])
        out = np.zeros(count, np.float32)
        part = waiting[:count]
        out[count - len(part) :] = part
        return out

    def _choose(self) -> Pending | None:
        """Return the next frame worth drawing: in order, but nothing that a newer one replaces."""
        while self._pending and self._ring.holds(self._pending[0].frame):
            pending = self._pending.popleft()
            if self._thins(pending.frame):
                continue
            replaced = any(
                p.frame <= self._ring.last_tick and not self._thins(p.frame) for p in self._pending
            )
            if not replaced and not self._ring.skips(pending.frame):
                return pending
            self._ring.skip()
        return None

    def _draw(self, pending: Pending, drawer: Drawer | None, generation: int) -> None:
        if drawer is not None:
            self._pipeline.show(drawer)
        began = self._now()
        rgb = self._pipeline.render(pending.coefficients)
        if self._probe is not None:
            self._probe.stamp(rgb, pending.frame, self._first_frame)
        changed = self._pipeline.changed if drawer is None and self._probe is None else None
        image = self._exit.marked(rgb, pending.frame, changed)
        drawn_at = self._now()
        picture = Picture(image, pending, drawn_at, drawn_at - began, drawer is not None)
        with self._lock:
            if generation == self._generation or drawer is not None:
                self._ring.push(pending.frame, picture)
        self._drawn(pending.frame)
