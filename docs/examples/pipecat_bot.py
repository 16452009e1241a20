"""A Pipecat bot with a face: it repeats what it is told, by espeak-ng, as an avatar.

In an environment of its own, beside a running server (``visavis serve``)::

    pip install pipecat-ai websockets && pip install --no-deps visavis
    python pipecat_bot.py --say "Good morning." --out talk

writes what was said to ``talk.wav`` and the last picture to ``talk.png``. In a real bot a transport
stands in place of ``Film`` and a speech recogniser and a language model in place of ``Parrot``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import wave
from collections.abc import AsyncGenerator

from PIL import Image
from pipecat.frames.frames import (
    EndFrame,
    Frame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    OutputImageRawFrame,
    OutputTransportReadyFrame,
    SpeechOutputAudioRawFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TTSService
from pipecat.workers.runner import WorkerRunner

from visavis.streamer.integrations.pipecat import VisavisVideoService

ESPEAK_RATE = 22_050
WAV_HEADER = 44


class Parrot(FrameProcessor):
    """In the place of a language model: says what it hears."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Answer a transcription."""
        await super().process_frame(frame, direction)
        if not isinstance(frame, TranscriptionFrame):
            await self.push_frame(frame, direction)
            return
        await self.push_frame(LLMFullResponseStartFrame())
        await self.push_frame(LLMTextFrame(frame.text))
        await self.push_frame(LLMFullResponseEndFrame())


class Espeak(TTSService):
    """A voice that needs no network: a whole sentence at once."""

    def __init__(self) -> None:
        super().__init__(
            push_start_frame=True,
            push_stop_frames=True,
            stop_frame_timeout_s=0.3,
            sample_rate=ESPEAK_RATE,
            settings=TTSSettings(model=None, voice=None, language=None),
        )

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """Speak a sentence."""
        process = await asyncio.create_subprocess_exec(
            "espeak-ng", "--stdout", "--", text, stdout=asyncio.subprocess.PIPE
        )
        sound, _ = await process.communicate()
        yield TTSAudioRawFrame(
            audio=sound[WAV_HEADER:],
            sample_rate=ESPEAK_RATE,
            num_channels=1,
            context_id=context_id,
        )


class Film(FrameProcessor):
    """In the place of a transport: keeps the sound and the last picture."""

    def __init__(self) -> None:
        super().__init__()
        self.sound = bytearray()
        self.rate = 0
        self.pictures = 0
        self.last: Image.Image | None = None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Keep what is to be seen and heard."""
        await super().process_frame(frame, direction)
        if isinstance(frame, OutputImageRawFrame):
            self.pictures += 1
            self.last = Image.frombytes("RGB", frame.size, frame.image)
        elif isinstance(frame, SpeechOutputAudioRawFrame):
            self.rate = frame.sample_rate
            self.sound += frame.audio
        await self.push_frame(frame, direction)

    def write(self, name: str) -> None:
        """Write both."""
        with wave.open(f"{name}.wav", "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(self.rate)
            file.writeframes(bytes(self.sound))
        if self.last is not None:
            self.last.save(f"{name}.png")


async def main() -> None:
    """Say something."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--avatar", default="", help="the newest if left out")
    parser.add_argument("--say", default="Good morning. I am an avatar on your own machine.")
    parser.add_argument("--out", default="talk")
    wanted = parser.parse_args()
    film = Film()
    avatar = VisavisVideoService(
        url=wanted.url, avatar=wanted.avatar, token=os.environ.get("VISAVIS_TOKEN", "")
    )
    worker = PipelineWorker(
        Pipeline([Parrot(), Espeak(), avatar, film]), cancel_on_idle_timeout=False
    )
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await worker.queue_frames(
        [OutputTransportReadyFrame(), TranscriptionFrame(wanted.say, "user", ""), EndFrame()]
    )
    await runner.run()
    film.write(wanted.out)
    print(f"{film.pictures} pictures, {len(film.sound) / 2 / (film.rate or 1):.1f} s of sound")


if __name__ == "__main__":
    asyncio.run(main())
