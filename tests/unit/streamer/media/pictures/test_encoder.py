"""Both encoders: keyframes on demand only, a bitrate that holds, colours that survive."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from visavis.streamer.media.encoder import BitrateGovernor, Codec, VideoEncoder, to_yuv

CODECS: tuple[Codec, ...] = ("H264", "VP8")
SIZE = 256


def moving(i: int) -> NDArray[np.uint8]:
    """Texture that pans: enough work to fill any bitrate."""
    rng = np.random.default_rng(1)
    picture = np.kron(rng.integers(0, 255, (64, 64, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    return np.ascontiguousarray(np.roll(picture, 5 * i, axis=1))


def kbps(encoder: VideoEncoder, first: int, count: int) -> float:
    sizes = [len(encoder.encode(to_yuv(moving(first + i)))[0]) for i in range(count)]
    return sum(sizes) * 8 * 25 / count / 1000


@pytest.mark.parametrize("codec", CODECS)
def test_keyframes_come_on_demand_only(codec: Codec) -> None:
    encoder = VideoEncoder(codec, size=SIZE, fps=25, bitrate_kbps=600)
    keys = []
    for i in range(60):
        if i == 30:
            encoder.request_keyframe()
        if encoder.encode(to_yuv(moving(i)))[1]:
            keys.append(i)
    assert keys == [0, 30]


@pytest.mark.parametrize("codec", CODECS)
def test_every_picture_leaves_at_once_and_can_be_decoded(codec: Codec) -> None:
    encoder = VideoEncoder(codec, size=SIZE, fps=25, bitrate_kbps=800)
    decoder = av.CodecContext.create("h264" if codec == "H264" else "vp8", "r")
    colour = np.zeros((SIZE, SIZE, 3), np.uint8)
    colour[:] = (200, 60, 40)
    seen = 0
    for i in range(10):
        data, _ = encoder.encode(to_yuv(colour))
        assert data
        packet = av.Packet(data)
        packet.pts, packet.time_base = i, Fraction(1, 25)
        for frame in decoder.decode(packet):
            seen += 1
            rgb = frame.reformat(format="rgb24", src_colorspace="ITU601").to_ndarray()
            np.testing.assert_allclose(rgb[128, 128], (200, 60, 40), atol=6)
    assert seen >= 9


@pytest.mark.parametrize("codec", CODECS)
def test_the_bitrate_is_held(codec: Codec) -> None:
    encoder = VideoEncoder(codec, size=SIZE, fps=25, bitrate_kbps=500)
    kbps(encoder, 0, 50)
    assert 250 < kbps(encoder, 50, 75) < 650


@pytest.mark.parametrize("codec", CODECS)
def test_another_picture_altogether_makes_no_keyframe(codec: Codec) -> None:
    encoder = VideoEncoder(codec, size=SIZE, fps=25, bitrate_kbps=1000)
    kbps(encoder, 0, 30)
    keys = [encoder.encode(to_yuv(moving(i)[::-1, ::-1] if i % 2 else 255 - moving(i)))[1]
            for i in range(30, 40)]  # fmt: skip
    assert not any(keys), "keyframes come on demand"


def test_h264_changes_its_rate_without_a_keyframe() -> None:
    encoder = VideoEncoder("H264", size=SIZE, fps=25, bitrate_kbps=1000)
    before = kbps(encoder, 0, 75)
    encoder.set_bitrate(300)
    keys = [encoder.encode(to_yuv(moving(75 + i)))[1] for i in range(50)]
    assert not any(keys)
    assert kbps(encoder, 125, 75) < 0.6 * before


def test_vp8_pays_one_keyframe_for_a_new_rate() -> None:
    encoder = VideoEncoder("VP8", size=SIZE, fps=25, bitrate_kbps=1000)
    before = kbps(encoder, 0, 50)
    encoder.set_bitrate(300)
    keys = [encoder.encode(to_yuv(moving(50 + i)))[1] for i in range(25)]
    assert keys == [True] + [False] * 24
    assert kbps(encoder, 75, 50) < 0.6 * before


def test_the_locked_rate_is_never_exceeded() -> None:
    encoder = VideoEncoder("H264", size=SIZE, fps=25, bitrate_kbps=500)
    encoder.set_bitrate(5000)
    assert encoder.bitrate_kbps == 500
    encoder.set_bitrate(0)
    assert encoder.bitrate_kbps == 100


def test_h264_stream_has_baseline_headers_at_every_keyframe() -> None:
    encoder = VideoEncoder("H264", size=SIZE, fps=25, bitrate_kbps=500)
    for _ in range(2):
        encoder.request_keyframe()
        data, key = encoder.encode(to_yuv(moving(0)))
        assert key
        units = [u for u in data.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1") if u]
        kinds = [u[0] & 31 for u in units]
        assert 7 in kinds and 8 in kinds and 5 in kinds
        sps = next(u for u in units if u[0] & 31 == 7)
        assert sps[1] == 66 and sps[3] <= 31, "baseline, level 3.1 at most"


def test_an_estimate_above_what_is_sent_says_nothing() -> None:
    governor = BitrateGovernor(1200, 0.0)
    for i in range(100):
        assert governor.observe(400_000, 300_000, i * 0.5) is None


def test_congestion_lowers_once_and_not_again_at_once() -> None:
    governor = BitrateGovernor(1200, 0.0)
    changes = [governor.observe(500_000, 1_100_000, 10 + i * 0.1) for i in range(15)]
    assert changes == [450] + [None] * 14


def test_a_wavering_estimate_makes_no_keyframe_storm() -> None:
    governor = BitrateGovernor(1200, 0.0)
    rng = np.random.default_rng(0)
    changes = 0
    for i in range(600):  # one minute, ten estimates a second
        estimate = rng.uniform(900_000, 1_500_000)
        sent = governor.kbps * 1000 * 0.95
        changes += governor.observe(int(estimate), sent, i * 0.1) is not None
    assert changes <= 6


def test_it_climbs_back_in_steps() -> None:
    governor = BitrateGovernor(1200, 0.0)
    governor.observe(300_000, 1_100_000, 10)
    rates = [r for i in range(300) if (r := governor.observe(900_000, 200_000, 10 + i * 0.1))]
    assert rates == sorted(rates) and rates[-1] == 1200
