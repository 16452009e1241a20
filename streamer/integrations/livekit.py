"""A Vis-à-vis avatar for LiveKit's agents: in the agent's own process, or in a worker beside it.

LiveKit's packages want a protobuf that the server's own libraries refuse, so they are installed
apart: in the agent's environment ``pip install livekit-agents websockets``, then
``pip install --no-deps visavis``.
"""

# Types are checked in part: livekit, an extra that is not installed where types are checked.
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import numpy as np
from livekit import api, rtc
from livekit.agents import AgentSession, get_job_context
from livekit.agents.types import ATTRIBUTE_PUBLISH_ON_BEHALF
from livekit.agents.voice.avatar import (
    AudioReceiver,
    AudioSegmentEnd,
    AvatarOptions,
    AvatarRunner,
    DataStreamAudioOutput,
    QueueAudioOutput,
    VideoGenerator,
)
from livekit.agents.voice.avatar import AvatarSession as BaseAvatarSession

from visavis.streamer.errors import BadRequest
from visavis.streamer.integrations.agent import AvatarClient, AvatarFrame
from visavis.streamer.media.raw_frames import RATE

SPEECH_RATE = 24_000  # Hz, of what is asked of the agent's voice
_IDENTITY = "visavis-avatar"
_WORKER_S = 30.0  # that a worker may take to join the room


class VisavisGenerator(VideoGenerator):
    """Draws what is said; what LiveKit's ``AvatarRunner`` is given.

    Pictures come all the time, sound only while there is speech: exactly the samples that were
    pushed, so that the runner's playback position is what was heard.

    Args:
        client: connected, with raw pictures.
    """

    def __init__(self, client: AvatarClient) -> None:
        self._client = client

    @property
    def options(self) -> AvatarOptions:
        """What the runner has to know."""
        return AvatarOptions(
            video_width=self._client.width,
            video_height=self._client.height,
            video_fps=self._client.fps,
            audio_sample_rate=RATE,
            audio_channels=1,
        )

    async def push_audio(self, frame: rtc.AudioFrame | AudioSegmentEnd) -> None:
        """Say something, at any pace and rate."""
        if isinstance(frame, AudioSegmentEnd):
            await self._client.flush()
            return
        samples = np.frombuffer(frame.data, np.int16)
        if frame.num_channels > 1:
            samples = samples.reshape(-1, frame.num_channels).mean(axis=1).astype(np.int16)
        await self._client.append(samples, frame.sample_rate)

    async def clear_buffer(self) -> None:
        """Be silent at once: nothing of what was said is yielded any more."""
        await self._client.clear()

    async def __aiter__(  # type: ignore[override]
        self,
    ) -> AsyncIterator[rtc.VideoFrame | rtc.AudioFrame | AudioSegmentEnd]:
        """Yield each picture, then its speech, and the end of a segment after its last."""
        async for item in self._client.media():
            if isinstance(item, AvatarFrame):
                height, width = item.picture.shape[0] * 2 // 3, item.picture.shape[1]
                data = item.picture.tobytes()
                yield rtc.VideoFrame(width, height, rtc.VideoBufferType.I420, data)
                parts = [item.sound[s.first : s.first + s.count] for s in self._client.wanted(item)]
                if parts:
                    speech = np.concatenate(parts)
                    yield rtc.AudioFrame(speech.tobytes(), RATE, 1, len(speech))
            elif item.type == "finished" and item.segment >= self._client.wanted_from:
                yield AudioSegmentEnd()


