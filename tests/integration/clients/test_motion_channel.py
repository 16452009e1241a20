"""The data channel ``motion`` and the other side's sound, over real sockets and a real worker."""

from __future__ import annotations

import os
import signal

import numpy as np
from numpy.typing import NDArray

from tests.fakes.fake_microphone import RATE, FakeMicrophone, Viewer, beeps
from tests.integration.conftest import StartServer
from tests.integration.test_live import LOUD
from visavis.streamer.session.channels.motion_channel import MotionFrame, decode


def listen(viewer: Viewer) -> list[MotionFrame]:
    """Open the channel as the browser's client does; return where its messages will be."""
    got: list[MotionFrame] = []
    channel = viewer.pc.createDataChannel("motion", ordered=False, maxRetransmits=0)

    @channel.on("message")
    def _take(data: bytes) -> None:
        got.append(decode(data))
        viewer.notify()

    return got


def uneven_beeps() -> NDArray[np.int16]:
    """Tones of random length and distance, so that no shift in time looks like another."""
    rng = np.random.default_rng(5)
    lengths = rng.uniform(0.2, 0.8, 60)
    pieces = [np.full(int(s * RATE), i % 2, float) for i, s in enumerate(lengths)]
    gate = np.concatenate(pieces)
    tone = np.sin(2 * np.pi * 440 * np.arange(len(gate)) / RATE)
    return (16_000 * gate * tone).astype(np.int16)


def agreement(viewer: Viewer, frames: list[MotionFrame], shift: int) -> float:
    """Return the share of pictures that are as bright as the frame ``shift`` later is loud."""
    loud = {f.frame: f.values[0] > 0.1 for f in frames}
    dark = min(p.level for p in viewer.frames)
    both = [
        (picture.level > dark + LOUD) == loud[number]
        for picture in viewer.frames
        if (number := round(25 * picture.media_s) + shift) in loud
    ]
    return float(np.mean(both)) if len(both) > 50 else 0.0


async def test_coefficients_come_with_their_pictures(start_server: StartServer) -> None:
    async with start_server() as live:
        viewer = Viewer(live.http, FakeMicrophone(uneven_beeps()))
        frames = listen(viewer)
        await viewer.connect()
        await viewer.until(lambda: min(len(viewer.frames), len(frames)) >= 120, 30)
        numbers = np.array([f.frame for f in frames])
        assert (np.diff(numbers) == 1).mean() > 0.9  # one per picture; few are lost
        assert {f.fps for f in frames} == {25.0} and frames[-1].dropped == 0
        # A decoder counts picture times from its first one, the channel from the session's start:
        # they are one constant apart, and with it every picture is the frame it is said to be.
        fits = {shift: agreement(viewer, frames, shift) for shift in range(100)}
        best = max(fits, key=lambda shift: fits[shift])
        assert fits[best] > 0.9, fits
        assert all(fits[s] < fits[best] - 0.05 for s in fits if 3 <= abs(s - best) <= 20)
        newest = frames[-1].frame - (round(25 * viewer.frames[-1].media_s) + best)
        assert abs(newest) <= 25  # told when its picture is sent, neither long before nor after
        await viewer.close()


async def test_a_new_worker_goes_on_telling(start_server: StartServer) -> None:
    async with start_server() as live:
        viewer = Viewer(live.http, FakeMicrophone(beeps(20)))
        frames = listen(viewer)
        await viewer.connect()
        await viewer.until(lambda: len(frames) >= 10)
        supervisor = live.services.supervisor
        os.kill(supervisor.pids[0], signal.SIGKILL)
        await viewer.until(lambda: any(m["state"] == "recovered" for m in viewer.of("worker")), 20)
        last = frames[-1].frame
        await viewer.until(lambda: frames[-1].frame > last + 10)
        await viewer.close()


async def test_nothing_is_told_to_those_who_do_not_ask(start_server: StartServer) -> None:
    async with start_server() as live:
        viewer = Viewer(live.http, FakeMicrophone(beeps(20)))
        frames = listen(viewer)
        other = Viewer(live.http, FakeMicrophone(beeps(20)))
        told: list[object] = []
        await viewer.connect()
        await other.connect()
        other.pc.on("datachannel", told.append)
        await viewer.until(lambda: len(frames) >= 10)
        slots = live.services.supervisor._slots.values()
        assert sorted(slot._motion for slot in slots) == [False, True]
        assert told == []
        await viewer.close()
        await other.close()


async def test_the_other_side_reaches_the_models(start_server: StartServer) -> None:
    """A second audio section, sent only: what the avatar listens to."""
    async with start_server() as live:
        viewer = Viewer(live.http, FakeMicrophone(np.zeros(480, np.int16)))
        frames = listen(viewer)
        viewer.also = FakeMicrophone(beeps(20, every_s=1.0, length_s=0.5))
        await viewer.connect()
        await viewer.until(lambda: any(f.values[2] > 0.2 for f in frames), 20)
        await viewer.until(lambda: frames[-1].values[2] < 0.05, 20)
        heard = [f for f in frames if f.values[2] > 0.2]
        assert max(f.values[0] for f in heard) < 0.05  # it is not taken for the speaker's own
        await viewer.close()
