"""One connection, from its first offer to its end, under sessions and viewers alike.

A peer answers any number of offers in place: sections come and go, ICE restarts, while the id, the
data channels and everything that is sent stay. Sections that are not the peer's own are filled with
other sessions' feeds (:meth:`Peer.show`): who is wished first gets the first free ones, and a
section whose feed is gone is used again without a new offer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from aiortc import RTCDataChannel, RTCRtpTransceiver, RTCSessionDescription

from visavis.streamer.clock import Clock
from visavis.streamer.config import LimitsConfig
from visavis.streamer.errors import BadRequest, Conflict, VisavisError
from visavis.streamer.tasks import OwnedTasks, logged
from visavis.streamer.webrtc.connection import (
    UNFIT,
    MediaConnection,
    accept_extension,
    codecs_of,
    drain_receiver,
    prefer,
)
from visavis.streamer.webrtc.feed import Feed, Lane
from visavis.streamer.webrtc.ice.agent import IceAgent
from visavis.streamer.webrtc.ice.sockets import Binding
from visavis.streamer.webrtc.rtp.rtcp import PLAYOUT_DELAY_URI
from visavis.streamer.webrtc.sdp import signaling
from visavis.streamer.webrtc.sdp.negotiation import Negotiation
from visavis.streamer.webrtc.sdp.signaling import Offer, Section
from visavis.streamer.webrtc.sections import MediaSection, Missing, Role, Sections, Stream

logger = logging.getLogger(__name__)
LOOK_S = 1.0
UNHEARD_S = 6.0  # that an answer waits for the client's first check
_NEGOTIATION_S = 10.0  # that one answer may take
_MOST_NAMED = 256  # candidates that are looked at in one message
_MOST_CHANNELS = 64  # data channels that a client may open
_TASKS_S = 2.0  # that a peer's own tasks may take to end


@dataclass(frozen=True)
class PeerSettings:
    """What every peer of a server shares.

    Attributes:
        clock: monotonic time.
        limits: what one client may cost.
        binding: where media sockets are bound.
        codec: ``H264`` or ``VP8``, which is sent where the client has it.
    """

    clock: Clock
    limits: LimitsConfig
    binding: Binding
    codec: str


class Peer:
    """One connection.

    Args:
        peer_id: made by the server.
        settings: what every peer shares.
    """

    def __init__(self, peer_id: str, settings: PeerSettings) -> None:
        self.id = peer_id
        self.live = False  # it is connected and not over
        self.over = False
        self.began_at = settings.clock.now()
        self._settings = settings
        self._clock = settings.clock
        self._connection = MediaConnection(settings.binding)
        self._negotiation = Negotiation()
        self._negotiating = asyncio.Lock()
        self._generation = 0  # of ICE
        self._fingerprints: frozenset[str] = frozenset()
        self._sections = Sections()
        self.own_feed: Feed | None = None  # what the peer's own sections show
        self._named = 0  # candidates taken
        self._channels_opened = 0  # data channels, so far
        self._ending: asyncio.Future[None] | None = None
        self._tasks = OwnedTasks(f"{type(self).__name__} {peer_id}", self._failed)
        self._run = self._tasks.run
        self._connection.on("connectionstatechange", self._connection_changed)
        self._connection.on("datachannel", self._channel_opened)

    # ------------------------------------------------------------------ what a subclass says

    def role_of(self, section: Section, nth: int) -> Role:
        """Return what the ``nth`` section of its kind (from 0) that is of any use is for."""
        raise NotImplementedError

    def place(self, section: Section, role: Role, transceiver: RTCRtpTransceiver) -> Lane | None:
        """Fill a new section that is not free: receiver, and the lane that is sent by it."""
        raise NotImplementedError

    def connected(self) -> None:
        """Take that media may flow."""

    def channel(self, channel: RTCDataChannel) -> None:
        """Take a data channel that the client opened."""

    def look(self, age_s: float) -> None:
        """Look after things once a second."""

    def streams_changed(self, streams: list[Stream], missing: Missing) -> None:
        """Take that other feeds are shown, or in other sections."""

    async def farewell(self, reason: str, cause: str) -> None:
        """Tell the client why this ends."""

    def release(self, cause: str) -> None:
        """Give everything back that others wait for; called once, before the connection closes."""

    # ------------------------------------------------------------------ signalling

    @property
    def etag(self) -> str:
        """Name of the present ICE generation, for HTTP."""
        return f"{self.id}-{self._generation}"

    def same_client(self, offer: Offer) -> bool:
        """Whether an offer comes from the connection that this peer has, not from a new one."""
        return not self._fingerprints or self._fingerprints == offer.fingerprints

    async def answer(self, offer: Offer) -> str:
        """Take an offer, the first or a later one; return the answer's SDP.

        Raises:
            BadRequest: it cannot be served; what was there before goes on.
            Conflict: the peer is over.
        """
        async with self._negotiating:
            if self.over:
                raise Conflict("This session has ended.")
            first = not self._sections
            connection = self._connection
            try:
                async with asyncio.timeout(_NEGOTIATION_S):
                    sdp = await self._negotiate(offer)
            except VisavisError:
                connection.forget_unplaced()
                raise
            except UNFIT as error:
                logger.info("offer refused: %r", error)
                connection.forget_unplaced()
                raise BadRequest(
                    "The offer cannot be answered: it does not fit this server."
                ) from None
            self._fingerprints = offer.fingerprints
            for section in offer.sections:
                await self._take_candidates(section)
            if first:
                self._run(self._watch())
                self._connection_changed()
        self._assign()
        return self._negotiation.for_client(sdp, offer)

    async def _negotiate(self, offer: Offer) -> str:
        connection, added = self._connection, self._negotiation.fresh(offer)
        roles = self._roles(added)
        for section in added:
            if section.mid in roles:
                self._add(section, roles[section.mid])
        text = self._negotiation.for_aiortc(offer)
        await connection.setRemoteDescription(RTCSessionDescription(text, "offer"))
        transceivers = {t.mid: t for t in connection.getTransceivers()}
        for section in added:
            if (transceiver := transceivers.get(section.mid)) is not None:
                self._fill(section, roles[section.mid], transceiver)
        for section in offer.sections:
            number, transceiver = section.playout_delay_id, transceivers.get(section.mid)
            if number is not None and transceiver is not None:
                accept_extension(transceiver, number, PLAYOUT_DELAY_URI)
        await self._restart(offer)
        await connection.setLocalDescription(await connection.createAnswer())
        return str(connection.localDescription.sdp)

    def _roles(self, added: list[Section]) -> dict[str, Role]:
        nth = {kind: 0 for kind in signaling.KINDS}
        for slot in self._sections:
            nth[slot.transceiver.kind] += slot.role is not Role.DROPPED
        roles: dict[str, Role] = {}
        for section in added:
            if section.kind in nth:
                role = roles[section.mid] = self.role_of(section, nth[section.kind])
                nth[section.kind] += role is not Role.DROPPED
        return roles

    def _add(self, section: Section, role: Role) -> None:
        """Make the transceiver which aiortc will find for a section."""
        direction = {
            Role.OWN: "sendrecv" if section.kind == "audio" else "sendonly",
            Role.HEARD: "recvonly",
            Role.FREE: "sendonly",
            Role.DROPPED: "inactive",
        }[role]
        transceiver = self._connection.addTransceiver(section.kind, direction=direction)
        prefer(transceiver, self._settings.codec if section.kind == "video" else "opus")

    def _fill(self, section: Section, role: Role, transceiver: RTCRtpTransceiver) -> None:
        slot = MediaSection(section.mid, role, transceiver)
        self._sections.add(slot)
        drain_receiver(transceiver.receiver)
        if role is Role.FREE:
            slot.lane = self._lane(section.kind)
            slot.lane.attach(transceiver.sender, codecs_of(transceiver)[0].name)
        elif role is not Role.DROPPED:
            slot.lane = self.place(section, role, transceiver)

    def _lane(self, kind: str) -> Lane:
        return Lane(kind, self._clock.now, lambda: self.live)

    async def _restart(self, offer: Offer) -> None:
        """Restart ICE where the client has new credentials."""
        done: set[int] = set()
        for section in offer.sections:
            agent = self._connection.agent_of(section.mid) if section.served else None
            if agent is None or id(agent) in done or agent.remote_username is None:
                continue
            done.add(id(agent))
            if (agent.remote_username, agent.remote_password) != section.credentials:
                await agent.restart(*section.credentials)
                self._generation += 1
                self._named = 0

    @property
    def agents(self) -> list[IceAgent]:
        """The ICE agents, one for each transport of the connection."""
        return self._connection.agents

    @property
    def remote_username(self) -> str:
        """The client's ICE user name fragment."""
        return next((a.remote_username or "" for a in self._connection.agents), "")

    async def restart(self, username: str, password: str) -> tuple[str, str, str, list[str]]:
        """Restart ICE of a bundled connection without an offer, as WHIP and WHEP do.

        Returns:
            User name fragment, password, mid and candidate lines of this side.

        Raises:
            Conflict: there is no one connection that could restart.
        """
        async with self._negotiating:
            agents = self._connection.agents
            if self.over or len(agents) != 1 or agents[0].remote_username is None:
                raise Conflict("This connection cannot restart; begin another one.")
            agent = agents[0]
            try:
                async with asyncio.timeout(_NEGOTIATION_S):
                    await agent.restart(username, password)
            except UNFIT as error:
                raise Conflict("This connection cannot restart; begin another one.") from error
            self._generation += 1
            self._named = 0
            lines = [f"a=candidate:{c.to_sdp()}" for c in agent.local_candidates]
            return agent.local_username, agent.local_password, self._sections.first_mid, lines

    async def add_candidates(self, candidates: list[Any]) -> None:
        """Take trickled candidates: those that can be used, are new, and within the limit."""
        for entry in candidates[:_MOST_NAMED]:
            if isinstance(entry, dict):
                named = cast(dict[str, Any], entry)
                found = signaling.parse_candidate(
                    named.get("candidate"), anywhere=self._settings.binding.speaks_first
                )
                mid = named.get("sdpMid")
                await self._take(found, mid if isinstance(mid, str) else "")

    async def _take_candidates(self, section: Section) -> None:
        if section.served:
            for candidate in section.candidates:
                await self._take(candidate, section.mid)

    async def _take(self, candidate: Any, mid: str) -> None:
        agent = self._connection.agent_of(mid) or next(iter(self._connection.agents), None)
        if candidate is None or agent is None:
            return
        if self._named >= self._settings.limits.candidates * len(self._connection.agents):
            return
        known = {(c.host, c.port) for c in agent.remote_candidates}
        if (candidate.ip, candidate.port) in known:
            return
        self._named += 1
        with contextlib.suppress(ValueError):
            await agent.take_candidate(candidate)

    # ------------------------------------------------------------------ others' feeds

    def show(self, feeds: Mapping[str, Feed]) -> None:
        """Show these and no others, the most wished first.

        Args:
            feeds: by an id that the client is told.
        """
        self._sections.wish(feeds)
        self._assign()

    @property
    def streams(self) -> list[Stream]:
        """Who is wished, and in which sections each is shown."""
        return self._sections.streams

    @property
    def missing(self) -> Missing:
        """Sections that the client should add."""
        return self._sections.missing

    def _assign(self) -> None:
        if self._sections.assign(self.own_feed) and not self.over:
            self.streams_changed(self.streams, self.missing)

    # ------------------------------------------------------------------ connection

    def _connection_changed(self) -> None:
        state = self._connection.connectionState
        if state == "connected" and not self.live and not self.over:
            self.live = True
            self.connected()
            for slot in self._sections:
                if slot.lane is not None:
                    slot.lane.request_keyframe()
        elif state in ("failed", "closed"):
            self.end_soon("The connection was lost.", "connection")

    def _channel_opened(self, channel: RTCDataChannel) -> None:
        self._channels_opened += 1
        if self._channels_opened > _MOST_CHANNELS:
            self.end_soon("Too many data channels were opened.", "error")
        elif not self.over:
            self.channel(channel)

    async def _watch(self) -> None:
        """Connect deadlines, and what the subclass looks after."""
        limits = self._settings.limits
        while True:
            await self._clock.sleep_until(self._clock.now() + LOOK_S)
            age = self._clock.now() - self.began_at
            if self.live:
                self._assign()  # a feed may have ended
                self.look(age)
                continue
            heard = any(agent.checked for agent in self._connection.agents)
            if age > limits.connect_timeout_s or (age > UNHEARD_S and not heard):
                self.end_soon("The connection could not be made in time.", "timeout")

    # ------------------------------------------------------------------ end

    def end_soon(self, reason: str, cause: str) -> None:
        """Begin to end, from inside an event."""
        if self._ending is None:
            self.over, self.live = True, False
            self._ending = asyncio.ensure_future(self._end(reason, cause))

    async def end(self, reason: str, cause: str) -> None:
        """Tell the client why, and give everything back; whoever asks second waits for the first.

        Args:
            reason: a sentence for the user.
            cause: one word for programs.
        """
        self.end_soon(reason, cause)
        assert self._ending is not None
        await asyncio.shield(self._ending)

    async def _end(self, reason: str, cause: str) -> None:
        """Every step has a limit, and none keeps the next from being taken."""
        with logged("farewell"):
            async with asyncio.timeout(_TASKS_S):
                await self.farewell(reason, cause)
        with logged("tasks"):
            async with asyncio.timeout(_TASKS_S):
                await self._tasks.cancel()
        for slot in self._sections:
            if slot.lane is not None:
                with logged("lane"):
                    slot.lane.end()
        with logged("release"):
            self.release(cause)
        await self._connection.shut()

    def _failed(self) -> None:
        self.end_soon("Something went wrong in this session.", "error")
