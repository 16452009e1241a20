"""Raw pictures and sound: what belongs together comes out together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.fakes.fake_pipeline import FakePipelines
from visavis.streamer.errors import AtCapacity, BadRequest
from visavis.streamer.worker.pipeline.pipeline import RATE, SlotSpec
from visavis.streamer.worker.pipeline.view import open_backdrop, read_view
from visavis.streamer.worker.raw import MAX_AHEAD_S, RawAvatar
from visavis.streamer.worker.slot import Slot

LOUD = 20_000


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    path = tmp_path / "anna.vav"
    path.write_bytes(b"")
    return str(path)


def avatar(bundle: str, rate: int = 24_000, fps: int = 25, **spec: object) -> RawAvatar:
    wanted = SlotSpec(bundle, size=256, fps=fps, look_ahead_ms=40, **spec)  # type: ignore[arg-type]
    pipeline = FakePipelines().open(wanted)
    return RawAvatar(pipeline, fps=fps, look_ahead_ms=40, rate=rate)


def brightness(picture: np.ndarray) -> float:
    return float(picture[100:, 100:].mean())


def test_a_segment_comes_out_whole_with_its_sound_and_an_end(bundle: str) -> None:
    source = avatar(bundle)
    said = (np.sin(np.arange(24_000 * 3 // 2 + 123)) * LOUD).astype(np.int16)
    for at in range(0, len(said), 777):
        source.push(said[at : at + 777])
    source.end_segment()
    frames = list(source.frames())
    sound = np.concatenate([f.sound for f in frames])
    assert [f.number for f in frames] == list(range(len(frames)))
    assert all(len(f.sound) == 960 for f in frames)
    assert np.array_equal(sound[: len(said)], said) and not sound[len(said) :].any()
    last = [f.number for f in frames if f.ends_segment]
    assert last == [-(-len(said) // 960) - 1]


def test_the_mouth_opens_in_the_frame_that_carries_the_sound(bundle: str) -> None:
    source = avatar(bundle)
    said = np.zeros(24_000, np.int16)
    said[9 * 960 : 12 * 960] = LOUD
    source.push(said)
    source.end_segment()
    loud = {f.number for f in source.frames() if brightness(f.picture) > 200}
    heard = {9, 10, 11}
    assert loud == heard


def test_clearing_drops_what_waits_and_goes_on(bundle: str) -> None:
    source = avatar(bundle)
    source.push(np.full(24_000, LOUD, np.int16))
    taken = [next(source.frames()) for _ in range(1)]
    dropped = source.clear()
    assert dropped == 24_000 - 960 * len(taken)
    source.push(np.full(4 * 960, 123, np.int16))
    source.end_segment()
    frames = list(source.frames())
    sound = np.concatenate([f.sound for f in frames])
    assert frames[0].number == 1 and LOUD not in sound and (sound == 123).sum() == 4 * 960
    assert all(brightness(f.picture) < 150 for f in frames)


def test_no_more_sound_waits_than_stated(bundle: str) -> None:
    source = avatar(bundle, rate=16_000)
    source.push(np.zeros(int(MAX_AHEAD_S * 16_000), np.int16))
    with pytest.raises(AtCapacity):
        source.push(np.zeros(1, np.int16))
    with pytest.raises(ValueError, match="int16"):
        source.push(np.zeros(10, np.float32))  # type: ignore[arg-type]


def test_idling_makes_frames_of_silence(bundle: str) -> None:
    source = avatar(bundle, fps=30, rate=48_000)
    source.idle(30)
    frames = list(source.frames())
    assert 28 <= len(frames) <= 29 and not any(f.sound.any() for f in frames)


def test_frames_are_the_receiver_s_own(bundle: str) -> None:
    source = avatar(bundle)
    source.idle(10)
    first, second = [f.picture for f in source.frames()][:2]
    assert not np.shares_memory(first, second)


def test_a_slot_hands_out_raw_pictures_by_ticks(bundle: str) -> None:
    spec = SlotSpec(bundle, look_ahead_ms=40, canvas="512x512")
    slot = Slot(spec, FakePipelines().open(spec), raw="i420")
    slot.feed(0, np.zeros(3 * RATE // 25, np.int16))
    while slot.deadline() is not None:
        slot.work()
    shown = slot.release(0)
    assert shown is not None and shown.picture.shape == (768, 512) and shown.is_new
    again = slot.release(0)
    assert again is not None and not again.is_new
    late = slot.release(40)
    assert late is not None and late.own == 1 and late.late == 1
    bare = slot.tick(41)
    assert bare is not None and not bare.data and bare.repeated, "it has no encoder"


def test_a_slot_on_a_canvas_encodes_pictures_of_its_shape(bundle: str) -> None:
    import av

    spec = SlotSpec(bundle, canvas="1280x720", background="transparent")
    slot = Slot(spec, FakePipelines().open(spec))
    slot.feed(0, np.zeros(4 * RATE // 25, np.int16))
    while slot.deadline() is not None:
        slot.work()
    packet = slot.tick(0)
    assert packet is not None
    decoder = av.CodecContext.create("h264", "r")
    frames = decoder.decode(av.Packet(packet.data)) + decoder.decode(None)
    assert (frames[0].width, frames[0].height) == (2560, 720)


@pytest.mark.parametrize(
    ("canvas", "framing", "background", "says"),
    [
        ("1280x721", "bust", "own", "canvas"),
        ("1280x720", "feet", "own", "framing"),
        ("1280x720", "bust", "#12345", "background"),
        ("1280x720", "bust", "/etc/passwd", "background"),
        ("", "", "", "canvas"),
    ],
)
def test_words_that_are_none_are_refused(
    canvas: str, framing: str, background: str, says: str
) -> None:
    with pytest.raises(BadRequest, match=says):
        read_view(canvas, framing, background, files=False)


def test_a_background_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "office.png"
    path.write_bytes(b"no picture")
    view = read_view("1280x720", "bust", str(path))
    with pytest.raises(BadRequest, match=r"office\.png"):
        open_backdrop(view.background)
    assert open_backdrop(read_view("1280x720", "bust", "green").background) == (0, 177, 64)
