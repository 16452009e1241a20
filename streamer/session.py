"""One viewer: a peer connection, a timeline, a slot in the worker and the two outgoing tracks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.exceptions import InvalidAccessError, InvalidStateError, OperationError
from numpy.typing import NDArray

from streamer import ice, signaling
from streamer.clock import Clock
from streamer.config import Config
from streamer.control import ControlChannel
from streamer.errors import BadRequest, VisavisError
from streamer.figures import SessionFigures
from streamer.media import rtcp
from streamer.media.audio_in import AudioIn, drain_receiver, tap_receiver
from streamer.media.delay import ReleaseDelay
from streamer.media.encoder import BitrateGovernor
from streamer.media.resample import StreamingResampler
from streamer.media.timeline import KEEP, RATE, Timeline
from streamer.media.tracks import VIDEO_RATE, AvatarAudioTrack, AvatarVideoTrack
from streamer.metrics import Metrics
from streamer.signaling import Offer
from streamer.worker.pipeline import RATE as MODEL_RATE
from streamer.worker.pipeline import SlotSpec
from streamer.worker.protocol import Packet
from streamer.worker.supervisor import Supervisor, WorkerSlot

logger = logging.getLogger(__name__)
BLOCK_S = 0.010  # how often missing sound is looked for
STATS_S = 1.0
_TELL_S = 3.0  # that a session which cannot be waits for the viewer to connect
_FLUSH_S = 0.2


@dataclass(frozen=True)
class Avatar:
    """What a session needs to know of an avatar."""

    id: str
    bundle: str


@dataclass(frozen=True)
class SessionContext:
    """What every session of a server shares."""

    config: Config
    clock: Clock
    wall: rtcp.WallClock
    metrics: Metrics
    supervisor: Supervisor
    find_avatar: Callable[[str], Avatar]


class Session:
    """From the offer to the end.

    Args:
        session_id: made by the server.
        context: what sessions share.
        avatar: who is shown.
        ended: told once, when everything is given back.
        size: width and height in pixels.
        probe: burn measuring marks into the picture.
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
    ) -> None:
        self.id = session_id
        self.avatar = avatar
        self.began_at = context.clock.now()
        self.state = "connecting"
        self.muted = False
        self._context = context
        self._ended = ended
        self._size = size
        self._probe = probe
        self._clock = context.clock
        self._media = context.config.media
        self._peer = RTCPeerConnection(
            RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        )
        self._control = ControlChannel(self._commands(), self._clock)
        self._delay = ReleaseDelay(
            self._media.fps, self._media.look_ahead_ms, float(self._media.ring_ms)
        )
        self._governor = BitrateGovernor(self._media.bitrate_kbps, self.began_at)
        self._timeline = Timeline(self.began_at)
        self._to_models = StreamingResampler(RATE, MODEL_RATE)
        self._fed = 0  # samples of the timeline that went to the models
        self._fed_out = 0  # as 16 kHz samples
        self._live = False
        self._slot: WorkerSlot | None = None
        self._video = AvatarVideoTrack(self._media.fps, self._request_keyframe)
        self._audio: AvatarAudioTrack | None = None
        self._microphone: AudioIn | None = None
        self._next_avatar: Avatar | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._candidates = 0
        self._figures = SessionFigures(context.metrics, self._media.fps)

    # ------------------------------------------------------------------ signalling

    async def answer(self, offer: Offer) -> str:
        """Take the offer; return the answer's SDP.

        Raises:
            BadRequest: the offer cannot be served.
        """
        peer = self._peer
        peer.addTransceiver("audio", direction="sendrecv")
        peer.addTransceiver("video", direction="sendonly")
        try:
            await peer.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
            video = self._place_tracks()
            signaling.negotiate_extensions(peer, offer)
            answer = await peer.createAnswer()
            for connection in ice.connections(peer):
                ice.harden(connection)
            self._run(self._open_slot(video._codecs[0].name.upper()))
            await peer.setLocalDescription(answer)
        except VisavisError:
            raise
        except (
            ValueError,
            KeyError,
            IndexError,
            AttributeError,
            TypeError,
            AssertionError,
            InvalidStateError,
            InvalidAccessError,
            OperationError,
        ) as error:
            logger.info("offer refused: %r", error)
            raise BadRequest("The offer cannot be answered: it does not fit this server.") from None
        peer.on("connectionstatechange", self._connection_changed)
        peer.on("datachannel", self._data_channel)
        self._run(self._watch())
        if peer.connectionState == "connected":
            self._connection_changed()
        return signaling.finish_answer(peer.localDescription.sdp)

    def _place_tracks(self) -> RTCRtpTransceiver:
        """Fill the first audio and video section, refuse any others; return the video."""
        first: dict[str, RTCRtpTransceiver] = {}
        for transceiver in self._peer.getTransceivers():
            if transceiver.kind in first:
                transceiver.direction = "inactive"
                drain_receiver(transceiver.receiver)
            else:
                first[transceiver.kind] = transceiver
        audio, video = first["audio"], first["video"]
        codec = audio._codecs[0]
        opus = codec.name.lower() == "opus"
        self._audio = AvatarAudioTrack(self._clock, self._read, self._release_sound, encoded=opus)
        self._microphone = AudioIn(audio._codecs, self._sound)
        tap_receiver(audio.receiver, self._microphone.take)
        drain_receiver(video.receiver)
        audio.sender.replaceTrack(self._audio)
        video.sender.replaceTrack(self._video)
        hooks = rtcp.SenderHooks(
            track=self._video,
            clock_rate=VIDEO_RATE,
            media_time=self._media_time,
            ntp=lambda: self._context.wall.ntp(self._clock.now()),
            keyframe=self._request_keyframe,
            bitrate=self._estimated,
            playout_delay_ms=self._media.playout_delay_max_ms,
        )
        rtcp.install(video.sender, hooks)
        rtcp.install(audio.sender, replace(hooks, track=self._audio, clock_rate=codec.clockRate))
        return video

    async def add_candidates(self, candidates: list[Any]) -> None:
        """Take trickled candidates; those that may not be contacted are left out.

        Raises:
            BadRequest: there are too many.
        """
        limit = self._context.config.limits.candidates
        self._candidates += len(candidates)
        if self._candidates > limit:
            raise BadRequest(f"A session may have no more than {limit} further candidates.")
        first = self._peer.getTransceivers()[0]
        for entry in candidates:
            text = entry.get("candidate") if isinstance(entry, dict) else None
            candidate = signaling.parse_candidate(text)
            if candidate is not None:
                candidate.sdpMid = first.mid  # everything is bundled
                with contextlib.suppress(ValueError, InvalidStateError):
                    await self._peer.addIceCandidate(candidate)

    # ------------------------------------------------------------------ connection

    def _connection_changed(self) -> None:
        state = self._peer.connectionState
        if state == "connected" and not self._live:
            self._begin()
        elif state in ("failed", "closed"):
            self._run(self.end("The connection was lost.", cause="connection"))

    def _begin(self) -> None:
        self._live = True
        self.state = "live"
        self._timeline = Timeline(self._clock.now())
        self._run(self._pace())

    def _data_channel(self, channel: RTCDataChannel) -> None:
        if channel.label == "control":
            self._control.attach(channel)

    async def _open_slot(self, codec: str) -> None:
        media = self._media
        spec = SlotSpec(
            bundle=self.avatar.bundle,
            size=self._size,
            fps=media.fps,
            look_ahead_ms=media.look_ahead_ms,
            ring_ms=media.ring_ms,
            bitrate_kbps=media.bitrate_kbps,
            codec=codec,
            seed=int.from_bytes(self.id.encode()[:4], "big"),
            probe=self._probe,
        )
        try:
            self._slot = await self._context.supervisor.open(spec, self)
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
            if not self._live and age > limits.connect_timeout_s:
                self._run(self.end("The connection could not be made in time.", cause="timeout"))
            elif age > limits.session_max_s:
                self._run(self.end("The session has reached its longest time.", cause="lifetime"))
            elif self._control.silent_s > limits.idle_timeout_s:
                self._run(self.end("The viewer has gone silent.", cause="idle"))
            elif self._live:
                self._figures.sound(self._timeline)
                self._control.send({"type": "stats", **self.figures()})

    # ------------------------------------------------------------------ media

    def _release(self, position: int) -> float:
        """Return when a media time, in 48 kHz samples, is due."""
        return self._timeline.start + position / RATE + self._delay.seconds

    def _release_sound(self, position: int) -> float:
        """Return when sound must leave to be heard when its picture, due then, is seen.

        A browser holds sound back longer than pictures (its jitter buffer and the sound device's
        blocks against ``playout-delay`` 0). The sender reports know nothing of this lead: they say
        what belongs together, not when it was sent.
        """
        return self._release(position) - self._media.sound_lead_ms / 1000

    def _media_time(self) -> float | None:
        """Return the seconds of media that are due now."""
        if not self._live:
            return None
        return self._clock.now() - self._timeline.start - self._delay.seconds

    def _sound(self, source_time: int, samples: NDArray[np.int16]) -> None:
        """Take decoded microphone sound."""
        if not self._live:
            return
        if self.muted:
            samples = np.zeros_like(samples)
        self._timeline.push(source_time, samples, self._clock.now())
        self._feed()

    def _feed(self) -> None:
        """Send what is new on the timeline to the models."""
        count = self._timeline.written - self._fed
        if count <= 0:
            return
        skipped = max(0, count - KEEP)  # only after a stall of seconds
        sound = self._timeline.read(self._fed + skipped, count - skipped)
        self._fed += count
        self._fed_out += skipped // 3
        narrow = self._to_models.push(sound.astype(np.float32))
        if self._slot is not None:
            pcm = np.clip(np.rint(narrow), -32_768, 32_767).astype(np.int16)
            self._slot.pcm(self._fed_out, pcm)
        self._fed_out += len(narrow)

    def _read(self, position: int, count: int) -> NDArray[np.int16]:
        return self._timeline.read(position, count)

    async def _pace(self) -> None:
        """Keep media time going and release frames at their ticks."""
        fps, timeline, block, frame = self._media.fps, self._timeline, 0, 0
        while True:
            now = self._clock.now()
            timeline.fill(now)
            self._feed()
            due = int((now - timeline.start - self._delay.seconds + 1e-4) * fps)
            if due >= frame and now >= timeline.start + self._delay.seconds:
                if self._slot is not None:
                    self._slot.tick(due)
                frame = due + 1
            block = max(block + 1, int((now - timeline.start) / BLOCK_S))
            tick = timeline.start + frame / fps + self._delay.seconds
            await self._clock.sleep_until(min(timeline.start + block * BLOCK_S, max(tick, now)))

    def _request_keyframe(self) -> None:
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
        now, fps = self._clock.now(), self._media.fps
        self._video.put(packet.frame, packet.data, packet.keyframe)
        on_time = self._figures.packet(packet, now)
        self._delay.observe(on_time=on_time, waited_ms=packet.ring_ms)
        self._context.metrics.delay.set(1e3 * self._delay.seconds)
        middle = round((packet.frame + 0.5) * RATE / fps)
        self._figures.age(self._timeline.arrival(middle), now)
        if self._audio is not None and self._audio.sent_at:
            sound = self._audio.sent_at - self._release_sound(self._audio.sent_position)
            picture = now - self._release(round(packet.frame * RATE / fps))
            self._figures.skew(picture - sound)

    def on_worker(self, state: str) -> None:
        """Tell the viewer that the worker was lost or is back."""
        if state == "lost":
            self._video.clear()
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
        }

    def interrupt(self) -> None:
        """Barge-in: sound, coefficients and pictures on their way are dropped at once."""
        if self._live and self._audio is not None:
            self._timeline.hush(self._audio.position)
        if self._slot is not None:
            self._slot.interrupt()

    def _mute(self, message: dict[str, Any]) -> None:
        self.muted = message.get("on") is True

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
            "delay_ms": round(1e3 * self._delay.seconds),
        }

    def describe(self) -> dict[str, Any]:
        """Return the session as ``/api/sessions`` lists it."""
        age = self._clock.now() - self.began_at
        return {
            "pc_id": self.id,
            "avatar_id": self.avatar.id,
            "state": self.state,
            "seconds": round(age, 1),
            "bitrate_kbps": self._governor.kbps,
            **self.figures(),
        }

    async def end(self, reason: str, *, cause: str) -> None:
        """Tell the viewer why, and give everything back. Safe to call twice."""
        if self.state == "ended":
            return
        self.state = "ended"
        self._control.send({"type": "ended", "reason": reason, "cause": cause})
        await self._control.flush(_FLUSH_S)
        current = asyncio.current_task()
        others = [task for task in self._tasks if task is not current]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        if self._slot is not None:
            self._slot.close()
            self._slot = None
        self._video.stop()
        if self._audio is not None:
            self._audio.stop()
        self._peer.remove_all_listeners()
        try:
            await self._peer.close()
        except Exception:  # whatever is broken in there, the place must become free
            logger.exception("peer connection did not close cleanly")
        self._control.detach()
        self._context.metrics.ended.labels(cause).inc()
        self._ended(self)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("session %s failed", self.id, exc_info=error)
            if self.state != "ended":
                self._run(self.end("Something went wrong in this session.", cause="error"))
