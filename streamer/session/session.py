"""One person: a connection, a timeline, a slot in the worker and the feed that comes of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from aiortc import RTCDataChannel, RTCRtpTransceiver
from numpy.typing import NDArray

from visavis.models.motion.flow import MANNERS
from visavis.streamer.errors import (
    AtCapacity,
    BadRequest,
    Conflict,
    Unprocessable,
    VisavisError,
)
from visavis.streamer.media.encoder import BitrateGovernor
from visavis.streamer.media.keyframes import KeyframeGate
from visavis.streamer.media.path import MODEL_RATE, MediaPath
from visavis.streamer.media.resample import StreamingResampler
from visavis.streamer.media.timeline import RATE
from visavis.streamer.session.agent import AHEAD, BLOCK, AgentVoice
from visavis.streamer.session.channels.channels import Channels
from visavis.streamer.session.channels.motion_channel import MotionFrame
from visavis.streamer.session.context import Avatar, SessionContext
from visavis.streamer.session.guest import Guest
from visavis.streamer.session.options import MOST_STYLE, Wishes
from visavis.streamer.session.outlets import make_feed, send_raw
from visavis.streamer.session.push import Push, Pushes
from visavis.streamer.session.raw import RawOutput
from visavis.streamer.session.stats import SessionFigures
from visavis.streamer.session.taping import Taping
from visavis.streamer.session.trace import chrome_trace_json
from visavis.streamer.session.viewer import Viewer
from visavis.streamer.tasks import let_in
from visavis.streamer.webrtc.connection import codecs_of, tap_receiver
from visavis.streamer.webrtc.feed import Feed, FeedClock, Lane
from visavis.streamer.webrtc.microphone import AudioIn, HeardSound
from visavis.streamer.webrtc.peer import Peer
from visavis.streamer.webrtc.rtp.tracks import AUDIO_BLOCK, SoundRelease, release_opus
from visavis.streamer.webrtc.sdp.signaling import Offer, Section
from visavis.streamer.webrtc.sections import Missing, Role, Stream
from visavis.streamer.worker.edge.supervisor import WorkerSlot
from visavis.streamer.worker.pipeline.pipeline import SlotSpec
from visavis.streamer.worker.pipeline.view import View
from visavis.streamer.worker.protocol import Packet

logger = logging.getLogger(__name__)
BLOCK_S = 0.010  # how often missing sound is looked for
_DAMAGED = "This avatar cannot be loaded; make it again from its photo."
_TELL_S = 3.0  # that a session which cannot be waits for the viewer to connect
_FIRST_PICTURE_S = 10.0


class Session(Peer):
    """From the offer to the end.

    Args:
        session_id: made by the server; who knows it controls the session.
        view_id: made by the server; who knows it may watch.
        context: what sessions share.
        avatar: who is shown.
        ended: told once, when everything is given back.
        size: width and height in pixels.
        probe: burn measuring marks into the picture.
        wishes: look-ahead, mood and style.
        guest: the participant of a room whose session it is.

    Attributes:
        feed: the picture and sound, encoded once; None before the first offer was taken.
        viewers: those who watch.
        pushes: endpoints that the session is pushed to.
        begun: set when the session goes live or ends.
    """

    def __init__(
        self,
        session_id: str,
        view_id: str,
        context: SessionContext,
        avatar: Avatar,
        ended: Callable[[Session], None],
        *,
        size: int,
        probe: bool = False,
        wishes: Wishes | None = None,
        guest: Guest | None = None,
    ) -> None:
        super().__init__(session_id, context.peers)
        self._guest = guest
        self.view_id = view_id
        self.avatar = avatar
        self.size = size
        self.feed: Feed | None = None
        self.viewers: set[Viewer] = set()
        self.pushes = Pushes(context.peers, context.config.server.push_to)
        self.begun = asyncio.Event()
        self._context = context
        self._ended = ended
        self._probe = probe
        media = context.config.media
        self._wishes = wishes or Wishes()
        ahead = self._wishes.look_ahead_ms
        self._media = media if ahead is None else media.model_copy(update={"look_ahead_ms": ahead})
        self._channels = Channels(
            self._commands(),
            guest.commands if guest is not None else {},
            self._clock,
            lambda: self.end_soon("The viewer hung up.", "hangup"),
            self._share_motion,
        )
        self._heard: HeardSound | None = None  # the other side's sound, if the viewer sends it
        self._path = MediaPath(self._media, self._clock, self._to_models, context.phases)
        self._governor = BitrateGovernor(self._media.bitrate_kbps, self.began_at)
        self._slot: WorkerSlot | None = None
        self._figures = SessionFigures(context.metrics, self._media.fps, self._clock.now)
        self._keyframes = KeyframeGate(self._ask_for_keyframe, self._clock.now)
        self._feed_clock = FeedClock(
            media_time=self._path.media_time,
            ntp=lambda: context.wall.ntp(self._clock.now()),
            now=self._clock.now,
        )
        self._sound = SoundRelease(self._clock, self._path.read, self._path.release_sound)
        self._microphone: AudioIn | None = None
        self._next_avatar: Avatar | None = None
        self._agent: AgentVoice | None = None  # speaks in place of the microphone
        # In a room everybody is asked, so nobody records alone there.
        self._taping = Taping(
            None if guest is not None else context.record, self._channels.control.send, self._run
        )
        self._raw: RawOutput | None = None  # gives the agent pictures
        self._widen: StreamingResampler | None = None  # of what the agent says that is heard
        self._widen_rate = 0
        self._headless = False  # there is no connection but the agent's

    @property
    def state(self) -> str:
        """``connecting``, ``live`` or ``ended``."""
        return "ended" if self.over else "live" if self.live else "connecting"

    # ------------------------------------------------------------------ signalling

    async def answer(self, offer: Offer) -> str:
        """Take an offer, the first or a later one; return the answer's SDP.

        Raises:
            BadRequest: the offer cannot be served.
        """
        first = self.feed is None
        if first:
            self.feed = self.own_feed = make_feed(
                offer, self._media, self._feed_clock, self.request_keyframe
            )
        sdp = await super().answer(offer)
        if first:
            self._run(self._open_slot(self.feed.codec))  # type: ignore[union-attr]
        return sdp

    async def begin_headless(self) -> None:
        """Begin without a connection, for an agent that has joined and takes raw pictures.

        Raises:
            VisavisError: the avatar cannot be shown.
        """
        self._headless = self.live = True
        self._run(self._watch())
        self.connected()
        await self._open_slot("RAW")
        if self._raw is not None:  # what is said before the first picture would be said in the dark
            try:
                await asyncio.wait_for(self._raw.begun.wait(), _FIRST_PICTURE_S)
            except TimeoutError:
                raise AtCapacity("The avatar took too long to appear; try again.") from None

    @property
    def headless(self) -> bool:
        """Whether nobody can watch."""
        return self._headless

    def role_of(self, section: Section, nth: int) -> Role:
        """The first of each kind is the session's own; others' feeds get the rest.

        A second audio section that the viewer only sends in is the other side's sound. A camera
        is of no use.
        """
        if section.kind == "video" and section.direction == "sendonly":
            return Role.DROPPED
        if nth == 0:
            return Role.OWN
        if section.direction == "sendonly":
            heard = section.kind == "audio" and self._heard is None
            return Role.HEARD if heard else Role.DROPPED
        return Role.FREE

    def place(self, section: Section, role: Role, transceiver: RTCRtpTransceiver) -> Lane | None:
        """Fill one of the session's own sections."""
        codecs, receiver = codecs_of(transceiver), transceiver.receiver
        if role is Role.HEARD:
            self._heard = HeardSound()
            tap_receiver(receiver, AudioIn(codecs, self._heard.put).take)
            return None
        if section.kind == "audio":
            self._microphone = AudioIn(codecs, self._spoken, self._clock.now)
            tap_receiver(receiver, self._microphone.take)
            if codecs[0].name.lower() != "opus":
                path, clock = self._path, self._feed_clock
                sound = SoundRelease(self._clock, path.read, path.release_sound, 2 * AUDIO_BLOCK)
                send_raw(transceiver, codecs[0].clockRate, sound, clock)
                return None
        lane = Lane(
            section.kind,
            self._clock.now,
            lambda: self.live,
            taken=self._figures.taken,
            bitrate=self._estimated,
        )
        lane.attach(transceiver.sender, codecs[0].name)
        return lane

    def streams_changed(self, streams: list[Stream], missing: Missing) -> None:
        """Tell the viewer in which sections the others are."""
        self._channels.streams(streams, missing)

    # ------------------------------------------------------------------ connection

    def connected(self) -> None:
        """Begin media time."""
        if self._guest is not None:
            self._guest.live()
        self._path.begin()
        self.begun.set()
        self._run(self._pace())
        self._run(release_opus(self._sound, self._is_heard, self._release_sound))

    def _is_heard(self) -> bool:
        return self.feed is not None and self.feed.is_heard

    def _release_sound(self, data: bytes, pts: int) -> None:
        if self.feed is not None:
            self.feed.sound(data, pts)

    def channel(self, channel: RTCDataChannel) -> None:
        """Take the channels that are known by name."""
        self._channels.attach(channel)
        if channel.label == "control":
            channel.on("open", self._tell_streams)
            if self._guest is not None:
                self._guest.opened()
            self._tell_streams()

    def _tell_streams(self) -> None:
        if self.streams:
            self.streams_changed(self.streams, self.missing)

    def _share_motion(self, wanted: bool) -> None:
        if self._slot is not None:
            self._slot.motion(wanted)

    @property
    def stage(self) -> str:
        """The name under which it may be watched, beside ``view_id``; empty if none was wanted."""
        return self._wishes.stage

    @property
    def view(self) -> View | None:
        """The canvas; None for the avatar's own square."""
        return self._wishes.view

    async def _open_slot(self, codec: str) -> None:
        spec = SlotSpec(
            bundle=self.avatar.bundle,
            codec=codec,
            seed=int.from_bytes(self.id.encode()[:4], "big"),
            probe=self._probe,
            **self._wishes.of_slot(self._media, self.size),
        )
        try:
            self._slot = await self._context.supervisor.open(spec, self)
            if self._channels.motion.attached:
                self._slot.motion(True)
            if self._raw is not None:
                self._slot.pictures(str(self._raw.path))
        except VisavisError as error:
            if self._headless:
                raise
            with contextlib.suppress(TimeoutError):  # so that the viewer can be told why
                await asyncio.wait_for(self._channels.control.attached.wait(), _TELL_S)
            self.end_soon(str(error), "avatar")

    def look(self, age_s: float) -> None:
        """Life-time, pings, statistics."""
        limits = self._context.config.limits
        if 0 < limits.session_max_s < age_s:
            self.end_soon("The session has reached its longest time.", "lifetime")
        elif self._channels.silent_s > limits.idle_timeout_s:
            self.end_soon("The viewer has gone silent.", "idle")
        else:
            self._figures.sound(self._path.timeline)
            self._channels.control.send({"type": "stats", **self.figures()})
            self._taping.look()

    # ------------------------------------------------------------------ media

    def _to_models(self, position: int, samples: NDArray[np.int16]) -> None:
        if self._slot is None:
            return
        at = self._path.timeline.start + position / MODEL_RATE
        if self._heard is not None and len(heard := self._heard.take(len(samples))):
            self._slot.heard(position, heard)
        elif self._guest is not None:
            others = self._guest.hears(at, len(samples))
            if others is not None:
                self._slot.heard(position, others)
        self._slot.pcm(position, samples)
        if self._guest is not None:
            self._guest.spoke(at, samples)
        self._channels.chat.sound(position, samples, user=self._agent is None)

    def _spoken(self, source_time: int, samples: NDArray[np.int16]) -> None:
        """Take the microphone: the avatar's voice or, beside an agent, the one who listens."""
        if self._agent is None:
            self._path.sound(source_time, samples)
        elif self._heard is not None:
            self._heard.put(source_time, samples)

    def join_agent(self, voice: AgentVoice) -> None:
        """Let a program speak in place of the microphone, which is what the avatar listens to now.

        Raises:
            Conflict: another one does, or the session is over.
        """
        if self.over:
            raise Conflict("This session has ended.")
        if self._agent is not None:
            raise Conflict("Another agent speaks in this session.", code="agent-there")
        self._agent, self._heard = voice, self._heard or HeardSound()
        voice.caption = self._caption
        voice.came = self._speak  # speech begins with the message, not with the next tick

    def hear(self, samples: NDArray[np.int16], rate: int) -> None:
        """Take what the other side says, mono int16, so that the avatar listens."""
        if self._heard is None:
            return
        if rate != RATE:
            if self._widen is None or self._widen_rate != rate:
                self._widen, self._widen_rate = StreamingResampler(rate, RATE), rate
            wide = self._widen.push(samples[-rate:].astype(np.float32))  # older is forgotten anyway
            samples = np.clip(np.rint(wide), -32_768, 32_767).astype(np.int16)
        self._heard.put(0, samples)

    def give_pictures(self, give: Callable[[bytes], None]) -> dict[str, Any]:
        """Give the agent raw pictures and their sound; return what it has to know of them.

        Args:
            give: takes the message of a frame (``media.raw_frames``); must not block.

        Raises:
            BadRequest: there is no room for them.
        """
        view, media = self._wishes.view, self._media
        size = (self.size, self.size) if view is None else view.picture_size
        self._raw = RawOutput(size, media.fps, self._path.read, give)
        if self._slot is not None:
            self._slot.pictures(str(self._raw.path))
        return self._raw.describe()

    def _caption(self, text: str) -> None:
        self._channels.tell({"type": "caption", "text": text})

    def leave_agent(self, voice: AgentVoice) -> None:
        """Let the microphone speak again."""
        if self._agent is voice:
            self.interrupt()
            self._agent = None
            self._path.timeline.change_source()
            self._end_raw()

    def _end_raw(self) -> None:
        if self._raw is not None:
            if self._slot is not None:
                self._slot.pictures("")
            self._raw.end()
            self._raw = None

    def _speak(self) -> None:
        """Put what the agent says on the timeline: speech a little ahead of the clock."""
        voice, timeline = self._agent, self._path.timeline
        if voice is None or not self._path.live:
            return
        due = timeline.due(self._clock.now())
        # What were written before the sound that leaves next would be counted and never heard.
        first = max(due - 2 * BLOCK, self._sound.position)
        timeline.pass_over(-(-first // BLOCK) * BLOCK)
        while timeline.written + BLOCK <= due + (AHEAD if voice.waiting_s else 0):
            samples, sound = voice.block()
            self._path.speak(samples)
            voice.placed(timeline.written - BLOCK, sound)
        if self._raw is None:
            voice.shown(self._seen())

    def _seen(self) -> int:
        """Return the media time whose picture is shown now, in samples."""
        return round((self._path.media_time() or 0.0) * RATE)

    def _given(self) -> int:
        """Return the media time up to which sound has left, in samples."""
        left = [self._raw.position] if self._raw is not None else []
        if self._is_heard():
            left.append(self._sound.position)
        return max(left) if left else self._seen()

    def _give_raw(self, packet: Packet) -> None:
        """Give the agent a frame, and only then tell what has become true with it."""
        if self._raw is None or self._agent is None:
            return
        spoken = self._agent.spoken
        self._raw.frame(packet.frame, spoken, repeated=packet.repeated, late=packet.late)
        self._agent.shown(self._raw.position)

    async def _pace(self) -> None:
        """Keep media time going and release frames at their ticks."""
        path, block, frame = self._path, 0, 0
        while True:
            self._speak()
            path.fill()
            self._keyframes.poll()
            due = path.due_frame()
            if due >= frame:
                if self._slot is not None:
                    self._slot.tick(due)
                frame = due + 1
                self._channels.chat.shown(path.media_time())
            now, start = self._clock.now(), path.timeline.start
            block = max(block + 1, int((now - start) / BLOCK_S))
            tick = max(now, path.release(path.start_of(frame)))
            planned = min(start + block * BLOCK_S, tick)
            await self._clock.sleep_until(planned)
            # Who was held up finds sound waiting that came in time, and must not call it missing.
            await let_in(self._clock.now() - max(planned, now))

    def request_keyframe(self) -> None:
        """Want a keyframe, for a viewer that lost one or has just come."""
        self._keyframes.request()

    def _ask_for_keyframe(self) -> None:
        if self._slot is not None:
            self._slot.keyframe()

    def _estimated(self, bits_per_second: int) -> None:
        kbps = self._governor.observe(
            bits_per_second, self._figures.bits_per_second, self._clock.now()
        )
        if kbps is not None and self._slot is not None:
            self._slot.bitrate(kbps)

    # ------------------------------------------------------------------ what the worker says

    def on_packet(self, packet: Packet) -> None:
        """Send a picture on and keep its figures."""
        decode_s = self._microphone.decode_s if self._microphone is not None else 0.0
        self._figures.picture(packet, self._path, self._sound, decode_s)
        if self.feed is not None:
            self.feed.picture(packet.frame, packet.data, packet.keyframe)
        self._give_raw(packet)

    def on_motion(self, frame: int, values: NDArray[np.float32]) -> None:
        """Send a frame's coefficients to whoever drives a character with them."""
        self._channels.motion.put(MotionFrame(frame, self._media.fps, values))

    def on_worker(self, state: str) -> None:
        """Tell the viewer that the worker was lost or is back."""
        if state == "lost" and self.feed is not None:
            self.feed.start_over()
        self._channels.tell({"type": "worker", "state": state})

    def on_slot_failed(self, reason: str) -> None:
        """End: the models cannot be brought back."""
        self.end_soon(reason, "worker")

    def on_avatar(self, avatar_id: str, state: str, error: str) -> None:
        """Tell the viewer how a switch went."""
        wanted, slot = self._next_avatar, self._slot
        if wanted is None or wanted.id != avatar_id or slot is None:
            return
        self._next_avatar = None
        if state == "ready":
            self.avatar = wanted
            if self._guest is not None:
                self._guest.wears(wanted.id)
            self._channels.tell({"type": "avatar", "id": avatar_id, "state": "ready"})
        else:
            logger.warning("avatar %s could not be loaded: %s", avatar_id, error)
            slot.spec = replace(slot.spec, bundle=self.avatar.bundle)
            self._channels.error(Unprocessable(_DAMAGED, code="avatar-damaged"))

    # ------------------------------------------------------------------ what the viewer says

    def _commands(self) -> dict[str, Callable[[dict[str, Any]], None]]:
        return {
            "interrupt": lambda message: self.interrupt(),
            "avatar": self._switch,
            "mute": self._mute,
            "playout": self._playout,
            "manner": self._change_manner,
            "record": lambda message: self._taping.ask(self.feed, message.get("on") is True),
        }

    def interrupt(self) -> None:
        """Barge-in: sound, coefficients and pictures on their way are dropped at once."""
        left = self._given()
        if self._agent is not None:
            self._agent.clear(left)
        if self._path.live:
            self._path.timeline.hush(left)
        if self._slot is not None:
            self._slot.interrupt()
        self._channels.chat.hushed()

    def _mute(self, message: dict[str, Any]) -> None:
        self._path.muted = message.get("on") is True

    def _playout(self, message: dict[str, Any]) -> None:
        """Take what the viewer's buffer does to the sound."""
        held = message.get("audio_ms")
        try:
            if isinstance(held, bool) or not isinstance(held, int | float):
                raise ValueError("A playout message needs a number audio_ms.")
            self._path.lead.held(float(held))
        except ValueError as error:
            self._channels.control.error(BadRequest(str(error)))

    def send(self, message: dict[str, Any]) -> None:
        """Send on the channel ``control``."""
        self._channels.control.send(message)

    def set_muted(self, on: bool) -> None:
        """Take silence instead of the microphone."""
        self._path.muted = on

    def turn(self, yaw: float, pitch: float) -> None:
        """Turn the avatar's eyes and head there, in degrees; see ``worker.turn``."""
        if self._slot is not None:
            self._slot.look(yaw, pitch)

    def _change_manner(self, message: dict[str, Any]) -> None:
        """Take another mood and style while live."""
        mood, style = message.get("mood", self._wishes.mood), message.get("style", 1.0)
        number = isinstance(style, int | float) and not isinstance(style, bool)
        if mood not in MANNERS:
            raise BadRequest(f"The mood must be one of {', '.join(MANNERS)}.")
        if not number or not 0 <= style <= MOST_STYLE:
            raise BadRequest("The style must be a number from 0 to 2.")
        self._wishes = replace(self._wishes, mood=mood, style=float(style))
        if self._slot is not None:
            self._slot.manner(mood, float(style))

    def _switch(self, message: dict[str, Any]) -> None:
        avatar = self._context.find_avatar(str(message.get("id", "")))
        if self._slot is None:
            raise Conflict("The session is still starting; try again.")
        self._next_avatar = avatar
        self._channels.tell({"type": "avatar", "id": avatar.id, "state": "loading"})
        self._slot.show(avatar.id, avatar.bundle)

    # ------------------------------------------------------------------ figures, end

    def figures(self) -> dict[str, Any]:
        """Return what the viewer and ``/api/sessions`` are told once a second."""
        return {
            **self._figures.describe(),
            "look_ahead_ms": self._media.look_ahead_ms,
            "delay_ms": round(1e3 * self._path.delay.seconds),
            "sound_lead_ms": round(1e3 * self._path.lead_s),
        }

    def push(self, url: str, token: str) -> Push:
        """Begin to push the feed to a WHIP endpoint.

        Raises:
            BadRequest, Forbidden: the address cannot or may not be pushed to.
            AtCapacity: the session is pushed to too many already.
            Conflict: it is not live.
        """
        if self.feed is None or not self.live:
            raise Conflict("This session has not begun yet; try again in a moment.")
        return self.pushes.begin(self.feed, url, token)

    async def record(self, seconds: float) -> str:
        """Record frames for a while; return them as a Chrome trace.

        Raises:
            Conflict: somebody else is recording this session.
        """
        frames = await self._figures.record(self._clock, seconds, lambda: self.over)
        return chrome_trace_json(frames, self.id)

    def shows(self) -> set[str]:
        """Return whom this session shows, and whom it is about to show."""
        return {a.id for a in (self.avatar, self._next_avatar) if a is not None}

    def describe(self) -> dict[str, Any]:
        """Return the session as ``/api/sessions`` lists it."""
        age = self._clock.now() - self.began_at
        return {
            "pc_id": self.id,
            "view_id": self.view_id,
            "avatar_id": self.avatar.id,
            "state": self.state,
            "seconds": round(age, 1),
            "bitrate_kbps": self._governor.kbps,
            "watchers": len(self.viewers),
            **self.figures(),
        }

    async def farewell(self, reason: str, cause: str) -> None:
        """Tell the viewer and those who watch why this ends."""
        self.begun.set()  # nobody need wait any longer
        await self._taping.end()
        if self._agent is not None:
            self._agent.tell({"type": "ended", "reason": reason, "cause": cause})
        await self._channels.bye(reason, cause)
        over = "The session that was watched is over."
        await asyncio.gather(
            *(viewer.end(over, "watch") for viewer in list(self.viewers)),
            self.pushes.end(),
        )

    def release(self, cause: str) -> None:
        """Give the slot in the worker and the place back."""
        try:
            if self.feed is not None:
                self.feed.end()
            self._end_raw()
            if self._slot is not None:
                self._slot.close()
                self._slot = None
            self._path.end()
            if self._guest is not None:
                self._guest.gone(self)
            self._channels.detach()
        finally:
            self._context.metrics.ended.labels(cause).inc()
            self._ended(self)
