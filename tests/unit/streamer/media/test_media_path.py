"""Both tracks on one media clock, with a clock that is turned by hand."""

from __future__ import annotations

import asyncio

import av
import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError
from numpy.typing import NDArray

from tests.fakes.fake_clock import FakeClock
from visavis.streamer.config import MediaConfig
from visavis.streamer.media.path import MODEL_RATE, MediaPath
from visavis.streamer.media.timeline import RATE
from visavis.streamer.webrtc.rtp.tracks import (
    OpusEncoder,
    RawSoundTrack,
    SoundRelease,
    release_opus,
)

BLOCK = RATE // 100


class Models:
    def __init__(self) -> None:
        self.samples = np.zeros(0, np.int16)

    def hear(self, position: int, samples: NDArray[np.int16]) -> None:
        assert position == len(self.samples), "no sample is missing and none comes twice"
        self.samples = np.concatenate([self.samples, samples])


def make() -> tuple[FakeClock, MediaPath, Models]:
    clock, models = FakeClock(), Models()
    path = MediaPath(MediaConfig(look_ahead_ms=80), clock, models.hear)
    path.begin()
    return clock, path, models


async def speak(clock: FakeClock, path: MediaPath, blocks: int, start: int = 0) -> None:
    """Play a 440 Hz tone in real time."""
    for i in range(start, start + blocks):
        await clock.advance(0.01)
        path.fill()
        t = np.arange(i * BLOCK, (i + 1) * BLOCK) / RATE
        path.sound(i * BLOCK, (9000 * np.sin(2 * np.pi * 440 * t)).astype(np.int16))


async def test_a_frame_is_due_with_its_sound_and_the_look_ahead_paid_for() -> None:
    clock, path, _ = make()
    assert path.due_frame() < 0
    await clock.advance(path.delay.seconds - 0.001)
    assert path.due_frame() == -1
    await clock.advance(0.0015)
    assert path.due_frame() == 0
    await clock.advance(0.4)
    assert path.due_frame() == 10
    assert path.delay.seconds == pytest.approx(0.04 + 0.08 + 0.045)


