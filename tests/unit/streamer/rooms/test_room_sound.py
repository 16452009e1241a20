"""What avatars hear, who speaks, who has the floor, and where the others look."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.browser.helpers.speech import write_wav
from visavis.models.coefficients import COUNT, INDEX
from visavis.streamer.rooms.attention.floor import Floor
from visavis.streamer.rooms.attention.looking import AHEAD, look_at, read_tiles
from visavis.streamer.rooms.attention.sound import RATE, RoomSound
from visavis.streamer.rooms.attention.speaking import SpeakingDetector
from visavis.streamer.worker.turn import Turn

BLOCK = 640  # samples of a frame at 25 fps


def tone(start: int, count: int, hertz: float, size: int = 8000) -> NDArray[np.int16]:
    t = (start + np.arange(count)) / RATE
    return (size * np.sin(2 * np.pi * hertz * t)).astype(np.int16)


def test_each_hears_the_sum_of_the_others_in_step() -> None:
    sound = RoomSound()
    heard = []
    offset = {"ada": 0.0, "ben": 0.0071, "cleo": 0.0133}  # their frames begin at other moments
    for n in range(50):
        for who, hertz in (("ada", 200.0), ("ben", 300.0)):
            start = n * BLOCK + round(offset[who] * RATE)
            sound.spoke(who, 1000 + start / RATE, tone(start, BLOCK, hertz))
        at = n * BLOCK + round(offset["cleo"] * RATE)
        heard.append(sound.heard("cleo", 1000 + at / RATE, BLOCK))
    mix = np.concatenate([np.zeros(BLOCK, np.int16) if h is None else h for h in heard])[RATE:]
    start = RATE + round(offset["cleo"] * RATE) - RATE * 80 // 1000
    wanted = tone(start, len(mix), 200.0).astype(int) + tone(start, len(mix), 300.0)
    assert np.abs(mix - wanted).max() <= 400, "in step to a few samples, without a gap"


def test_nobody_hears_themselves_and_silence_costs_nothing() -> None:
    sound = RoomSound()
    sound.spoke("ada", 10.0, tone(0, BLOCK, 200))
    assert sound.heard("ada", 10.08, BLOCK) is None
    assert sound.heard("ben", 10.08, BLOCK) is not None
    sound.left("ada")
    assert sound.heard("ben", 10.08, BLOCK) is None
    sound.spoke("cleo", 20.0, np.zeros(BLOCK, np.int16))
    assert sound.heard("ben", 20.08, BLOCK) is None


def test_a_loud_sum_is_clipped_and_does_not_wrap() -> None:
    sound = RoomSound()
    for who in ("ada", "ben"):
        sound.spoke(who, 5.0, np.full(BLOCK, 30_000, np.int16))
    mix = sound.heard("cleo", 5.08, BLOCK)
    assert mix is not None and mix.max() == 32_767 and mix.min() > 0


def test_a_voice_that_pauses_leaves_no_echo_of_itself() -> None:
    sound = RoomSound()
    sound.spoke("ada", 1.0, tone(0, BLOCK, 200))
    sound.spoke("ada", 1.5, tone(0, BLOCK, 200))
    assert sound.heard("ben", 1.3 + 0.08, BLOCK) is None, "the gap is silent"
    sound.spoke("ada", 9.0, tone(0, BLOCK, 200))
    assert sound.heard("ben", 1.5 + 0.08, BLOCK) is None, "what is a second old is gone"


def test_a_stretch_over_the_rings_end_is_whole() -> None:
    """The second that is kept begins anew within a block, at whatever length the blocks are."""
    room, said = RoomSound(), (np.arange(3 * RATE) % 3001 + 1).astype(np.int16)
    at, lengths = 0, (320, 7, 1500, 641)
    for n in range(40):
        block = said[at : at + lengths[n % 4]]
        room.spoke("ada", 10 + at / RATE, block)
        at += len(block)
        begun = max(0, at - RATE // 2)
        heard = room.heard("ben", 10 + begun / RATE + 0.08, at - begun)
        assert heard is not None and np.array_equal(heard, said[begun:at]), n


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> NDArray[np.int16]:
    path: Path = tmp_path_factory.mktemp("voice") / "voice.wav"
    write_wav(path)
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return samples[::3].copy()


def test_speech_is_speech_and_silence_and_noise_are_not(speech: NDArray[np.int16]) -> None:
    detector = SpeakingDetector()
    states = [detector.hear(speech[n : n + BLOCK]) for n in range(0, len(speech), BLOCK)]
    end = int(np.flatnonzero(np.abs(speech) > 500)[-1] / BLOCK)
    assert sum(states[: end + 1]) > 0.8 * end, "it holds through the gaps between words"
    assert not any(states[end + 25 :]), "a second later it is over"
    changes = int(np.abs(np.diff(np.array(states, int))).sum())
    assert changes <= 4, "and it does not flicker"
    rng = np.random.default_rng(0)
    noise = (rng.standard_normal(RATE * 3) * 40).astype(np.int16)
    assert not any(detector.hear(noise[n : n + BLOCK]) for n in range(0, len(noise), BLOCK))


def test_a_muted_microphone_stops_at_once(speech: NDArray[np.int16]) -> None:
    detector = SpeakingDetector()
    for n in range(0, RATE, BLOCK):
        detector.hear(speech[n : n + BLOCK])
    assert detector.speaking
    detector.hush()
    assert not detector.speaking and not detector.hear(np.zeros(BLOCK, np.int16))


def test_the_floor_stays_with_who_goes_on() -> None:
    floor = Floor()
    floor.speaks("ada", True, 0.0)
    assert floor.settle(0.0) and floor.holder == "ada"
    floor.speaks("ben", True, 1.0)
    assert not floor.settle(1.0), "somebody who falls in does not take it"
    floor.speaks("ada", False, 2.0)
    assert floor.settle(2.0) and floor.holder == "ben"
    floor.speaks("ben", False, 3.0)
    assert not floor.settle(4.0), "a pause for breath is no change"
    assert floor.settle(5.1) and floor.holder == ""
    floor.speaks("ada", True, 6.0)
    floor.settle(6.0)
    floor.left("ada")
    assert floor.holder == ""


def test_people_look_where_the_speakers_tile_is() -> None:
    right = look_at("ben", ["ben", "cleo"], {"ben": (0.5, 0.0)})
    assert right.yaw < 0 and right.pitch == 0, "the right of the screen is the person's own right"
    below = look_at("ben", ["ben"], {"ben": (0.0, 0.8)})
    assert below.yaw == 0 and below.pitch > 0
    side = [look_at(who, ["a", "b", "c"], {}).yaw for who in ("a", "b", "c")]
    assert side[0] > side[1] == 0 > side[2], "without a page they sit side by side"
    assert look_at("nobody", ["a"], {}) == AHEAD


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_strange_tiles_are_none(value: object) -> None:
    tiles = read_tiles(value)
    assert tiles is None or all(-1 <= x <= 1 and -1 <= y <= 1 for x, y in tiles.values())


def test_eyes_go_first_the_head_follows_and_both_come_back() -> None:
    turn = Turn(25)
    still = np.zeros((5, COUNT), np.float32)
    turn.apply(still)
    assert not still.any(), "who looks ahead is drawn as ever, to the bit"
    turn.to(-12.0, 4.0)
    rows = np.zeros((50, COUNT), np.float32)
    turn.apply(rows)
    head, gaze = (np.degrees(rows[:, INDEX[name]]) for name in ("headYaw", "gazeYaw"))
    line = head + gaze
    assert line[4] < -10 and head[4] > -4, "after a fifth of a second the eyes are there"
    assert line[-1] == pytest.approx(-12, abs=0.1) and head[-1] == pytest.approx(-6, abs=0.1)
    assert np.degrees(rows[-1, INDEX["headPitch"]]) == pytest.approx(2, abs=0.1)
    assert np.abs(np.diff(line)).max() < 6.1, "and no frame jumps more than a saccade"
    turn.to(0.0, 0.0)
    back = np.zeros((100, COUNT), np.float32)
    turn.apply(back)
    assert not back[-1].any()
    turn.to(900.0, -900.0)
    far = np.zeros((100, COUNT), np.float32)
    turn.apply(far)
    assert np.degrees(far[-1, INDEX["headYaw"]]) <= 10.01
