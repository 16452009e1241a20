"""A feed pushed to somebody else's WHIP endpoint (RFC 9725), an SFU's say.

Here the server is the client: it makes the offer, posts it to an address that the settings allow,
and sends what it sends its viewers. Nothing is pushed anywhere by default.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import httpx
from aiortc import RTCSessionDescription
from aiortc.sdp import SessionDescription

from visavis.streamer.errors import BadGateway, BadRequest, Forbidden
from visavis.streamer.hosts import is_loopback
from visavis.streamer.webrtc.connection import codecs_of, drain_receiver, prefer
from visavis.streamer.webrtc.feed import Feed, Lane
from visavis.streamer.webrtc.peer import Peer, PeerSettings

_ANSWER_BYTES: Final = 256 * 1024
_HTTP_S: Final = 10.0
_MOVES: Final = 3  # redirections that are followed, each to an address that is allowed
_MOVED: Final = (301, 302, 307, 308)


def check_target(url: str, allowed: tuple[str, ...]) -> None:
    """Insist that a feed may be pushed to an address.

    Args:
        url: of a WHIP endpoint.
        allowed: beginnings of addresses; this machine's own need no leave.

    Raises:
        BadRequest: it is no address.
        Forbidden: the settings do not allow it.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if not host or parts.scheme not in ("http", "https") or parts.username is not None:
        raise BadRequest("The address to push to must be like https://sfu.example/whip.")
    if is_loopback(host):
        return
    for beginning in allowed:
        known = urlsplit(beginning)
        same = (known.scheme, known.hostname, known.port) == (parts.scheme, host, port)
        folder = known.path if known.path.endswith("/") else f"{known.path}/"
        if same and f"{parts.path}/".startswith(folder):
            return
    raise Forbidden(
        f"Nothing is pushed to {host} unless the setting server.push_to names it.", code="push"
    )


class Publisher(Peer):
    """One connection to a WHIP endpoint.

    Args:
        peer_id: made by the server.
        settings: what every peer shares.
        feed: what is pushed.
    """

    def __init__(self, peer_id: str, settings: PeerSettings, feed: Feed) -> None:
        super().__init__(peer_id, settings)
        self.lost = asyncio.Event()
        self.up = asyncio.Event()
        self._feed = feed
        self._lanes: list[Lane] = []
        self._resource = ""
        self._headers: dict[str, str] = {}

    def connected(self) -> None:
        """Take that media flows."""
        self.up.set()
        for lane in self._lanes:
            lane.request_keyframe()

    async def publish(self, url: str, token: str, allowed: tuple[str, ...]) -> None:
        """Offer the feed; return when it was answered.

        Raises:
            BadRequest, Forbidden: the address may not be pushed to.
            BadGateway: the endpoint did not take it; the sentence says why.
        """
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        connection = self._connection
        for kind, codec in (("audio", "opus"), ("video", self._feed.codec)):
            transceiver = connection.addTransceiver(kind, direction="sendonly")
            prefer(transceiver, codec, nothing_else=True)
        await connection.setLocalDescription(await connection.createOffer())
        answer = await self._post(url, allowed, connection.localDescription.sdp)
        try:
            text, candidates = _without_candidates(answer)
            await connection.setRemoteDescription(RTCSessionDescription(text, "answer"))
            for transceiver in connection.getTransceivers():
                drain_receiver(transceiver.receiver)
                self._show(transceiver)
            for mid, candidate in candidates:
                agent = connection.agent_of(mid) or connection.agents[0]
                await agent.take_candidate(candidate)
        except Exception as error:  # a stranger's answer, by way of a parser
            raise BadGateway("The WHIP endpoint's answer cannot be used.") from error
        self._run(self._watch())

    def _show(self, transceiver: Any) -> None:
        codecs = codecs_of(transceiver)
        lane = Lane(transceiver.kind, self._clock.now, lambda: self.live)
        lane.attach(transceiver.sender, codecs[0].name)
        if not lane.fits(self._feed):
            raise ValueError(f"it wants {codecs[0].name}")
        lane.show(self._feed)
        self._lanes.append(lane)

    async def _ask(
        self, url: str, allowed: tuple[str, ...], sdp: str, headers: dict[str, str]
    ) -> httpx.Response:
        check_target(url, allowed)
        try:
            async with httpx.AsyncClient(timeout=_HTTP_S, trust_env=False) as http:
                return await http.post(url, content=sdp, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise BadGateway(f"The WHIP endpoint cannot be reached: {error}.") from error

    async def _post(self, url: str, allowed: tuple[str, ...], sdp: str) -> str:
        headers = {**self._headers, "content-type": "application/sdp"}
        response = await self._ask(url, allowed, sdp, headers)
        for _ in range(_MOVES):
            if response.status_code not in _MOVED:
                break
            url = urljoin(url, response.headers.get("location", ""))
            response = await self._ask(url, allowed, sdp, headers)
        if response.status_code != 201:
            raise BadGateway(f"The WHIP endpoint answered with {response.status_code}.")
        if len(response.content) > _ANSWER_BYTES:
            raise BadGateway("The WHIP endpoint's answer is too long.")
        self._resource = urljoin(url, response.headers.get("location", ""))
        with contextlib.suppress(BadRequest, Forbidden):
            check_target(self._resource, allowed)
            return response.text
        self._resource = ""
        return response.text

    async def farewell(self, reason: str, cause: str) -> None:
        """Hang up at the endpoint."""
        self.lost.set()
        if self._resource:
            with contextlib.suppress(httpx.HTTPError, httpx.InvalidURL):
                async with httpx.AsyncClient(timeout=1.5, trust_env=False) as http:
                    await http.delete(self._resource, headers=self._headers)

    def release(self, cause: str) -> None:
        """Stop sending."""
        self.lost.set()
        for lane in self._lanes:
            lane.end()


def _without_candidates(answer: str) -> tuple[str, list[tuple[str, Any]]]:
    """Return an answer without its candidates, and those that are addresses, with their mids.

    Names are never looked up: an address that the endpoint names is part of what was allowed, a
    name would ask the network.
    """
    found: list[tuple[str, Any]] = []
    for media in SessionDescription.parse(answer).media:
        for candidate in media.ice_candidates:
            with contextlib.suppress(ValueError):
                ipaddress.ip_address(candidate.ip)
                if candidate.protocol.lower() == "udp":
                    found.append((str(media.rtp.muxId), candidate))
    lines = [
        line
        for line in answer.splitlines()
        if line and not line.startswith(("a=candidate:", "a=end-of-candidates"))
    ]
    return "\r\n".join(lines) + "\r\n", found
