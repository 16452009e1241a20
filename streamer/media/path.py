"""The sound's way through the edge: on the timeline, to the models, and out again at its time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.streamer.clock import Clock
from visavis.streamer.config import MediaConfig
from visavis.streamer.media.delay import Pace, ReleaseDelay
from visavis.streamer.media.lead import SoundLead
from visavis.streamer.media.phases import FramePhases
from visavis.streamer.media.resample import StreamingResampler
from visavis.streamer.media.timeline import KEEP, RATE, Timeline

MODEL_RATE = 16_000


@dataclass(frozen=True)
class Leeway:
    """How far from its nominal time a picture may leave.

    If every picture waited for the slowest, all would be later by that; if each left when it was
    drawn, motion would stutter and part from its sound.

    Attributes:
        sooner_s: a picture that is drawn leaves up to so much before its time.
        later_s: one that is not is waited for up to so much after it.
        apart_s: two never follow each other faster.
    """

    sooner_s: float = 0.0
    later_s: float = 0.0
    apart_s: float = 0.0


# Drawing beside a browser takes 8 to 40 ms, so most of what the release delay pays for is the
# slowest; two pictures less than half a period apart would be one on most screens.
LEEWAY = Leeway(sooner_s=0.020, later_s=0.010, apart_s=0.020)


class MediaPath:
    """Media time of one session: what is written, what was heard by the models, what is due.

    Args:
        media: frame rate, look-ahead and bounds.
        clock: monotonic time; only says when something is due.
        to_models: told ``(position, samples)``: 16 kHz media time and mono int16.
        phases: where other sessions' frames begin.
        early_ms: of the look-ahead that the models do not wait for.
        pace: how close to the slowest frame the delay is held; None takes the one for networks.
        leeway: of pictures round their time.
    """

    def __init__(
        self,
        media: MediaConfig,
        clock: Clock,
        to_models: Callable[[int, NDArray[np.int16]], None],
        phases: FramePhases | None = None,
        *,
        early_ms: int = 0,
        pace: Pace | None = None,
        leeway: Leeway = Leeway(),
    ) -> None:
        self.live = False
        self.muted = False
        self._ahead_of_clock = False  # sound is written before its time
        self.timeline = Timeline(clock.now())
        waited_ms = media.look_ahead_ms - early_ms
        self.delay = ReleaseDelay(media.fps, waited_ms, float(media.ring_ms), pace or Pace())
        self.leeway = leeway
        self._clock = clock
        self.lead = SoundLead(media.sound_lead_ms, clock.now)
        self._fps = media.fps
        self._ahead = waited_ms * RATE // 1000
        self._to_models = to_models
        self._phases = phases or FramePhases()
        self._narrow = StreamingResampler(RATE, MODEL_RATE)
        self._frame = 0  # that the models wait for
        self._fed = 0  # samples of the timeline that went to the models
        self._fed_out = 0  # as 16 kHz samples

    def begin(self) -> None:
        """Start media time now."""
        self.timeline = Timeline(self._clock.now(), self._prefer)
        self._phases.join(self, lambda: self.timeline.start)
        self.live = True

    def end(self) -> None:
        """Make room for other sessions' frames."""
        self._phases.leave(self)

    def _prefer(self, starts: Sequence[float]) -> int:
        return self._phases.prefer(self, starts, 1 / self._fps)

    def start_of(self, frame: int) -> int:
        """Return the media time of a frame, in 48 kHz samples."""
        return round(frame * RATE / self._fps)

    def needed_by(self, frame: int) -> int:
        """Return the media time of the last sample that a frame waits for, look-ahead included."""
        return self.start_of(frame + 1) + self._ahead - 1

    def release(self, position: int) -> float:
        """Return when a media time, in 48 kHz samples, is due."""
        return self.timeline.start + position / RATE + self.delay.seconds

    def earliest(self, frame: int) -> float:
        """Return when the picture of a frame may leave if it is drawn."""
        return self.release(self.start_of(frame)) - self.leeway.sooner_s

    def latest(self, frame: int) -> float:
        """Return when a frame is given up that is not drawn."""
        return self.release(self.start_of(frame)) + self.leeway.later_s

    def release_sound(self, position: int) -> float:
        """Return when sound must leave to be heard when its picture, due then, is seen.

        A browser holds sound back longer than pictures (its jitter buffer and the sound device's
        blocks against ``playout-delay`` 0). The sender reports know nothing of this lead: they say
        what belongs together, not when it was sent.
        """
        return self.release(position) - self.lead_s

    @property
    def lead_s(self) -> float:
        """By how much sound leaves before its picture now, in seconds."""
        return self.lead.seconds(self.delay.seconds, self.timeline.lateness_s)

    def in_hand_ms(self, frame: int, tick_at: float, waited_ms: float, work_ms: float) -> float:
        """Return how much earlier than its tick a frame was ready, for the release delay.

        Speech that is written ahead of the clock makes pictures early, silence after it does not:
        what counts is when they were ready if the sound came with the clock.

        Args:
            frame: its number.
            tick_at: monotonic seconds of its tick.
            waited_ms: what it really waited.
            work_ms: what models and drawing took.
        """
        if not self._ahead_of_clock:
            return waited_ms
        complete = self.timeline.start + (self.needed_by(frame) + 1) / RATE
        return min(waited_ms, 1e3 * (tick_at - complete) - work_ms)

    def media_time(self) -> float | None:
        """Return the seconds of media that are due now; None before there are any."""
        if not self.live:
            return None
        return self._clock.now() - self.timeline.start - self.delay.seconds

    def due_frame(self, since_s: float = 0.0) -> int:
        """Return the number of the frame that has been due for so long; negative before any."""
        due_s = self._clock.now() - since_s - self.timeline.start - self.delay.seconds
        return int(np.floor((due_s + 1e-4) * self._fps))

    def sound(self, source_time: int, samples: NDArray[np.int16]) -> None:
        """Take decoded microphone sound at the source's own time, in 48 kHz samples."""
        if not self.live:
            return
        if self.muted:
            samples = np.zeros_like(samples)
        self._ahead_of_clock = False
        self.timeline.push(source_time, samples, self._clock.now())
        self._feed()

    def speak(self, samples: NDArray[np.int16]) -> None:
        """Take sound that is to be heard next, at 48 kHz, from something that has no clock."""
        if self.live:
            silent = np.zeros_like(samples) if self.muted else samples
            self._ahead_of_clock = True
            self.timeline.extend(silent, self._clock.now())
            self._feed()

    def fill(self) -> None:
        """Make up what is missing now."""
        self.timeline.fill(self._clock.now())
        self._feed()

    def read(self, position: int, count: int) -> NDArray[np.int16]:
        """Return the sound of a media time."""
        return self.timeline.read(position, count)

    def _feed(self) -> None:
        """Send what is new on the timeline to the models, once it completes a frame.

        Nothing comes of less, and a hundred messages a second and session cost both processes.
        """
        written = self.timeline.written
        count = written - self._fed
        if count <= 0 or written <= self.needed_by(self._frame):
            return
        behind = written - 1 - self.needed_by(self._frame)
        self._frame += 1 + behind * self._fps // RATE
        skipped = max(0, count - KEEP)  # only after a stall of seconds
        sound = self.timeline.read(self._fed + skipped, count - skipped)
        self._fed += count
        self._fed_out += skipped * MODEL_RATE // RATE
        narrow = self._narrow.push(sound.astype(np.float32))
        self._to_models(self._fed_out, np.clip(np.rint(narrow), -32_768, 32_767).astype(np.int16))
        self._fed_out += len(narrow)
