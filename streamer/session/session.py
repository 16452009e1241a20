"""One viewer: a peer connection, a timeline, a slot in the worker and the two outgoing tracks."""

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

from visavis.streamer.errors import Conflict, VisavisError
from visavis.streamer.media.encoder import BitrateGovernor
from visavis.streamer.media.keyframes import KeyframeGate
from visavis.streamer.media.path import MediaPath
from visavis.streamer.session import motion_channel
from visavis.streamer.session.context import Avatar, SessionContext
from visavis.streamer.session.control import ControlChannel
from visavis.streamer.session.motion_channel import MotionChannel, MotionFrame
from visavis.streamer.session.options import Wishes
from visavis.streamer.session.stats import SessionFigures
from visavis.streamer.session.tasks import OwnedTasks
from visavis.streamer.session.trace import Tracer, chrome_trace_json
from visavis.streamer.session.viewer import Watcher
from visavis.streamer.webrtc import peer as peering
from visavis.streamer.webrtc import rtcp
from visavis.streamer.webrtc.microphone import AudioIn, HeardSound, drain_receiver, tap_receiver
from visavis.streamer.webrtc.signaling import Offer
from visavis.streamer.webrtc.tracks import VIDEO_RATE, AvatarAudioTrack, AvatarVideoTrack
from visavis.streamer.worker.pipeline import SlotSpec
from visavis.streamer.worker.protocol import Packet
from visavis.streamer.worker.supervisor import WorkerSlot

logger = logging.getLogger(__name__)
BLOCK_S = 0.010  # how often missing sound is looked for
STATS_S = 1.0
_TELL_S = 3.0  # that a session which cannot be waits for the viewer to connect
_FLUSH_S = 0.2


