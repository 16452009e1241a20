"""One person: a connection, a timeline, a slot in the worker and the feed that comes of them."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from typing import Any

import numpy as np
from aiortc import RTCDataChannel, RTCRtpTransceiver
from numpy.typing import NDArray

from visavis.streamer.errors import (
    Conflict,
    Forbidden,
    VisavisError,
)
from visavis.streamer.session.appearance import Appearance
from visavis.streamer.session.channels.channels import Channels
from visavis.streamer.session.channels.guest import Guest
from visavis.streamer.session.channels.motion_channel import MotionFrame
from visavis.streamer.session.context import Avatar, SessionContext
from visavis.streamer.session.figures.stats import SessionFigures
from visavis.streamer.session.figures.trace import chrome_trace_json
from visavis.streamer.session.options import Wishes
from visavis.streamer.session.outlets import OwnSections, make_feed
from visavis.streamer.session.pacing import Pacing
from visavis.streamer.session.push import Push, Pushes
from visavis.streamer.session.speech.agent import AgentVoice
from visavis.streamer.session.speech.sound import SessionSound
from visavis.streamer.session.taping import Taping
from visavis.streamer.session.viewer import Viewer
from visavis.streamer.trust.callers import CALLER
from visavis.streamer.webrtc.feed import Feed, FeedClock, Lane
from visavis.streamer.webrtc.peer import Peer
from visavis.streamer.webrtc.rtp.tracks import release_opus
from visavis.streamer.webrtc.sdp.signaling import Offer, Section
from visavis.streamer.webrtc.sections import Missing, Role, Stream
from visavis.streamer.worker.edge.supervisor import WorkerSlot
from visavis.streamer.worker.pipeline.pipeline import SlotSpec
from visavis.streamer.worker.pipeline.view import View
from visavis.streamer.worker.protocol import Packet

_ID_BYTES = 12
_TELL_S = 3.0  # that a session which cannot be waits for the viewer to connect


class Session(Peer):
    """From the offer to the end.

    Args:
        session_id: made by the server; who knows it controls the session.
        context: what sessions share.
        avatar: who is shown.
        ended: told once, when everything is given back.
        size: width and height in pixels.
        probe: burn measuring marks into the picture.
        wishes: look-ahead, mood and style.
        guest: the participant of a room whose session it is.

    Attributes:
        view_id: who knows it may watch.
        feed: the picture and sound, encoded once; None before the first offer was taken.
        viewers: those who watch.
        pushes: endpoints that the session is pushed to.
        begun: set when the session goes live or ends.
        agent_token: id of the token by which the program came that speaks in it, if any.
    """

    def __init__(
        self,
        session_id: str,
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
        self.view_id = secrets.token_urlsafe(_ID_BYTES)
        self.caller = CALLER.get()
        self.size = size
        self.feed: Feed | None = None
        self.viewers: set[Viewer] = set()
        self.pushes = Pushes(context.peers, context.config.server.push_to)
        self.begun = asyncio.Event()
        self.agent_token = ""
        self._context = context
        self._ended = ended
        self._probe = probe
        media = context.config.media
        self._wishes = wishes or Wishes()
        ahead = self._wishes.look_ahead_ms
        self._media = media if ahead is None else media.model_copy(update={"look_ahead_ms": ahead})
        self._slot: WorkerSlot | None = None
        self._headless = False  # there is no connection but the agent's
        self._make_parts(avatar, guest)

    def _make_parts(self, avatar: Avatar, guest: Guest | None) -> None:
        context, clock, media = self._context, self._clock, self._media

        def slot() -> WorkerSlot | None:
            return self._slot

        self._channels = Channels(
            self._commands(),
            guest.commands if guest is not None else {},
            clock,
            lambda: self.end_soon("The viewer hung up.", "hangup"),
            self._share_motion,
        )
        channels = self._channels
        self._appearance = Appearance(avatar, self._wishes, self._may_show, guest, channels, slot)
        self._sound = SessionSound(
            media, clock, context.phases, guest, channels, slot, self._is_heard
        )
        self._path = self._sound.path
        self._figures = SessionFigures(context.metrics, media.fps, clock.now)
        self._pacing = Pacing(
            self._sound, channels.chat, self._figures, clock, media.bitrate_kbps, slot
        )
        self._feed_clock = FeedClock(
            media_time=self._path.media_time,
            ntp=lambda: context.wall.ntp(clock.now()),
            now=clock.now,
        )
        self._own_sections = OwnSections(
            self._sound,
            clock,
            self._feed_clock,
            lambda: self.live,
            taken=self._figures.taken,
            bitrate=self._pacing.estimated,
        )
        # In a room everybody is asked, so nobody records alone there.
        self._taping = Taping(
            None if guest is not None else context.record,
            channels.control.send,
            self._run,
            self.caller,
        )

    @property
    def avatar(self) -> Avatar:
        """Who is shown."""
        return self._appearance.avatar

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
            self.feed.worn = self._appearance.worn
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
        await self._sound.first_picture()

    @property
    def headless(self) -> bool:
        """Whether nobody can watch."""
        return self._headless

    def role_of(self, section: Section, nth: int) -> Role:
        """Say what a section is for; see :class:`OwnSections`."""
        return self._own_sections.role_of(section, nth)

    def place(self, section: Section, role: Role, transceiver: RTCRtpTransceiver) -> Lane | None:
        """Fill one of the session's own sections."""
        return self._own_sections.place(section, role, transceiver)

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
        self._run(self._pacing.run())
        self._run(release_opus(self._sound.release, self._is_heard, self._release_sound))

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
            payload=self._context.payload(self.id),
            **self._appearance.wishes.of_slot(self._media, self.size),
        )
        try:
            self._slot = await self._context.supervisor.open(spec, self)
            if self._channels.motion.attached:
                self._slot.motion(True)
            if raw := self._sound.raw_path:
                self._slot.pictures(raw)
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
            self._look_at_tape()

    # ------------------------------------------------------------------ media

    def join_agent(self, voice: AgentVoice) -> None:
        """Let a program speak in place of the microphone, which is what the avatar listens to now.

        Raises:
            Conflict: another one does, or the session is over.
            Forbidden: its token does not let it speak as this avatar.
        """
        if self.over:
            raise Conflict("This session has ended.")
        caller = CALLER.get()
        caller.check_speaks(self.avatar.id)
        self._sound.join(voice)
        self.agent_token = caller.id

    def dismiss_agent(self, reason: str) -> None:
        """Put out the program that speaks, whose token holds no more."""
        self.agent_token = ""
        self._sound.dismiss(reason, "token")

    def hear(self, samples: NDArray[np.int16], rate: int) -> None:
        """Take what the other side says, mono int16, so that the avatar listens."""
        self._sound.hear(samples, rate)

    def give_pictures(self, give: Callable[[bytes], None]) -> dict[str, Any]:
        """Give the agent raw pictures and their sound; see :meth:`SessionSound.give_pictures`."""
        view = self._wishes.view
        size = (self.size, self.size) if view is None else view.picture_size
        return self._sound.give_pictures(size, give)

    def leave_agent(self, voice: AgentVoice) -> None:
        """Let the microphone speak again."""
        self._sound.leave(voice)

    def request_keyframe(self) -> None:
        """Want a keyframe, for a viewer that lost one or has just come."""
        self._pacing.keyframes.request()

    # ------------------------------------------------------------------ what the worker says

    def on_packet(self, packet: Packet) -> None:
        """Send a picture on and keep its figures."""
        decode_s = self._own_sections.decode_s
        self._figures.picture(packet, self._path, self._sound.release, decode_s)
        if self.feed is not None:
            self.feed.picture(packet.frame, packet.data, packet.keyframe)
        self._sound.shown(packet)

    def on_drawn(self, frame: int) -> None:
        """Let a picture leave that need not wait."""
        self._pacing.drawn(frame)

    def on_motion(self, frame: int, values: NDArray[np.float32]) -> None:
        """Send a frame's coefficients to whoever drives a character with them."""
        self._channels.motion.put(MotionFrame(frame, self._media.fps, values))

    def on_worker(self, state: str) -> None:
        """Tell the viewer that the worker was lost or is back."""
        if state == "lost":
            self._pacing.forget()
            if self.feed is not None:
                self.feed.start_over()
        self._channels.tell({"type": "worker", "state": state})

    def on_slot_failed(self, reason: str) -> None:
        """End: the models cannot be brought back."""
        self.end_soon(reason, "worker")

    def on_avatar(self, avatar_id: str, state: str, error: str) -> None:
        """Tell the viewer how a switch went."""
        self._appearance.loaded(avatar_id, state, error)

    # ------------------------------------------------------------------ what the viewer says

    def _commands(self) -> dict[str, Callable[[dict[str, Any]], None]]:
        return {
            "interrupt": lambda message: self.interrupt(),
            "avatar": lambda message: self._appearance.switch(message),
            "mute": lambda message: self.set_muted(message.get("on") is True),
            "playout": lambda message: self._sound.held(message),
            "manner": lambda message: self._appearance.change_manner(message),
            "record": self._tape,
        }

    def interrupt(self) -> None:
        """Barge-in: sound, coefficients and pictures on their way are dropped at once."""
        self._sound.interrupt()
        self._pacing.forget()

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

    def _may_show(self, avatar_id: str) -> Avatar:
        avatar = self._context.find_avatar(avatar_id)
        self.caller.check_speaks(avatar.id)
        if self._taping.running and (why := self._context.refusal(avatar.id, "record")):
            raise Forbidden(why, code="consent")
        return avatar

    def _look_at_tape(self) -> None:
        """A consent that was renewed without recordings stops the one that runs."""
        if self._taping.running and (why := self._context.refusal(self.avatar.id, "record")):
            self._channels.error(Conflict(why, code="recording-stopped"))
            self._taping.ask(self.feed, False)
        self._taping.look()

    def _tape(self, message: dict[str, Any]) -> None:
        on = message.get("on") is True
        if on and (why := self._context.refusal(self.avatar.id, "record")):
            raise Forbidden(why, code="consent")
        self._taping.ask(self.feed, on)

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
        return self._appearance.ids()

    def describe(self) -> dict[str, Any]:
        """Return the session as ``/api/sessions`` lists it."""
        age = self._clock.now() - self.began_at
        return {
            "pc_id": self.id,
            "view_id": self.view_id,
            "avatar_id": self.avatar.id,
            "state": self.state,
            "seconds": round(age, 1),
            "bitrate_kbps": self._pacing.governor.kbps,
            "watchers": len(self.viewers),
            **self.figures(),
        }

    async def farewell(self, reason: str, cause: str) -> None:
        """Tell the viewer and those who watch why this ends."""
        self.begun.set()  # nobody need wait any longer
        await self._taping.end()
        self._sound.farewell(reason, cause)
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
            self._sound.end_pictures()
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
