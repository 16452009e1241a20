"""The real Pipecat around ``VisavisVideoService``: speech, an interruption, the user's voice."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import numpy as np
from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    InterruptionFrame,
    OutputImageRawFrame,
    OutputTransportReadyFrame,
    SpeechOutputAudioRawFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

from visavis.streamer.integrations.pipecat import VisavisVideoService

RATE = 24_000
LOUD = 3000


class Sink(FrameProcessor):
    def __init__(self) -> None:
        super().__init__()
        self.frames: list[tuple[float, Frame]] = []
        self.errors: list[str] = []
        self.changed = asyncio.Condition()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        self.frames.append((time.monotonic(), frame))
        await self.push_frame(frame, direction)
        async with self.changed:
            self.changed.notify_all()

    async def until(self, condition: Any, limit_s: float = 15) -> None:
        async with asyncio.timeout(limit_s), self.changed:
            await self.changed.wait_for(condition)

    def of(self, kind: type[Frame]) -> list[Any]:
        return [frame for _, frame in self.frames if isinstance(frame, kind)]


class Errors(FrameProcessor):
    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, ErrorFrame):
            self.told.append(frame.error)
        await self.push_frame(frame, direction)


def peak(frame: SpeechOutputAudioRawFrame) -> int:
    return int(np.abs(np.frombuffer(frame.audio, "<i2").astype(int)).max(initial=0))


def tone(seconds: float) -> bytes:
    t = np.arange(int(seconds * RATE)) / RATE
    return (12_000 * np.sin(2 * np.pi * 300 * t)).astype("<i2").tobytes()


def brightness(frame: OutputImageRawFrame) -> float:
    width, height = frame.size
    picture = np.frombuffer(frame.image, np.uint8).reshape(height, width, 3)
    return float(picture[120:136, 120:136].mean())


async def scenario(worker: PipelineWorker, sink: Sink, service: VisavisVideoService) -> dict:
    def loud() -> bool:
        spoken = sink.of(SpeechOutputAudioRawFrame)
        return bool(spoken) and peak(spoken[-1]) > LOUD

    async def say(seconds: float, stereo: bool = False) -> None:
        pcm = tone(seconds)
        if stereo:
            pcm = np.repeat(np.frombuffer(pcm, "<i2"), 2).tobytes()
        frames: list[Frame] = [TTSStartedFrame()]
        step = RATE // 50 * (4 if stereo else 2)
        for at in range(0, len(pcm), step):
            frames.append(TTSAudioRawFrame(pcm[at : at + step], RATE, 1 + stereo))
        await worker.queue_frames([*frames, TTSStoppedFrame()])

    await worker.queue_frame(OutputTransportReadyFrame())
    await sink.until(lambda: sink.of(OutputImageRawFrame))
    began = time.monotonic()
    await say(1.0)
    await sink.until(lambda: sink.of(TTSStoppedFrame))
    first = next(
        at
        for at, f in sink.frames
        if at > began and isinstance(f, OutputImageRawFrame) and brightness(f) > 160
    )
    pairs, image = [], None
    for _, frame in sink.frames:
        if isinstance(frame, OutputImageRawFrame):
            image = frame
        elif isinstance(frame, SpeechOutputAudioRawFrame) and image is not None:
            sound = np.frombuffer(frame.audio, "<i2") / 32_768
            pairs.append((float(np.sqrt(np.mean(sound**2))), brightness(image)))
    seen = {
        "first_ms": round(1e3 * (first - began)),
        "pictures": len(sink.of(OutputImageRawFrame)),
        "size": sink.of(OutputImageRawFrame)[-1].size,
        "agree": float(np.corrcoef(np.array(pairs[2:]).T)[0, 1]),
        "position": service.playback_position,
        "passed_on": len(sink.of(TTSAudioRawFrame)),
    }
    await worker.queue_frame(InputAudioRawFrame(tone(0.2), RATE, 1))
    await say(10.0, stereo=True)
    await sink.until(loud)
    await asyncio.sleep(1.0)
    cut = time.monotonic()
    await worker.queue_frame(InterruptionFrame())
    await sink.until(lambda: not loud())
    seen["silent_ms"] = round(1e3 * (time.monotonic() - cut))
    after = len(sink.frames)
    await sink.until(lambda: service.interrupted)
    seen["cut_at"] = service.playback_position
    await sink.until(lambda: len(sink.frames) > after + 30)
    quiet = [f for _, f in sink.frames[after:]]
    seen["loud_after"] = sum(
        peak(f) > LOUD for f in quiet if isinstance(f, SpeechOutputAudioRawFrame)
    )
    seen["last_level"] = brightness(sink.of(OutputImageRawFrame)[-1])
    await say(0.5)  # and the end waits for it
    await worker.queue_frame(EndFrame())
    return seen


async def main(url: str, avatar: str) -> None:
    sink, errors = Sink(), Errors()
    service = VisavisVideoService(url=url, avatar=avatar, size=256)
    pipeline = Pipeline([errors, service, sink])
    worker = PipelineWorker(pipeline, cancel_on_idle_timeout=False)
    started = asyncio.Event()

    @worker.event_handler("on_pipeline_started")
    async def on_pipeline_started(worker: PipelineWorker, frame: Frame) -> None:
        started.set()

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)

    async def go() -> dict:
        await asyncio.wait_for(started.wait(), 15)
        if errors.told:
            await worker.queue_frame(EndFrame())
            return {}
        return await scenario(worker, sink, service)

    _, seen = await asyncio.gather(runner.run(), go())
    seen["errors"] = errors.told
    seen["end_position"] = service.playback_position
    print(json.dumps(seen))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