class Session:
    """From the offer to the end.

    Args:
        session_id: made by the server.
        context: what sessions share.
        avatar: who is shown.
        ended: told once, when everything is given back.
        size: width and height in pixels.
        probe: burn measuring marks into the picture.
        wishes: look-ahead, mood and style.
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
    ) -> None:
        self.id = session_id
        self.avatar = avatar
        self.began_at = context.clock.now()
        self.state = "connecting"
        self._context = context
        self._ended = ended
        self.size = size
        self._probe = probe
        self._clock = context.clock
        media = context.config.media
        self._wishes = wishes or Wishes()
        ahead = self._wishes.look_ahead_ms
        self._media = media if ahead is None else media.model_copy(update={"look_ahead_ms": ahead})
        self._peer = peering.new_peer()
        self._candidates = peering.Candidates(self._peer, context.config.limits.candidates)
        self._control = ControlChannel(self._commands(), self._clock)
        self._motion = MotionChannel()
        self._heard: HeardSound | None = None  # the other side's sound, if the viewer sends it
        self._path = MediaPath(self._media, self._clock, self._to_models, context.phases)
        self._governor = BitrateGovernor(self._media.bitrate_kbps, self.began_at)
        self._slot: WorkerSlot | None = None
        self._figures = SessionFigures(context.metrics, self._media.fps, self._clock.now)
        self._keyframes = KeyframeGate(self._ask_for_keyframe, self._clock.now)
        self._video = AvatarVideoTrack(self._media.fps, self.request_keyframe, self._figures.taken)
        self.codec = ""
        self.watchers: set[Watcher] = set()
        self._audio: AvatarAudioTrack | None = None
        self._microphone: AudioIn | None = None
        self._next_avatar: Avatar | None = None
        self._tasks = OwnedTasks(f"session {session_id}", self._failed)
        self._run = self._tasks.run

    # ------------------------------------------------------------------ signalling

    async def answer(self, offer: Offer) -> str:
        """Take the offer; return the answer's SDP.

        Raises:
            BadRequest: the offer cannot be served.
        """
        peer = self._peer
        peer.addTransceiver("audio", direction="sendrecv")
        video = peer.addTransceiver("video", direction="sendonly")
        peering.prefer(video, self._media.video_codec)
        sdp = await peering.answer(peer, offer, self._place_tracks)
        peer.on("connectionstatechange", self._connection_changed)
        peer.on("datachannel", self._data_channel)
        self._run(self._watch())
        if peer.connectionState == "connected":
            self._connection_changed()
        return sdp

    def _place_tracks(self) -> None:
        """Fill the first audio and video section and open the slot.

        A second audio section that the viewer only sends in is the other side's sound; any other
        section is refused.
        """
        first: dict[str, RTCRtpTransceiver] = {}
        for transceiver in self._peer.getTransceivers():
            if transceiver.kind in first and self._takes_heard(transceiver):
                continue
            if transceiver.kind in first:
                transceiver.direction = "inactive"
                drain_receiver(transceiver.receiver)
            else:
                first[transceiver.kind] = transceiver
        audio, video = first["audio"], first["video"]
        codec = audio._codecs[0]
        opus = codec.name.lower() == "opus"
        self._audio = AvatarAudioTrack(
            self._clock,
            self._path.read,
            self._path.release_sound,
            encoded=opus,
            copy=self._heard_by_all,
        )
        self._microphone = AudioIn(audio._codecs, self._path.sound, self._clock.now)
        tap_receiver(audio.receiver, self._microphone.take)
        drain_receiver(video.receiver)
        audio.sender.replaceTrack(self._audio)
        video.sender.replaceTrack(self._video)
        self.hooks = hooks = rtcp.SenderHooks(
            track=self._video,
            clock_rate=VIDEO_RATE,
            media_time=self._path.media_time,
            ntp=lambda: self._context.wall.ntp(self._clock.now()),
            keyframe=self.request_keyframe,
            bitrate=self._estimated,
            playout_delay_ms=self._media.playout_delay_max_ms,
            now=self._clock.now,
        )
        rtcp.install(video.sender, hooks)
        rtcp.install(audio.sender, replace(hooks, track=self._audio, clock_rate=codec.clockRate))
        self.codec = video._codecs[0].name.upper()
        self._run(self._open_slot(self.codec))

    def _takes_heard(self, transceiver: RTCRtpTransceiver) -> bool:
        """Use a further audio section for what the other side says, if it offers just that."""
        if transceiver.kind != "audio" or self._heard is not None:
            return False
        if transceiver._offerDirection != "recvonly":  # what is left for us, as aiortc keeps it
            return False
        transceiver.direction = "recvonly"
        self._heard = HeardSound()
        tap_receiver(transceiver.receiver, AudioIn(transceiver._codecs, self._heard.put).take)
        return True

    async def add_candidates(self, candidates: list[Any]) -> None:
        """Take trickled candidates.

        Raises:
            BadRequest: there are too many.
        """
        await self._candidates.add(candidates)

    # ------------------------------------------------------------------ connection

    def _connection_changed(self) -> None:
        state = self._peer.connectionState
        if state == "connected" and not self._path.live:
            self._begin()
        elif state in ("failed", "closed"):
            self._run(self.end("The connection was lost.", cause="connection"))

    def _begin(self) -> None:
        self.state = "live"
        self._path.begin()
        self._run(self._pace())

    def _data_channel(self, channel: RTCDataChannel) -> None:
        if channel.label == "control":
            self._control.attach(channel)
        elif channel.label == motion_channel.LABEL:
            self._motion.attach(channel)
            self._share_motion(True)
            channel.on("close", lambda: self._share_motion(False))

    def _share_motion(self, on: bool) -> None:
        if not on:
            self._motion.detach()
        if self._slot is not None:
            self._slot.motion(on)

    async def _open_slot(self, codec: str) -> None:
        media = self._media
        spec = SlotSpec(
            bundle=self.avatar.bundle,
            size=self.size,
            fps=media.fps,
            look_ahead_ms=media.look_ahead_ms,
            ring_ms=media.ring_ms,
            bitrate_kbps=media.bitrate_kbps,
            codec=codec,
            seed=int.from_bytes(self.id.encode()[:4], "big"),
            probe=self._probe,
            mood=self._wishes.mood,
            style=self._wishes.style,
        )
        try:
            self._slot = await self._context.supervisor.open(spec, self)
            if self._motion.attached:
                self._slot.motion(True)
        except VisavisError as error:
            with contextlib.suppress(TimeoutError):  # so that the viewer can be told why
                await asyncio.wait_for(self._control.attached.wait(), _TELL_S)
            self._run(self.end(str(error), cause="avatar"))

    async def _watch(self) -> None:
        """Connect deadline, life-time, pings, statistics."""
        limits = self._context.config.limits
        while True:
            await self._clock.sleep_until(self._clock.now() + STATS_S)
            age = self._clock.now() - self.began_at
            if not self._path.live and age > limits.connect_timeout_s:
                self._run(self.end("The connection could not be made in time.", cause="timeout"))
            elif limits.session_max_s and age > limits.session_max_s:
                self._run(self.end("The session has reached its longest time.", cause="lifetime"))
            elif self._control.silent_s > limits.idle_timeout_s:
                self._run(self.end("The viewer has gone silent.", cause="idle"))
            elif self._path.live:
                self._figures.sound(self._path.timeline)
                self._control.send({"type": "stats", **self.figures()})

    # ------------------------------------------------------------------ media

    def _to_models(self, position: int, samples: NDArray[np.int16]) -> None:
        if self._slot is None:
            return
        if self._heard is not None and len(heard := self._heard.take(len(samples))):
            self._slot.heard(position, heard)
        self._slot.pcm(position, samples)

    async def _pace(self) -> None:
        """Keep media time going and release frames at their ticks."""
        path, block, frame = self._path, 0, 0
        while True:
            path.fill()
            self._keyframes.poll()
            due = path.due_frame()
            if due >= frame:
                if self._slot is not None:
                    self._slot.tick(due)
                frame = due + 1
            now, start = self._clock.now(), path.timeline.start
            block = max(block + 1, int((now - start) / BLOCK_S))
            tick = max(now, path.release(path.start_of(frame)))
            await self._clock.sleep_until(min(start + block * BLOCK_S, tick))

    def request_keyframe(self) -> None:
        """Want a keyframe, for a viewer that lost one or has just come."""
        self._keyframes.request()

    def _heard_by_all(self, data: bytes, pts: int) -> None:
        for watcher in self.watchers:
            watcher.hear(data, pts)

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
        self._figures.picture(packet, self._path, self._audio, decode_s)
        self._video.put(packet.frame, packet.data, packet.keyframe)
        for watcher in self.watchers:
            watcher.put(packet.frame, packet.data, packet.keyframe)

    def on_motion(self, frame: int, values: NDArray[np.float32]) -> None:
        """Send a frame's coefficients to whoever drives a character with them."""
        self._motion.put(MotionFrame(frame, self._media.fps, values))

    def on_worker(self, state: str) -> None:
        """Tell the viewer that the worker was lost or is back."""
        if state == "lost":
            for video in (self._video, *(watcher.video for watcher in self.watchers)):
                video.clear()
        self._control.send({"type": "worker", "state": state})

    def on_slot_failed(self, reason: str) -> None:
        """End: the models cannot be brought back."""
        self._run(self.end(reason, cause="worker"))

    def on_avatar(self, avatar_id: str, state: str, error: str) -> None:
        """Tell the viewer how a switch went."""
        wanted, slot = self._next_avatar, self._slot
        if wanted is None or wanted.id != avatar_id or slot is None:
            return
        self._next_avatar = None
        if state == "ready":
            self.avatar = wanted
            self._control.send({"type": "avatar", "id": avatar_id, "state": "ready"})
        else:
            logger.warning("avatar %s could not be loaded: %s", avatar_id, error)
            slot.spec = replace(slot.spec, bundle=self.avatar.bundle)
            self._control.error("This avatar cannot be loaded; make it again from its photo.")

    # ------------------------------------------------------------------ what the viewer says

    def _commands(self) -> dict[str, Callable[[dict[str, Any]], None]]:
        return {
            "interrupt": lambda message: self.interrupt(),
            "avatar": self._switch,
            "mute": self._mute,
            "playout": self._playout,
        }

    def interrupt(self) -> None:
        """Barge-in: sound, coefficients and pictures on their way are dropped at once."""
        if self._path.live and self._audio is not None:
            self._path.timeline.hush(self._audio.position)
        if self._slot is not None:
            self._slot.interrupt()

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
            self._control.error(str(error))

    def _switch(self, message: dict[str, Any]) -> None:
        try:
            avatar = self._context.find_avatar(str(message.get("id", "")))
        except VisavisError as error:
            self._control.error(str(error))
            return
        if self._slot is None:
            self._control.error("The session is still starting; try again.")
            return
        self._next_avatar = avatar
        self._control.send({"type": "avatar", "id": avatar.id, "state": "loading"})
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

    async def record(self, seconds: float) -> str:
        """Record frames for a while; return them as a Chrome trace.

        Raises:
            Conflict: somebody else is recording this session.
        """
        if self._figures.tracer is not None:
            raise Conflict(
                "This session is being traced already; try again when that is over.",
                code="traced-already",
            )
        tracer = self._figures.tracer = Tracer()
        end = self._clock.now() + seconds
        try:
            while self.state != "ended" and self._clock.now() < end:
                await self._clock.sleep_until(min(end, self._clock.now() + STATS_S))
        finally:
            self._figures.tracer = None
        return chrome_trace_json(tracer.frames, self.id)

    def shows(self) -> set[str]:
        """Return whom this session shows, and whom it is about to show."""
        return {a.id for a in (self.avatar, self._next_avatar) if a is not None}

    def describe(self) -> dict[str, Any]:
        """Return the session as ``/api/sessions`` lists it."""
        age = self._clock.now() - self.began_at
        return {
            "pc_id": self.id,
            "avatar_id": self.avatar.id,
            "state": self.state,
            "seconds": round(age, 1),
            "bitrate_kbps": self._governor.kbps,
            "watchers": len(self.watchers),
            **self.figures(),
        }

    async def end(self, reason: str, *, cause: str) -> None:
        """Tell the viewer why, and give everything back. Safe to call twice."""
        if self.state == "ended":
            return
        self.state = "ended"
        self._control.send({"type": "ended", "reason": reason, "cause": cause})
        await self._control.flush(_FLUSH_S)
        over = "The session that was watched is over."
        await asyncio.gather(*(watcher.end(over) for watcher in list(self.watchers)))
        await self._tasks.cancel()
        if self._slot is not None:
            self._slot.close()
            self._slot = None
        self._path.end()
        self._video.stop()
        if self._audio is not None:
            self._audio.stop()
        await peering.close(self._peer)
        self._control.detach()
        self._motion.detach()
        self._context.metrics.ended.labels(cause).inc()
        self._ended(self)

    def _failed(self) -> None:
        if self.state != "ended":
            self._run(self.end("Something went wrong in this session.", cause="error"))
