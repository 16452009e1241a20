"""The watermark: read back after what videos go through, and never found where there is none."""

from __future__ import annotations

import math
from collections.abc import Callable

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visavis.streamer.media.encoder import Codec, VideoEncoder, as_frame
from visavis.streamer.trust.marks.mark import Marker, Marking
from visavis.streamer.trust.marks.watermark import (
    BLOCKS,
    Payload,
    Watermark,
    layout,
    payload_of,
    session_number,
    tile,
)
from visavis.streamer.trust.marks.watermark_code import CODED, decode, encode
from visavis.streamer.trust.marks.watermark_detector import LEAST_SCORE, Found, detect

KEY, PAYLOAD = bytes(range(32)), payload_of(bytes(range(32)), 7).to_bytes()
FPS, FRAMES = 25, 125
Luma = np.ndarray


def person(count: int = FRAMES, size: int = 256) -> list[np.ndarray]:
    """RGB pictures of something that stands still and something in it that moves, with texture."""
    rng = np.random.default_rng(5)
    ground = cv2.resize(rng.integers(40, 200, (12, 12, 3), np.uint8), (size, size),
                        interpolation=cv2.INTER_CUBIC)  # fmt: skip
    ground = np.clip(ground + rng.normal(0, 3, ground.shape), 0, 255).astype(np.uint8)
    pictures = []
    for n in range(count):
        picture = ground.copy()
        middle = (size // 2 + round(4 * math.sin(n / 9)), size // 2 + round(3 * math.sin(n / 13)))
        cv2.ellipse(picture, middle, (size // 5, size // 4), 0, 0, 360, (190, 150, 130), -1)
        mouth = (size // 14, max(1, round(size / 40 * (1 + math.sin(n * 1.9)))))
        cv2.ellipse(picture, (middle[0], middle[1] + size // 9), mouth, 0, 0, 360, (90, 30, 30), -1)
        pictures.append(picture)
    return pictures


def coded(pictures: list[np.ndarray], codec: Codec, kbps: int) -> list[Luma]:
    """What a viewer decodes of I420 pictures."""
    height, width = pictures[0].shape[0] * 2 // 3, pictures[0].shape[1]
    encoder = VideoEncoder(codec, size=width, height=height, fps=FPS, bitrate_kbps=kbps)
    decoder = av.CodecContext.create({"H264": "h264", "VP8": "vp8"}[codec], "r")
    frames = []
    for picture in pictures:
        frames += decoder.decode(av.Packet(encoder.encode(as_frame(picture))[0]))
    frames += decoder.decode(None)
    return [f.reformat(format="gray").to_ndarray() for f in frames]


def timed(frames: list[Luma]) -> list[tuple[float, Luma]]:
    return [(0.13 + n / FPS, np.ascontiguousarray(f)) for n, f in enumerate(frames)]


def as_i420(frames: list[Luma]) -> list[np.ndarray]:
    height, width = (side // 2 * 2 for side in frames[0].shape)
    grey = np.full((height // 2, width), 128, np.uint8)
    return [np.concatenate([f[:height, :width], grey]) for f in frames]


@pytest.fixture(scope="module")
def marked() -> list[np.ndarray]:
    marker = Marker(Marking(payload=PAYLOAD, fps=FPS))
    return [marker.i420(picture, n) for n, picture in enumerate(person())]


@pytest.mark.parametrize("codec", ["H264", "VP8"])
def test_it_reads_back_from_five_seconds_of_each_codec(
    codec: Codec, marked: list[np.ndarray]
) -> None:
    found = detect(timed(coded(marked, codec, 300)))
    assert found.payload == PAYLOAD and found.score > 2 * LEAST_SCORE
    assert Payload.from_bytes(found.payload).is_of(KEY)
    assert not Payload.from_bytes(found.payload).is_of(bytes(32)), "another server did not make it"


def half(frame: Luma) -> Luma:
    return cv2.resize(frame, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def twice(frame: Luma) -> Luma:
    return cv2.resize(frame, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)


def cropped(frame: Luma) -> Luma:
    return frame[31 : 31 + 205, 19 : 19 + 205]


def letterboxed(frame: Luma) -> Luma:
    return cv2.copyMakeBorder(frame, 0, 0, 70, 70, cv2.BORDER_CONSTANT, value=(16,))


@pytest.mark.parametrize("attack", [half, twice, cropped, letterboxed])
def test_it_survives_what_other_programs_do(
    attack: Callable[[Luma], Luma], marked: list[np.ndarray]
) -> None:
    seen = [attack(frame) for frame in coded(marked, "H264", 500)]
    again = coded(as_i420(seen), "H264", 500)
    assert detect(timed(again)).payload == PAYLOAD


def test_it_survives_a_screen_recording(marked: list[np.ndarray]) -> None:
    shown, rng = coded(marked, "H264", 500), np.random.default_rng(6)
    times = np.arange(0, FRAMES / FPS, 1 / 30)
    times = times[rng.random(len(times)) > 0.1]  # frames get lost
    window = [cv2.resize(shown[int(t * FPS)], (300, 300)) for t in times]
    filmed = coded(as_i420(window), "H264", 500)
    assert detect(list(zip(times.tolist(), filmed, strict=True))).payload == PAYLOAD


def test_nothing_is_found_where_nothing_is() -> None:
    marker = Marker(Marking())
    plain = [marker.i420(p, n) for n, p in enumerate(person())]
    found = detect(timed(coded(plain, "H264", 500)))
    assert found.payload is None and found.score < LEAST_SCORE
    assert found.chance < 1e-6
    noise = np.random.default_rng(8).integers(0, 256, (FRAMES, 128, 128), np.uint8)
    assert detect(timed(list(noise))).payload is None
    assert detect([]) == Found(None, 0.0, 0.0, 0, 0, 0.0)
    assert detect(timed([np.zeros((64, 64), np.uint8)] * 50)).payload is None


def test_it_is_not_seen() -> None:
    pictures = person(12)
    for form in ("i420", "rgb"):
        with_mark, without = Marker(Marking(False, PAYLOAD)), Marker(Marking(False))
        for n, picture in enumerate(pictures):
            one, other = (getattr(m, form)(picture, n).astype(int) for m in (with_mark, without))
            height = picture.shape[0]
            error = np.mean((one[:height] - other[:height]) ** 2)
            assert 10 * math.log10(255**2 / error) > 46.0
            assert np.abs(one - other).max() == 1


def test_it_lies_under_the_label_and_not_in_the_opacity() -> None:
    picture = np.full((256, 512, 3), 120, np.uint8)
    marker = Marker(Marking(False, PAYLOAD), transparent=True)
    marked = marker.rgb(picture)
    assert (marked[:, :256] != 120).any() and (marked[:, 256:] == 120).all()
    assert (marker.i420(picture)[:256, 256:] == marker.i420(picture)[0, 300]).all()


def test_the_sign_follows_media_time_not_how_many_pictures_were_drawn() -> None:
    ground = np.full((128, 128), 100, np.uint8)
    seen = {}
    for number in (0, 4, 5, 9, 10, 1_000_000):
        seen[number] = ground.copy()
        Watermark(PAYLOAD, 128, 128, FPS).add(seen[number], number)
    assert (seen[0] == seen[4]).all() and (seen[0] == seen[10]).all()
    # One colour everywhere carries half of the pattern: lighter blocks, and never darker ones.
    assert (seen[5].astype(int) + seen[0] == 201).all() and (seen[5] == seen[9]).all()
    assert (seen[1_000_000] == seen[0]).all()


def busy(height: int, width: int) -> Luma:
    return np.random.default_rng(4).integers(60, 200, (height, width), np.uint8)


def added(luma: Luma) -> np.ndarray:
    out = luma.copy()
    Watermark(PAYLOAD, luma.shape[1], luma.shape[0], FPS).add(out, 0)
    return out.astype(int) - luma


def test_ground_of_one_colour_is_left_alone_and_busy_ground_carries_all() -> None:
    luma = busy(256, 256)
    luma[:, :128] = 110
    change = added(luma)
    assert not change[:, :112].any(), "nothing where an eye would see it"
    assert (np.abs(change[:, 144:]) == 1).all() and {-1, 1} == set(np.unique(change[:, 144:]))


def test_soft_ground_carries_half() -> None:
    luma = busy(256, 256)
    luma[:, :128] = (100 + np.arange(256) // 2 % 2)[:, None]  # a step of one every second row
    assert set(np.unique(added(luma)[:, :112])) == {0, 1}


def test_a_picture_with_little_on_it_is_read_back_all_the_same() -> None:
    pictures = person(75)
    for picture in pictures:  # three quarters are of one colour
        picture[:, :128] = picture[:128] = (52, 102, 170)
    marker = Marker(Marking(payload=PAYLOAD, fps=FPS))
    shown = coded([marker.i420(p, n) for n, p in enumerate(pictures)], "H264", 500)
    assert detect(timed(shown)).payload == PAYLOAD


@pytest.mark.parametrize("shape", [(1080, 1920), (720, 1280), (250, 331), (17, 16)])
def test_every_size_is_covered_to_its_edge(shape: tuple[int, int]) -> None:
    luma = busy(*shape)
    change = np.abs(added(luma))
    assert change.shape == shape and change.mean() > 0.9
    assert np.array_equal(added(np.ascontiguousarray(luma)), added(np.asfortranarray(luma)))


# ---------------------------------------------------------------- bits


@given(st.binary(min_size=8, max_size=8))
@settings(max_examples=30, deadline=None)
def test_every_payload_comes_back_and_wrong_bits_are_mended(payload: bytes) -> None:
    soft = encode(payload).astype(float)
    assert decode(soft) == (payload, 0)
    wrong = np.random.default_rng(payload[0]).choice(CODED, 12, replace=False)
    spread = np.sort(wrong)
    if (np.diff(spread) > 6).all():  # bursts are for the permutation of the blocks to break up
        soft[wrong] *= -0.5
        assert decode(soft) == (payload, 12)


def test_noise_passes_the_checksum_as_seldom_as_it_should() -> None:
    rng = np.random.default_rng(9)
    passed = sum(decode(rng.normal(size=CODED))[0] is not None for _ in range(300))
    assert passed <= 1  # 2^-16 each


def test_a_tile_is_balanced_and_its_known_part_is_known() -> None:
    data, known, signs = layout()
    assert sorted([*data, *known]) == list(range(BLOCKS**2))
    for payload in (bytes(8), bytes([255] * 8), PAYLOAD):
        flat = tile(payload).ravel()
        assert (flat[known] == signs).all() and abs(int(flat.sum())) < 60


def test_sessions_have_numbers_and_tags_of_their_own() -> None:
    one, other = payload_of(KEY, session_number("a")), payload_of(KEY, session_number("b"))
    assert one.deployment == other.deployment and one.session != other.session
    assert one.tag != other.tag and Payload.from_bytes(one.to_bytes()) == one
