"""A Vis-à-vis avatar as a video service of Pipecat: its voice goes in, picture and sound come out.

It stands behind the speech service of a pipeline and speaks with a running server over its agent
socket. Pipecat wants a protobuf that the server's own libraries refuse, so they are installed
apart: in the bot's environment ``pip install pipecat-ai websockets``, then
``pip install --no-deps visavis``.
"""

# Types are checked in part: pipecat, an extra that is not installed where types are checked.
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    CancelFrame,
    EndFrame,
    Frame,
    InputAudioRawFrame,
    InterruptionFrame,
    OutputImageRawFrame,
    OutputTransportReadyFrame,
    SpeechOutputAudioRawFrame,
    StartFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.ai_service import AIService
from pipecat.services.settings import ServiceSettings

from visavis.streamer.errors import VisavisError
from visavis.streamer.integrations.agent import AgentEvent, AvatarClient, AvatarFrame
from visavis.streamer.integrations.pictures import rgb
from visavis.streamer.media.raw_frames import RATE

_NANOSECOND = 1_000_000_000
_LONGEST_S = 65.0  # that speech may wait on the server, and a little


class VisavisVideoService(AIService):
    """Draws who speaks.

    Takes ``TTSAudioRawFrame`` at any pace and rate and pushes, in media time, each picture as an
    ``OutputImageRawFrame`` followed by its sound as a ``SpeechOutputAudioRawFrame``. An
    ``InterruptionFrame`` makes it silent at once; ``TTSStoppedFrame`` is passed on when what was
    said has been seen. The user's own sound, where it reaches the service, is what the avatar
    listens to. The transport's ``video_out_width`` and ``-height`` should be the avatar's.

    Args:
        url: of the Vis-à-vis server, on the same machine.
        avatar: its id; the newest if empty.
        token: of the server, if it asks for one.
        size: of the pictures in pixels: 256, 384 or 512; the server's if 0.
        mood: ``neutral``, ``warm``, ``serious``, ``lively`` or ``conversational``.
        options: of ``AIService``.

    Attributes:
        playback_position: seconds of the last utterance that were heard, once it was over.
        interrupted: whether that one was broken off.
    """

    def __init__(
        self,
        *,
        url: str = "http://127.0.0.1:8080",
        avatar: str = "",
        token: str = "",
        size: int = 0,
        mood: str = "neutral",
        **options: Any,
    ) -> None:
        super().__init__(settings=ServiceSettings(model=None), **options)
        self._client = AvatarClient(url, avatar=avatar, token=token, size=size, mood=mood, raw=True)
        self._connected = False
        self._shows = False
        self._task: Any = None
        self._over = 0  # so many segments are over
        self._changed = asyncio.Event()
        self._held: deque[tuple[int, TTSStoppedFrame]] = deque()
        self.playback_position = 0.0
        self.interrupted = False

    def can_generate_metrics(self) -> bool:
        """Whether it measures how long the first speech takes."""
        return True

    async def start(self, frame: StartFrame) -> None:
        """Connect and let the avatar live."""
        await super().start(frame)
        try:
            await self._client.__aenter__()
        except (VisavisError, ConnectionError, TimeoutError) as error:
            await self.push_error(error_msg=f"The avatar cannot be had: {error}", exception=error)
            return
        self._connected = True
        self._task = self.create_task(self._forward())

    async def stop(self, frame: EndFrame) -> None:
        """Leave when everything has been said."""
        await super().stop(frame)
        await self._try(self._client.flush())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_S):
                while self._connected and self._over < self._client.segment:
                    self._changed.clear()
                    await self._changed.wait()
        await self._leave()

    async def cancel(self, frame: CancelFrame) -> None:
        """Leave at once."""
        await super().cancel(frame)
        await self._leave()

    async def cleanup(self) -> None:
        """Leave, if neither was called."""
        await super().cleanup()
        await self._leave()

    async def _leave(self) -> None:
        self._connected = False
        if self._task is not None:
            task, self._task = self._task, None
            await self.cancel_task(task)
        await self._client.close()

    # ------------------------------------------------------------------ what comes in

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Take what is to be said; pass everything else on."""
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSAudioRawFrame):
            await self._try(self._say(frame))
            return
        if isinstance(frame, TTSStoppedFrame):
            await self._try(self._client.flush())
            if self._connected and self._over < self._client.segment:
                self._held.append((self._client.segment, frame))
                return
        if isinstance(frame, TTSStartedFrame):
            await self.start_ttfb_metrics()
        elif isinstance(frame, InterruptionFrame):
            await self._hush()
        elif isinstance(frame, BotStartedSpeakingFrame):
            await self.stop_ttfb_metrics()
        elif isinstance(frame, OutputTransportReadyFrame):
            self._shows = True
        elif isinstance(frame, InputAudioRawFrame) and self._connected:
            mono = _mono(frame.audio, frame.num_channels)
            await self._try(self._client.hear(mono, frame.sample_rate))
        await self.push_frame(frame, direction)

    async def _say(self, frame: TTSAudioRawFrame) -> None:
        await self._client.append(_mono(frame.audio, frame.num_channels), frame.sample_rate)

    async def _hush(self) -> None:
        """Break off; what was said before is passed over even where it is on its way already."""
        self._held.clear()
        await self._try(self._client.clear())
        self._over = self._client.segment

    async def _try(self, work: Any) -> None:
        if not self._connected:
            work.close()
            return
        try:
            await work
        except VisavisError as error:
            await self.push_error(error_msg=str(error), exception=error)

    # ------------------------------------------------------------------ what comes back

    async def _forward(self) -> None:
        async for item in self._client.media():
            if isinstance(item, AvatarFrame):
                if self._shows:
                    await self._show(item)
            else:
                await self._told(item)

    async def _show(self, frame: AvatarFrame) -> None:
        picture = rgb(frame.picture)
        image = OutputImageRawFrame(image=picture.tobytes(), size=picture.size, format="RGB")
        image.sync_with_audio = True  # shown when the sound before it has been played
        image.pts = round(frame.media_time * _NANOSECOND)
        await self.push_frame(image)
        await self.push_frame(
            SpeechOutputAudioRawFrame(
                audio=self._wanted(frame).tobytes(), sample_rate=RATE, num_channels=1
            )
        )

    def _wanted(self, frame: AvatarFrame) -> NDArray[np.int16]:
        """Return a frame's sound without what was interrupted while it was on its way."""
        sound = np.zeros_like(frame.sound)
        for span in self._client.wanted(frame):
            part = slice(span.first, span.first + span.count)
            sound[part] = frame.sound[part]
        return sound

    async def _told(self, event: AgentEvent) -> None:
        if event.type in ("finished", "interrupted"):
            self.playback_position = event.playback_position
            self.interrupted = event.type == "interrupted"
            self._over = max(self._over, event.segment + 1)
            self._changed.set()
        if event.type == "finished":
            while self._held and self._held[0][0] <= self._over:
                await self.push_frame(self._held.popleft()[1])
        elif event.type in ("error", "ended"):
            self._connected = self._connected and event.type != "ended"
            self._changed.set()
            words = event.details.get("message") or event.details.get("reason")
            await self.push_error(error_msg=str(words))


def _mono(audio: bytes, channels: int) -> NDArray[np.int16]:
    samples = np.frombuffer(audio[: len(audio) // (2 * channels) * 2 * channels], "<i2")
    if channels == 1:
        return samples.astype(np.int16)
    return samples.reshape(-1, channels).mean(axis=1).astype(np.int16)
