"""One encoding for all: packets in order, keyframes for who needs one, continuous RTP time."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from aiortc.codecs.h264 import H264PayloadDescriptor
from aiortc.codecs.vpx import VpxPayloadDescriptor
from aiortc.mediastreams import MediaStreamError

from visavis.streamer.media.packetise import MAX_PAYLOAD, h264, vp8
from visavis.streamer.webrtc.feed import Feed, FeedClock, Lane
from visavis.streamer.webrtc.rtp.tracks import FeedTrack


def feed(asked: list[bool] | None = None) -> Feed:
    clock = FeedClock(lambda: 1.0, lambda: 5 << 32, lambda: 0.0)
    return Feed("VP8", 25, clock, lambda: asked.append(True) if asked is not None else None, 0)


def lane(now: list[float] | None = None, ready: list[bool] | None = None) -> tuple[Lane, FeedTrack]:
    times, up = now or [0.0], ready or [True]
    made = Lane("video", lambda: times[0], lambda: up[0])
    return made, made.track


async def test_pictures_carry_their_frame_numbers() -> None:
    source, (view, track) = feed(), lane()
    view.show(source)
    source.picture(0, b"a", True)
    source.picture(3, b"b", False)
    packets = [await track.recv(), await track.recv()]
    assert [p.timestamp for p in packets] == [0, 10_800]
    assert [p.payloads[0][-1:] for p in packets] == [b"a", b"b"]


async def test_a_stalled_sender_costs_a_keyframe_not_memory() -> None:
    asked: list[bool] = []
    source, (view, track) = feed(asked), lane()
    view.show(source)
    assert asked == [True], "who comes needs one"
    for i in range(100):
        source.picture(i, b"x", i == 0)
        assert track.waiting <= 8
    assert asked == [True, True]
    source.picture(100, b"k", True)
    assert (await track.recv()).timestamp == 360_000
    source.picture(101, b"y", False)
    assert (await track.recv()).payloads[0].endswith(b"y")


async def test_nothing_is_queued_before_the_connection_is_there() -> None:
    up, asked = [False], []
    source, (view, track) = feed(asked), lane(ready=up)
    view.show(source)
    source.picture(0, b"x", True)
    assert not track.waiting and not asked
    up[0] = True
    view.request_keyframe()
    source.picture(1, b"x", False)
    assert not track.waiting, "not from the middle"
    source.picture(2, b"x", True)
    assert track.waiting and asked == [True]


async def test_rtp_time_goes_on_when_another_feed_is_shown() -> None:
    now = [10.0]
    one, two, (view, track) = feed(), feed(), lane(now)
    view.show(one)
    one.picture(1000, b"x", True)
    assert (await track.recv()).timestamp == 3_600_000
    view.show(two)
    one.picture(1001, b"x", True)
    assert not track.waiting, "the old one is not heard any more"
    now[0] = 10.5
    two.picture(7, b"x", True)
    assert (await track.recv()).timestamp == 3_600_000 + 45_000
    assert track.last_pts == 7 * 3600, "what reports pair with the feed's own clock"
    two.picture(8, b"x", False)
    assert (await track.recv()).timestamp == 3_600_000 + 45_000 + 3600


async def test_a_feed_that_ends_leaves_its_lanes() -> None:
    source, (view, track) = feed(), lane()
    view.show(source)
    source.end()
    assert view.feed is None and not source.pictures
    waiting = asyncio.ensure_future(track.recv())
    await asyncio.sleep(0)
    view.end()
    with pytest.raises(MediaStreamError):
        await waiting


@pytest.mark.parametrize("size", [1, MAX_PAYLOAD, MAX_PAYLOAD + 1, 5000, 60_000])
def test_h264_packets_are_small_and_whole(size: int) -> None:
    rng = np.random.default_rng(size)
    body = bytes(rng.integers(1, 256, size, np.uint8))
    units = [b"\x67\x42\xe0\x1f", b"\x68\xce", b"\x65" + body]
    payloads = h264(b"".join(b"\0\0\0\1" + unit for unit in units))
    assert max(map(len, payloads)) <= MAX_PAYLOAD
    joined = b"".join(H264PayloadDescriptor.parse(payload)[1] for payload in payloads)
    assert joined == b"".join(b"\0\0\0\1" + unit for unit in units)


@pytest.mark.parametrize("size", [1, MAX_PAYLOAD, 5000])
def test_vp8_packets_are_small_and_whole(size: int) -> None:
    data = bytes(np.random.default_rng(size).integers(0, 256, size, np.uint8))
    payloads = vp8(data, 40_000)
    assert max(map(len, payloads)) <= MAX_PAYLOAD
    parsed = [VpxPayloadDescriptor.parse(payload) for payload in payloads]
    assert b"".join(rest for _, rest in parsed) == data
    assert [d.partition_start for d, _ in parsed] == [1] + [0] * (len(payloads) - 1)
    assert {d.picture_id for d, _ in parsed} == {40_000 - 32_768}