async def test_the_models_hear_every_sample_once_whatever_happens() -> None:
    clock, path, models = make()
    await speak(clock, path, 50)
    for _ in range(100):  # a second without the microphone
        await clock.advance(0.01)
        path.fill()
    await speak(clock, path, 50, start=150)
    assert abs(len(models.samples) - 2 * MODEL_RATE) <= MODEL_RATE // 20
    assert models.samples[MODEL_RATE // 4 :].any()


async def test_after_a_long_sleep_the_count_is_right_at_once() -> None:
    clock, heard = FakeClock(), list[tuple[int, int]]()
    path = MediaPath(MediaConfig(), clock, lambda position, pcm: heard.append((position, len(pcm))))
    path.begin()
    await clock.advance(20)
    path.fill()
    position, count = heard[-1]
    assert abs(position + count - 20 * MODEL_RATE) <= MODEL_RATE // 20
    assert count <= 4 * MODEL_RATE, "nobody is made to hear twenty seconds of nothing"


@pytest.mark.parametrize(("fps", "ahead_ms"), [(25, 80), (25, 0), (20, 80), (20, 40)])
async def test_models_are_told_when_a_frame_is_complete_and_no_later(
    fps: int, ahead_ms: int
) -> None:
    clock, told = FakeClock(), []
    media = MediaConfig(fps=fps, look_ahead_ms=ahead_ms)
    path = MediaPath(media, clock, lambda position, pcm: told.append(position + len(pcm)))
    path.begin()
    await speak(clock, path, 100)
    needs = [(n + 1) * MODEL_RATE // fps + ahead_ms * MODEL_RATE // 1000 for n in range(fps)]
    packet = MODEL_RATE // 100
    expected = [-(-need // packet) * packet for need in needs if need <= MODEL_RATE]
    assert told == expected


async def test_muted_is_silence_at_the_same_pace() -> None:
    clock, path, models = make()
    path.muted = True
    await speak(clock, path, 100)
    assert len(models.samples) == MODEL_RATE and not models.samples.any()


def sound(clock: FakeClock, path: MediaPath, block: int = BLOCK) -> SoundRelease:
    return SoundRelease(clock, path.read, path.release_sound, block)


async def test_sound_leaves_with_its_picture_but_for_the_lead() -> None:
    clock, path, _ = make()
    release = sound(clock, path)
    departures: list[tuple[float, int]] = []

    async def send() -> None:
        while True:
            position, _ = await release.next()
            departures.append((clock.now(), position))

    sending = asyncio.ensure_future(send())
    await speak(clock, path, 100)
    sending.cancel()
    lead = MediaConfig().sound_lead_ms / 1000
    assert [p for _, p in departures] == [i * BLOCK for i in range(len(departures))]
    for at, position in departures:
        assert at == pytest.approx(path.release(position) - lead, abs=1e-6)
    assert len(departures) == pytest.approx((1 - path.delay.seconds + lead) * 100, abs=2)


async def test_more_delay_moves_both_and_changes_no_timestamp() -> None:
    clock, path, _ = make()
    release = sound(clock, path)
    await clock.advance(0.5)
    before = path.due_frame()
    path.delay.headroom_ms += 40
    assert path.due_frame() == before - 1
    media = path.media_time()
    assert media is not None and media == pytest.approx(0.5 - path.delay.seconds)
    position, _ = await release.next()
    assert position == release.sent_position


async def test_sound_that_is_far_behind_is_skipped_not_played_fast() -> None:
    clock, path, _ = make()
    release = sound(clock, path)
    await clock.advance(3.0)
    await release.next()
    lateness = clock.now() - path.release_sound(release.sent_position)
    assert 0 <= lateness < 0.011
    assert release.skipped > 0


async def test_encoded_sound_says_by_how_much_a_decoder_is_late() -> None:
    clock, path, _ = make()
    sent: list[tuple[int, bytes]] = []
    wanted = [False]
    work = release_opus(
        sound(clock, path), lambda: wanted[0], lambda data, pts: sent.append((pts, data))
    )
    sending = asyncio.ensure_future(work)
    await speak(clock, path, 60)
    assert not sent, "nobody listens, nothing is encoded"
    wanted[0] = True
    await speak(clock, path, 40)
    sending.cancel()
    assert len(sent) >= 38
    assert all((pts + OpusEncoder.look_ahead) % BLOCK == 0 and data for pts, data in sent)


async def test_other_codecs_get_frames() -> None:
    clock, path, _ = make()
    track = RawSoundTrack(sound(clock, path, 2 * BLOCK))
    await clock.advance(0.2)
    frame = await track.recv()
    assert isinstance(frame, av.AudioFrame)
    assert (frame.samples, frame.sample_rate, frame.pts) == (2 * BLOCK, RATE, 0)
    with pytest.raises(MediaStreamError):
        track.stop()
        await track.recv()


async def test_sound_ahead_of_the_clock_does_not_make_the_delay_believe_in_more_headroom() -> None:
    clock, path, _ = make()
    await speak(clock, path, 8)
    assert path.in_hand_ms(3, clock.now(), 90.0, 10.0) == 90.0, "a microphone's waits are real"
    path.speak(np.zeros(RATE // 2, np.int16))
    complete = path.timeline.start + (path.needed_by(12) + 1) / RATE
    assert path.in_hand_ms(12, complete + 0.030, 90.0, 10.0) == pytest.approx(20.0)
    assert path.in_hand_ms(12, complete + 0.030, 15.0, 10.0) == 15.0
    await speak(clock, path, 1)
    assert path.in_hand_ms(12, clock.now(), 90.0, 10.0) == 90.0
