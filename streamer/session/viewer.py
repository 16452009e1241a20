"""Somebody who watches another's session: the same packets, a connection of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from aiortc import RTCDataChannel, RTCRtpTransceiver

from visavis.streamer.errors import BadRequest
from visavis.streamer.media.timeline import RATE
from visavis.streamer.session.context import SessionContext
from visavis.streamer.session.control import ControlChannel
from visavis.streamer.session.tasks import OwnedTasks
from visavis.streamer.webrtc import peer as peering
from visavis.streamer.webrtc import rtcp
from visavis.streamer.webrtc.microphone import drain_receiver
from visavis.streamer.webrtc.signaling import Offer
from visavis.streamer.webrtc.tracks import AvatarVideoTrack, PacketAudioTrack

_LOOK_S = 1.0
_FLUSH_S = 0.2


class Watched(Protocol):
    """What a watcher needs of the session."""

    hooks: rtcp.SenderHooks
    codec: str

    def request_keyframe(self) -> None:
        """Have the one encoder make a keyframe."""


class Watcher:
    """From the offer to the end, without a slot in the worker.

    What it is sent was encoded once for all; a slow line loses pictures up to the next keyframe
    and costs nobody else anything. Its estimate of the line does not lower the others' bitrate.

    Args:
        watcher_id: made by the server.
        context: what sessions share.
        session: whose pictures and sound these are.
        ended: told once, when everything is given back.
    """

    def __init__(
        self,
        watcher_id: str,
        context: SessionContext,
        session: Watched,
        ended: Callable[[Watcher], None],
    ) -> None:
        self.id = watcher_id
        self.live = False
        self._session = session
        self._context = context
        self._ended = ended
        self._over = False
        self._clock = context.clock
        self._began_at = context.clock.now()
        self._peer = peering.new_peer()
        self._candidates = peering.Candidates(self._peer, context.config.limits.candidates)
        self._control = ControlChannel({}, self._clock)
        self.video = AvatarVideoTrack(context.config.media.fps, session.request_keyframe)
        self.audio = PacketAudioTrack()
        self._tasks = OwnedTasks(f"watcher {watcher_id}", self._failed)
        self._run = self._tasks.run

    async def answer(self, offer: Offer) -> str:
        """Take the offer; return the answer's SDP.

        Raises:
            BadRequest: the offer cannot be served, or has not the session's codecs.
        """
        self._peer.addTransceiver("audio", direction="sendonly")
        video = self._peer.addTransceiver("video", direction="sendonly")
        peering.prefer(video, self._session.codec, nothing_else=True)
        sdp = await peering.answer(self._peer, offer, self._place_tracks)
        self._peer.on("connectionstatechange", self._connection_changed)
        self._peer.on("datachannel", self._data_channel)
        self._run(self._watch())
        if self._peer.connectionState == "connected":
            self._connection_changed()
        return sdp

    def _place_tracks(self) -> None:
        first: dict[str, RTCRtpTransceiver] = {}
        for transceiver in self._peer.getTransceivers():
            drain_receiver(transceiver.receiver)
            if transceiver.kind in first:
                transceiver.direction = "inactive"
            else:
                first[transceiver.kind] = transceiver
        audio, video = first["audio"], first["video"]
        for codecs, name in ((video._codecs, self._session.codec), (audio._codecs, "opus")):
            if not codecs or codecs[0].name.lower() != name.lower():
                raise BadRequest(f"This session is sent as {name}, which the offer has not.")
        audio.sender.replaceTrack(self.audio)
        video.sender.replaceTrack(self.video)
        hooks = replace(self._session.hooks, track=self.video, bitrate=lambda bps: None)
        rtcp.install(video.sender, hooks)
        rtcp.install(audio.sender, replace(hooks, track=self.audio, clock_rate=RATE))

    async def add_candidates(self, candidates: list[Any]) -> None:
        """Take trickled candidates.

        Raises:
            BadRequest: there are too many.
        """
        await self._candidates.add(candidates)

    def _connection_changed(self) -> None:
        state = self._peer.connectionState
        if state == "connected" and not self.live:
            self.live = True
            self.video.clear()
            self._session.request_keyframe()
        elif state in ("failed", "closed"):
            self._run(self.end("The connection was lost."))

    def _data_channel(self, channel: RTCDataChannel) -> None:
        if channel.label == "control":
            self._control.attach(channel)

    async def _watch(self) -> None:
        """Connect deadline and pings."""
        limits = self._context.config.limits
        while True:
            await self._clock.sleep_until(self._clock.now() + _LOOK_S)
            waited = self._clock.now() - self._began_at
            if not self.live and waited > limits.connect_timeout_s:
                self._run(self.end("The connection could not be made in time."))
            elif self._control.silent_s > limits.idle_timeout_s:
                self._run(self.end("The viewer has gone silent."))

    def put(self, frame: int, data: bytes, keyframe: bool) -> None:
        """Send a picture on."""
        if self.live:
            self.video.put(frame, data, keyframe)

    def hear(self, data: bytes, pts: int) -> None:
        """Send a block of sound on."""
        if self.live:
            self.audio.put(data, pts)

    async def end(self, reason: str) -> None:
        """Tell the viewer why, and give everything back. Safe to call twice."""
        if self._over:
            return
        self._over, self.live = True, False
        self._control.send({"type": "ended", "reason": reason, "cause": "watch"})
        await self._control.flush(_FLUSH_S)
        await self._tasks.cancel()
        self.video.stop()
        self.audio.stop()
        await peering.close(self._peer)
        self._control.detach()
        self._ended(self)

    def _failed(self) -> None:
        if not self._over:
            self._run(self.end("Something went wrong while watching."))
