"""The sound of one session: who speaks, who is heard, and what is said of both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.models.motion.stream import eager_ms
from visavis.streamer.clock import Clock
from visavis.streamer.config import MediaConfig
from visavis.streamer.errors import AtCapacity, BadRequest, Conflict
from visavis.streamer.media.path import LEEWAY, MODEL_RATE, MediaPath
from visavis.streamer.media.phases import FramePhases
from visavis.streamer.media.resample import StreamingResampler
from visavis.streamer.media.timeline import RATE
from visavis.streamer.session.channels.channels import Channels
from visavis.streamer.session.channels.guest import Guest
from visavis.streamer.session.speech.agent import AHEAD, BLOCK, AgentVoice
from visavis.streamer.session.speech.raw import RawOutput
from visavis.streamer.webrtc.microphone import HeardSound
from visavis.streamer.webrtc.rtp.tracks import SoundRelease
from visavis.streamer.worker.edge.supervisor import WorkerSlot
from visavis.streamer.worker.protocol import Packet

_FIRST_PICTURE_S = 10.0


class SessionSound:
    """The microphone or a program in its place on the way in, and what the avatar listens to.

    Args:
        media: the session's settings.
        clock: monotonic time.
        phases: where other sessions' frames begin.
        guest: the participant of a room whose session it is.
        channels: told captions and who speaks.
        slot: returns the place in the worker, once there is one.
        is_heard: whether anybody takes the outgoing sound.

    Attributes:
        path: the way through the edge, on the session's media time.
        release: what leaves, and up to where it has left.
        heard: the other side's sound; None while nobody is listened to.
    """

    def __init__(
        self,
        media: MediaConfig,
        clock: Clock,
        phases: FramePhases,
        guest: Guest | None,
        channels: Channels,
        slot: Callable[[], WorkerSlot | None],
        is_heard: Callable[[], bool],
    ) -> None:
        early_ms = eager_ms(media.fps, media.look_ahead_ms)
        self.path = MediaPath(
            media, clock, self._to_models, phases, early_ms=early_ms, leeway=LEEWAY
        )
        self.release = SoundRelease(clock, self.path.read, self.path.release_sound)
        self.heard: HeardSound | None = None
        self._clock = clock
        self._fps = media.fps
        self._guest = guest
        self._channels = channels
        self._slot = slot
        self._is_heard = is_heard
        self._agent: AgentVoice | None = None  # speaks in place of the microphone
        self._raw: RawOutput | None = None  # gives the agent pictures
        self._widen: StreamingResampler | None = None  # of what the agent says that is heard
        self._widen_rate = 0

    @property
    def raw_path(self) -> str:
        """Where the worker puts raw pictures; empty for nowhere."""
        return "" if self._raw is None else str(self._raw.path)

    def _to_models(self, position: int, samples: NDArray[np.int16]) -> None:
        slot = self._slot()
        if slot is None:
            return
        at = self.path.timeline.start + position / MODEL_RATE
        if self.heard is not None and len(heard := self.heard.take(len(samples))):
            slot.heard(position, heard)
        elif self._guest is not None:
            others = self._guest.hears(at, len(samples))
            if others is not None:
                slot.heard(position, others)
        slot.pcm(position, samples)
        if self._guest is not None:
            self._guest.spoke(at, samples)
        self._channels.chat.sound(position, samples, user=self._agent is None)

    def spoken(self, source_time: int, samples: NDArray[np.int16]) -> None:
        """Take the microphone: the avatar's voice or, beside an agent, the one who listens."""
        if self._agent is None:
            self.path.sound(source_time, samples)
        elif self.heard is not None:
            self.heard.put(source_time, samples)

    def join(self, voice: AgentVoice) -> None:
        """Let a program speak in place of the microphone, which is what the avatar listens to now.

        Raises:
            Conflict: another one does.
        """
        if self._agent is not None:
            raise Conflict("Another agent speaks in this session.", code="agent-there")
        self._agent, self.heard = voice, self.heard or HeardSound()
        voice.caption = self._caption
        voice.came = self.speak  # speech begins with the message, not with the next tick

    def hear(self, samples: NDArray[np.int16], rate: int) -> None:
        """Take what the other side says, mono int16, so that the avatar listens."""
        if self.heard is None:
            return
        if rate != RATE:
            if self._widen is None or self._widen_rate != rate:
                self._widen, self._widen_rate = StreamingResampler(rate, RATE), rate
            wide = self._widen.push(samples[-rate:].astype(np.float32))  # older is forgotten anyway
            samples = np.clip(np.rint(wide), -32_768, 32_767).astype(np.int16)
        self.heard.put(0, samples)

    def give_pictures(self, size: tuple[int, int], give: Callable[[bytes], None]) -> dict[str, Any]:
        """Give the agent raw pictures and their sound; return what it has to know of them.

        Args:
            size: width and height of the pictures in pixels.
            give: takes the message of a frame (``media.raw_frames``); must not block.

        Raises:
            BadRequest: there is no room for them.
        """
        self._raw = RawOutput(size, self._fps, self.path.read, give)
        if (slot := self._slot()) is not None:
            slot.pictures(self.raw_path)
        return self._raw.describe()

    def _caption(self, text: str) -> None:
        self._channels.tell({"type": "caption", "text": text})

    def leave(self, voice: AgentVoice) -> None:
        """Let the microphone speak again."""
        if self._agent is voice:
            self.interrupt()
            self._agent = None
            self.path.timeline.change_source()
            self.end_pictures()

    def held(self, message: dict[str, Any]) -> None:
        """Take what the viewer's buffer does to the sound."""
        held = message.get("audio_ms")
        try:
            if isinstance(held, bool) or not isinstance(held, int | float):
                raise ValueError("A playout message needs a number audio_ms.")
            self.path.lead.held(float(held))
        except ValueError as error:
            self._channels.control.error(BadRequest(str(error)))

    def interrupt(self) -> None:
        """Barge-in: sound, coefficients and pictures on their way are dropped at once."""
        left = self._given()
        if self._agent is not None:
            self._agent.clear(left)
        if self.path.live:
            self.path.timeline.hush(left)
        if (slot := self._slot()) is not None:
            slot.interrupt()
        self._channels.chat.hushed()

    def farewell(self, reason: str, cause: str) -> None:
        """Tell the agent why this ends."""
        if self._agent is not None:
            self._agent.tell({"type": "ended", "reason": reason, "cause": cause})

    def dismiss(self, reason: str, cause: str) -> None:
        """Tell the agent why it may not speak any more, and hear it no more."""
        if self._agent is not None:
            self.farewell(reason, cause)
            self.leave(self._agent)

    async def first_picture(self) -> None:
        """Wait until the agent has a picture: what is said before would be said in the dark.

        Raises:
            AtCapacity: it does not come in time.
        """
        if self._raw is None:
            return
        try:
            await asyncio.wait_for(self._raw.begun.wait(), _FIRST_PICTURE_S)
        except TimeoutError:
            raise AtCapacity("The avatar took too long to appear; try again.") from None

    def end_pictures(self) -> None:
        """Give the agent no more pictures."""
        if self._raw is not None:
            if (slot := self._slot()) is not None:
                slot.pictures("")
            self._raw.end()
            self._raw = None

    def speak(self) -> None:
        """Put what the agent says on the timeline: speech a little ahead of the clock."""
        voice, timeline = self._agent, self.path.timeline
        if voice is None or not self.path.live:
            return
        due = timeline.due(self._clock.now())
        # What were written before the sound that leaves next would be counted and never heard.
        first = max(due - 2 * BLOCK, self.release.position)
        timeline.pass_over(-(-first // BLOCK) * BLOCK)
        while timeline.written + BLOCK <= due + (AHEAD if voice.waiting_s else 0):
            samples, sound = voice.block()
            self.path.speak(samples)
            voice.placed(timeline.written - BLOCK, sound)
        if self._raw is None:
            voice.shown(self._seen())

    def _seen(self) -> int:
        """Return the media time whose picture is shown now, in samples."""
        return round((self.path.media_time() or 0.0) * RATE)

    def _given(self) -> int:
        """Return the media time up to which sound has left, in samples."""
        left = [self._raw.position] if self._raw is not None else []
        if self._is_heard():
            left.append(self.release.position)
        return max(left) if left else self._seen()

    def shown(self, packet: Packet) -> None:
        """Give the agent a frame, and only then tell what has become true with it."""
        if self._raw is None or self._agent is None:
            return
        spoken = self._agent.spoken
        self._raw.frame(packet.frame, spoken, repeated=packet.repeated, late=packet.late)
        self._agent.shown(self._raw.position)
