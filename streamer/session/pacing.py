"""The tick of one session: media time goes on, frames leave, the encoder is told what it may.

A picture leaves as soon as it is drawn, within the leeway of its media path.
"""

from __future__ import annotations

from collections.abc import Callable

from visavis.streamer.clock import Clock
from visavis.streamer.media.encoder import BitrateGovernor
from visavis.streamer.media.keyframes import KeyframeGate
from visavis.streamer.session.channels.chat import ChatChannel
from visavis.streamer.session.figures.stats import SessionFigures
from visavis.streamer.session.speech.sound import SessionSound
from visavis.streamer.tasks import let_in
from visavis.streamer.worker.edge.supervisor import WorkerSlot

BLOCK_S = 0.010  # how often missing sound is looked for


class Pacing:
    """Releases what is due, and asks the worker for keyframes and bitrates.

    Args:
        sound: of the session.
        chat: told what is shown.
        figures: know what was sent of late.
        clock: monotonic time.
        kbps: of the pictures, at first.
        slot: returns the place in the worker, once there is one.

    Attributes:
        keyframes: wanted by viewers, together and never a storm of them.
        governor: follows the line's estimate.
    """

    def __init__(
        self,
        sound: SessionSound,
        chat: ChatChannel,
        figures: SessionFigures,
        clock: Clock,
        kbps: int,
        slot: Callable[[], WorkerSlot | None],
    ) -> None:
        self._sound = sound
        self._chat = chat
        self._figures = figures
        self._clock = clock
        self._slot = slot
        self._frame = 0  # the next to leave
        self._drawn = -1  # the newest that waits in the worker
        self._released_at = clock.now()
        self.keyframes = KeyframeGate(self._ask_for_keyframe, clock.now)
        self.governor = BitrateGovernor(kbps, clock.now())

    async def run(self) -> None:
        """Keep media time going and release frames at their ticks."""
        path, block = self._sound.path, 0
        while True:
            self._sound.speak()
            path.fill()
            self.keyframes.poll()
            self.look()
            now, start = self._clock.now(), path.timeline.start
            block = max(block + 1, int((now - start) / BLOCK_S))
            planned = min(start + block * BLOCK_S, max(now, self.next_release))
            await self._clock.sleep_until(planned)
            # Who was held up finds sound waiting that came in time, and must not call it missing.
            await let_in(self._clock.now() - max(planned, now))

    def drawn(self, frame: int) -> None:
        """Take that the picture of a frame waits in the worker: it may leave before its time."""
        self._drawn = max(self._drawn, frame)
        self.look()

    def forget(self) -> None:
        """Take that what waited in the worker is gone."""
        self._drawn = -1

    def look(self) -> None:
        """Release what is due, or drawn."""
        path, now = self._sound.path, self._clock.now()
        due = path.due_frame(path.leeway.later_s)
        if due < self._frame and self._drawn >= self._frame and now >= self.next_release:
            due = self._frame
        if due < self._frame:
            return
        if (slot := self._slot()) is not None:
            slot.tick(due)
        self._frame, self._released_at = due + 1, now
        self._chat.shown(path.media_time())

    @property
    def next_release(self) -> float:
        """When the next picture leaves, as far as it is known now, in monotonic seconds."""
        path = self._sound.path
        if self._drawn < self._frame:
            return path.latest(self._frame)
        apart = self._released_at + path.leeway.apart_s
        return min(path.latest(self._frame), max(path.earliest(self._frame), apart))

    def _ask_for_keyframe(self) -> None:
        if (slot := self._slot()) is not None:
            slot.keyframe()

    def estimated(self, bits_per_second: int) -> None:
        """Take what the line carries."""
        kbps = self.governor.observe(
            bits_per_second, self._figures.bits_per_second, self._clock.now()
        )
        if kbps is not None and (slot := self._slot()) is not None:
            slot.bitrate(kbps)