class AvatarSession(BaseAvatarSession[str]):
    """The face of an ``AgentSession``.

    Example::

        avatar = visavis.streamer.integrations.livekit.AvatarSession("http://127.0.0.1:8080")
        await avatar.start(agent_session, room=ctx.room)
        await agent_session.start(agent=..., room=ctx.room)

    Args:
        url: of the Vis-à-vis server, on the same machine; not used with a worker.
        worker: address of a ``visavis livekit-worker``, which joins the room in the agent's place;
            without, the agent's own participant publishes the avatar.
        avatar: its id; the newest if empty.
        size: of the pictures in pixels; the server's if 0.
        mood: as everywhere.
        token: of the server, or of the worker.
        identity: of the worker's participant.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8080",
        *,
        worker: str = "",
        avatar: str = "",
        size: int = 0,
        mood: str = "neutral",
        token: str = "",
        identity: str = _IDENTITY,
    ) -> None:
        super().__init__()
        self._url, self._worker, self._token = url, worker, token
        self._wishes: dict[str, Any] = {"avatar": avatar, "size": size, "mood": mood}
        self._identity = identity
        self._client: AvatarClient | None = None
        self._runner: AvatarRunner | None = None

    @property
    def avatar_identity(self) -> str:
        """The participant that publishes the avatar."""
        if not self._worker and self._room is not None:
            return str(self._room.local_participant.identity)
        return self._identity

    @property
    def provider(self) -> str:
        """Whose avatar it is."""
        return "visavis"

    async def start(
        self,
        agent_session: AgentSession[Any],
        room: rtc.Room,
        *,
        livekit_url: str = "",
        livekit_api_key: str = "",
        livekit_api_secret: str = "",
    ) -> None:
        """Begin; what the agent says from now on, the avatar says.

        Args:
            agent_session: whose voice it takes.
            room: the agent's.
            livekit_url: for a worker; ``LIVEKIT_URL`` if left out.
            livekit_api_key: likewise, ``LIVEKIT_API_KEY``.
            livekit_api_secret: likewise, ``LIVEKIT_API_SECRET``.

        Raises:
            BadRequest: the avatar cannot be had; the sentence says why.
            ConnectionError: server or worker cannot be reached.
        """
        await super().start(agent_session, room)
        if not self._worker:
            agent_session.output.replace_audio_tail(await self._begin_here(room))
            return
        token = self._room_token(
            room,
            livekit_api_key or os.environ.get("LIVEKIT_API_KEY", ""),
            livekit_api_secret or os.environ.get("LIVEKIT_API_SECRET", ""),
        )
        await self._begin_there(room, livekit_url or os.environ.get("LIVEKIT_URL", ""), token)
        agent_session.output.replace_audio_tail(
            DataStreamAudioOutput(
                room,
                destination_identity=self._identity,
                sample_rate=SPEECH_RATE,
                wait_remote_track=rtc.TrackKind.KIND_VIDEO,
                wait_playback_start=True,
            )
        )

    async def _begin_here(self, room: rtc.Room) -> QueueAudioOutput:
        output = QueueAudioOutput(sample_rate=SPEECH_RATE, wait_playback_start=True)
        self._client = AvatarClient(self._url, raw=True, token=self._token, **self._wishes)
        self._runner = await run_avatar(self._client, room, output)
        return output

    def _room_token(self, room: rtc.Room, key: str, secret: str) -> str:
        """Return what lets the worker publish in the agent's place."""
        if not key or not secret:
            raise BadRequest("A worker needs LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET.")
        return (
            api.AccessToken(api_key=key, api_secret=secret)
            .with_kind("agent")
            .with_identity(self._identity)
            .with_name(self._identity)
            .with_grants(api.VideoGrants(room_join=True, room=room.name))
            .with_attributes({ATTRIBUTE_PUBLISH_ON_BEHALF: _own_identity(room)})
            .to_jwt()
        )

    async def _begin_there(self, room: rtc.Room, livekit_url: str, token: str) -> None:
        wanted = {
            **self._wishes,
            "livekit_url": livekit_url,
            "livekit_token": token,
            "sender": _own_identity(room),
        }
        headers = {"authorization": f"Bearer {self._token}"} if self._token else {}
        limit = aiohttp.ClientTimeout(total=_WORKER_S)
        address = f"{self._worker.rstrip('/')}/avatars"
        try:
            async with (
                aiohttp.ClientSession(timeout=limit, headers=headers) as http,
                http.post(address, json=wanted) as answer,
            ):
                said = await answer.json()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise ConnectionError(f"The worker cannot be reached: {error}") from None
        if answer.status != 201:
            raise BadRequest(str(said.get("error", f"The worker answered {answer.status}.")))

    async def aclose(self) -> None:
        """End; the worker ends by itself when its room does or the agent leaves."""
        if self._runner is not None:
            await self._runner.aclose()
            self._runner = None
        if self._client is not None:
            await self._client.close()
            self._client = None
        await super().aclose()


async def run_avatar(client: AvatarClient, room: rtc.Room, receiver: AudioReceiver) -> AvatarRunner:
    """Connect a client and let LiveKit's runner publish what it shows.

    Raises:
        BadRequest: the avatar cannot be had.
        ConnectionError: the server cannot be reached.
    """
    await client.__aenter__()
    generator = VisavisGenerator(client)
    runner = AvatarRunner(room, audio_recv=receiver, video_gen=generator, options=generator.options)
    try:
        await runner.start()
    except BaseException:
        await client.close()
        raise
    return runner


def _own_identity(room: rtc.Room) -> str:
    job = get_job_context(required=False)
    return str(
        job.local_participant_identity if job is not None else room.local_participant.identity
    )
