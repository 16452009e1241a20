"""The running figures of one session: what the viewer, ``/api/sessions`` and ``/metrics`` show."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from visavis.streamer.clock import Clock
from visavis.streamer.errors import Conflict
from visavis.streamer.media.path import MediaPath
from visavis.streamer.media.timeline import RATE, Timeline
from visavis.streamer.metrics import Metrics
from visavis.streamer.session.figures.trace import FrameTimes, Tracer
from visavis.streamer.webrtc.peer import LOOK_S
from visavis.streamer.webrtc.rtp.tracks import SoundRelease
from visavis.streamer.worker.protocol import Packet

_KEPT = 250  # frames that the percentiles speak of, 10 s
_RATE_WINDOW_S = 2.0
_Totals = tuple[int, int, int]


class SessionFigures:
    """Counts and ages.

    Args:
        metrics: the server's, which get everything too.
        fps: frames per second.
        now: monotonic seconds.

    Attributes:
        tracer: keeps every frame's way while somebody records it.
    """

    def __init__(self, metrics: Metrics, fps: int, now: Callable[[], float]) -> None:
        self.tracer: Tracer | None = None
        self.sent = 0
        self.halved = 0  # repeats that were meant, at half rate
        self._now = now
        self._handed = (-1, 0.0)  # the last frame given to the track, and when
        self.counted: _Totals = (0, 0, 0)  # late, repeated, dropped over all workers
        self._metrics = metrics
        self._totals: _Totals = (0, 0, 0)  # of the present worker
        self._heard = (0, 0)
        self._mouth_to_lip: deque[float] = deque(maxlen=_KEPT)
        self._skews: deque[float] = deque(maxlen=_KEPT)
        self._sent: deque[tuple[float, int]] = deque(maxlen=int(_RATE_WINDOW_S * fps))

    def picture(
        self, packet: Packet, path: MediaPath, sound: SoundRelease | None, decode_s: float
    ) -> None:
        """Keep everything that one picture on its way to the viewer says."""
        now = self._now()
        on_time = self.packet(packet, now)
        work_ms = packet.push_ms + packet.draw_ms
        last = max(packet.tick_at, path.latest(packet.frame))  # it could have been drawn until then
        waited_ms = packet.ring_ms + 1e3 * (last - packet.tick_at)
        in_hand = path.in_hand_ms(packet.frame, last, waited_ms, work_ms)
        path.delay.observe(on_time=on_time, waited_ms=max(0.0, in_hand))
        self._metrics.delay.set(1e3 * path.delay.seconds)
        start, end = path.start_of(packet.frame), path.start_of(packet.frame + 1)
        self.age(path.timeline.arrival((start + end) // 2), now)
        if sound is not None and sound.sent_at:
            self.skew(now - path.release(start) - sound.sent_at + path.release_sound(
                sound.sent_position) + path.lead.sooner_s)  # fmt: skip
        path.lead.pictures(path.release(start) - packet.tick_at)
        arrived = path.timeline.arrival(path.needed_by(packet.frame))
        if arrived is None:
            return
        begins = path.timeline.arrival(start) or arrived
        times = FrameTimes.of(packet, begins, arrived, decode_s, now)
        if times.shown:
            self._metrics.stage("decode", decode_s)
            self._metrics.stage("mic_in", max(0.0, times.heard - arrived))
        if self.tracer is not None:
            self.tracer.add(times)

    def taken(self, frame: int) -> None:
        """Note that the sender took a frame."""
        now, (handed, at) = self._now(), self._handed
        if frame == handed:
            self._metrics.stage("send", now - at)
        if self.tracer is not None:
            self.tracer.sent(frame, now)

    async def record(
        self, clock: Clock, seconds: float, over: Callable[[], bool]
    ) -> list[FrameTimes]:
        """Return the way of every frame of the next seconds.

        Args:
            clock: monotonic time.
            seconds: how long.
            over: whether the session has ended, with which this ends as well.

        Raises:
            Conflict: somebody else is recording this session.
        """
        if self.tracer is not None:
            raise Conflict(
                "This session is being traced already; try again when that is over.",
                code="traced-already",
            )
        tracer = self.tracer = Tracer()
        end = clock.now() + seconds
        try:
            while not over() and clock.now() < end:
                await clock.sleep_until(min(end, clock.now() + LOOK_S))
        finally:
            self.tracer = None
        return list(tracer.frames)

    def packet(self, packet: Packet, now: float) -> bool:
        """Count a packet that is being sent; return whether its own picture was there in time."""
        totals = (packet.late, packet.repeats, packet.dropped)
        last = self._totals
        if any(new < old for new, old in zip(totals, last, strict=True)):
            last = (0, 0, 0)  # a new worker counts from nothing
        steps = [new - old for new, old in zip(totals, last, strict=True)]
        self._totals = totals
        self._handed = (packet.frame, now)
        late, repeated, dropped = self.counted
        self.counted = (late + steps[0], repeated + steps[1], dropped + steps[2])
        self.sent += 1
        if packet.repeated and not steps[1]:
            self.halved += 1
            self._metrics.frames.labels("halved").inc()
        self._sent.append((now, len(packet.data)))
        for fate, step in zip(("late", "repeated", "dropped"), steps, strict=True):
            self._metrics.frames.labels(fate).inc(step)
        self._metrics.frame(packet)
        return steps[0] == steps[1] == 0

    def age(self, since: float | None, now: float) -> None:
        """Take when the sound in the middle of the frame being sent had arrived."""
        if since is not None:
            self._mouth_to_lip.append(1e3 * (now - since))
            self._metrics.age.labels("mouth_to_lip").observe(1e3 * (now - since))

    def skew(self, seconds: float) -> None:
        """Take picture minus sound, as sent."""
        self._skews.append(1e3 * seconds)
        self._metrics.skew.observe(1e3 * seconds)

    def sound(self, timeline: Timeline) -> None:
        """Count what became of the microphone's sound since the last call."""
        heard = (timeline.concealed, timeline.refused)
        for fate, new, old in zip(("concealed", "refused"), heard, self._heard, strict=True):
            self._metrics.audio.labels(fate).inc(max(0, new - old) * 1000 / RATE)
        self._heard = heard

    @property
    def bits_per_second(self) -> float:
        """What was sent of late."""
        span = self._span()
        return 8 * sum(size for _, size in self._sent) / span if span else 0.0

    def _span(self) -> float:
        return self._sent[-1][0] - self._sent[0][0] if len(self._sent) > 1 else 0.0

    def describe(self) -> dict[str, Any]:
        """Return the figures of the last seconds."""
        span = self._span()
        late, repeated, dropped = self.counted
        return {
            "mouth_to_lip_ms": _percentiles(self._mouth_to_lip),
            "fps": round((len(self._sent) - 1) / span, 1) if span else 0.0,
            "sent": self.sent,
            "late": late,
            "repeated": repeated,
            "dropped": dropped,
            "halved": self.halved,
            "av_skew_ms": round(float(np.median(self._skews)), 1) if self._skews else None,
        }


def _percentiles(values: deque[float]) -> dict[str, float | None]:
    if not values:
        return {"p50": None, "p95": None}
    p50, p95 = np.percentile(np.asarray(values), [50, 95])
    return {"p50": round(float(p50), 1), "p95": round(float(p95), 1)}
