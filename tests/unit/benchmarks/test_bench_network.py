"""The relay's decisions, its way through ICE, and the figures of a call through it."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from visavis.benchmarks.common import BenchmarkError
from visavis.benchmarks.network.summary import (
    Phases,
    lateness,
    recovery_ms,
    smooth_again_ms,
    summarise,
)
from visavis.benchmarks.relay import (
    CLEAN,
    Impairment,
    Lane,
    Relay,
    first_candidate,
    replace_candidates,
)


def passed(impairment: Impairment, seed: int = 7, count: int = 4000) -> list[float | None]:
    lane = Lane(seed)
    lane.impairment = impairment
    return [lane.due(0.001 * k) for k in range(count)]


def test_clean_network_changes_nothing() -> None:
    assert passed(CLEAN) == [0.001 * k for k in range(4000)]


def test_loss_is_what_was_asked_for_and_the_same_again() -> None:
    first, again = passed(Impairment(loss=0.05)), passed(Impairment(loss=0.05))
    assert first == again
    assert first != passed(Impairment(loss=0.05), seed=8)
    assert 0.035 < sum(due is None for due in first) / 4000 < 0.065


def test_jitter_keeps_order_and_its_bound() -> None:
    due = passed(Impairment(jitter_ms=30))
    waits = np.array(due) - 0.001 * np.arange(4000)
    assert (np.diff(due) >= 0).all()
    assert waits.min() >= 0 and 0.02 < waits.max() <= 0.0301


def test_reordered_packets_overtake() -> None:
    due = np.array(passed(Impairment(jitter_ms=30, reorder=0.1)))
    overtaking = (np.diff(due) < 0).mean()
    assert 0.05 < overtaking < 0.15


def test_packets_do_not_overtake_when_the_trouble_ends() -> None:
    lane = Lane(1)
    lane.impairment = Impairment(delay_ms=100)
    waiting = lane.due(0.0)
    lane.impairment = CLEAN
    assert lane.due(0.01) >= waiting


def test_impairments_that_make_no_sense_are_refused() -> None:
    for wrong in ({"loss": 1.0}, {"loss": -0.1}, {"reorder": 2}, {"jitter_ms": -1}):
        with pytest.raises(BenchmarkError):
            Impairment(**wrong)


SDP = (
    "v=0\r\nm=audio 9 X\r\na=candidate:1 1 udp 99 10.0.0.7 5000 typ host\r\n"
    "a=candidate:2 1 tcp 99 10.0.0.7 9 typ host\r\na=end-of-candidates\r\na=mid:0\r\n"
    "m=video 9 X\r\na=candidate:1 1 udp 99 10.0.0.7 5001 typ host\r\na=mid:1\r\n"
)


def test_candidates_are_replaced_by_one() -> None:
    assert first_candidate(SDP) == ("10.0.0.7", 5000)
    text = replace_candidates(SDP, "127.0.0.1", 6000)
    assert text.count("a=candidate:") == 1 and "10.0.0.7" not in text
    assert text.index("127.0.0.1 6000") < text.index("m=video")
    assert first_candidate(text) == ("127.0.0.1", 6000)
    with pytest.raises(BenchmarkError, match="no IPv4 candidate"):
        first_candidate("v=0\r\na=candidate:1 1 udp 9 fd00::1 1 typ host\r\n")


async def test_a_call_goes_through_the_relay() -> None:
    viewer, server = (RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2))
    relay, heard = Relay(), asyncio.Event()
    channel = viewer.createDataChannel("control")
    channel.on("open", lambda: channel.send("hello"))

    @server.on("datachannel")
    def on_channel(opened):
        opened.on("message", lambda text: heard.set())

    try:
        await viewer.setLocalDescription(await viewer.createOffer())
        offer = await relay.offer(viewer.localDescription.sdp)
        await server.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await server.setLocalDescription(await server.createAnswer())
        answer = relay.answer(server.localDescription.sdp)
        await viewer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        await asyncio.wait_for(heard.wait(), 20)
        assert relay.up.taken > 5 and relay.down.taken > 5
    finally:
        await viewer.close()
        await server.close()
        relay.close()


def called(extra_after: float, recover_s: float) -> tuple[dict, Phases]:
    """A call of 60 s, bad from 20 to 40; then late by ``extra_after`` for ``recover_s``."""
    phases = Phases(0.0, 20_000.0, 40_000.0, 60_000.0)
    frames = []
    for k in range(1500):
        media = 40 * k
        late = 150.0
        if 20_000 <= media < 40_000:
            late += 80
        elif 40_000 <= media < 40_000 + 1000 * recover_s:
            late += extra_after
        frames.append(
            {"wall": media + late, "mediaMs": media, "valid": True, "click": False, "offsetMs": 0,
             "rtp": 90 * media}
        )  # fmt: skip
    clicks = [1000.0 * k for k in range(60)]
    raw = {"frames": frames, "sent": clicks, "heard": [c + 170 for c in clicks], "stats": []}
    return raw, phases


def test_recovery_is_when_pictures_are_timely_and_stay_so() -> None:
    for lasts in (0.0, 3.0):
        raw, phases = called(60, lasts)
        recovery = recovery_ms(*lateness(raw, phases), phases.bad_until)
        assert abs(recovery - 1000 * lasts) < 500


def test_latency_that_never_comes_back_is_not_called_recovered() -> None:
    raw, phases = called(60, 100)
    result = summarise(raw, phases, 700)
    assert result["recovery_ms"] is None and result["recovery"] == "not within the run"
    assert result["picture_growth_ms"] == 60
    assert result["sound_growth_ms"] == 0
    assert result["smooth_again_ms"] < 300


def test_gaps_are_not_smooth() -> None:
    wall = np.concatenate([np.arange(0, 2000, 200.0), np.arange(2000, 4000, 40.0)])
    assert abs(smooth_again_ms(wall, 0.0) - 2000) <= 200
    assert smooth_again_ms(np.arange(0, 4000, 200.0), 0.0) is None


def test_what_is_held_back_is_the_servers_or_the_viewers() -> None:
    raw, phases = called(0.0, 0.0)
    raw["stats"] = [
        {
            "wall": 1000.0 * k,
            "audio.jitterBufferDelay": k * (0.05 if k < 20 else 0.09) * 48_000,
            "audio.jitterBufferEmittedCount": 48_000 * k,
            "server": {"delay_ms": 150 if k < 20 else 180} if k % 2 else None,
        }
        for k in range(60)
    ]
    named = summarise(raw, phases, 700)["phases"]
    assert named["before"]["server_delay_ms"] == 150 and named["after"]["server_delay_ms"] == 180
    assert named["before"]["viewer_audio_buffer_ms"] == 50
    assert named["after"]["viewer_audio_buffer_ms"] == 90
    assert named["after"]["viewer_video_buffer_ms"] is None
