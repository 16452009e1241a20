"""An agent's sound on the timeline: order, positions and events, counted in samples."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visavis.streamer.errors import AtCapacity, BadRequest
from visavis.streamer.http.routes.agent import Append, Clear, Flush, Text, read
from visavis.streamer.session.speech.agent import BLOCK, MAX_AHEAD_S, RATE, AgentVoice, Event


class Played:
    """A timeline that takes a block after the other, seen ``delay`` samples later."""

    def __init__(self, delay: int = 4 * BLOCK) -> None:
        self.events: list[Event] = []
        self.captions: list[tuple[int, str]] = []
        self.voice = AgentVoice(
            self.events.append, lambda text: self.captions.append((self.seen, text))
        )
        self.sound: list[np.ndarray] = []
        self.written = 1000 * BLOCK  # media time when the agent came
        self.delay = delay

    @property
    def seen(self) -> int:
        return self.written - self.delay

    def run(self, blocks: int) -> None:
        for _ in range(blocks):
            samples, count = self.voice.block()
            assert len(samples) == BLOCK
            self.sound.append(samples)
            self.voice.placed(self.written, count)
            self.written += BLOCK
            self.voice.shown(self.seen)

    def of(self, kind: str) -> list[Event]:
        return [e for e in self.events if e["type"] == kind]


def tone(count: int) -> np.ndarray:
    return np.arange(1, count + 1).astype(np.int16)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 5000), min_size=1, max_size=12))
def test_all_that_is_appended_comes_out_once_and_in_order(parts: list[int]) -> None:
    played = Played()
    said = tone(sum(parts))
    at = 0
    for part in parts:
        played.voice.append(said[at : at + part], RATE)
        at += part
    played.voice.flush()
    played.run(len(said) // BLOCK + 8)
    sound = np.concatenate(played.sound)
    assert np.array_equal(sound[: len(said)], said) and not sound[len(said) :].any()
    assert [e["type"] for e in played.events] == (["started", "finished"] if len(said) else [])


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 24_000, 44_100, 48_000])
def test_positions_are_in_seconds_of_what_was_appended(rate: int) -> None:
    played = Played()
    played.voice.append(np.full(2 * rate, 1000, np.int16), rate)
    played.voice.flush()
    played.run(120)
    (started,), (finished,) = played.of("started"), played.of("finished")
    assert finished["playback_position"] == 2.0
    began = 1000 * BLOCK / RATE
    assert started["media_time"] == pytest.approx(began)
    assert finished["media_time"] == pytest.approx(began + 2.0, abs=0.002)
    sound = np.concatenate(played.sound)
    assert abs(np.count_nonzero(sound > 500) - 2 * RATE) < 0.002 * RATE


def test_an_interruption_tells_what_was_heard_and_forgets_the_rest() -> None:
    played = Played(delay=5 * BLOCK)
    played.voice.append(tone(48_000 // 2), RATE)
    played.voice.append(tone(48_000), RATE)
    played.run(20)
    played.voice.clear(played.seen)
    (cut,) = played.of("interrupted")
    assert cut["playback_position"] == pytest.approx(15 * BLOCK / RATE)
    assert played.voice.waiting_s == 0
    played.sound.clear()
    played.run(10)
    assert not np.concatenate(played.sound).any() and not played.of("finished")
    played.voice.append(tone(BLOCK), RATE)
    played.voice.flush()
    played.run(10)
    assert played.of("started")[-1]["segment"] == 1 and played.of("finished")[0]["segment"] == 1


def test_a_slow_agent_s_pauses_are_no_part_of_the_position() -> None:
    played = Played(delay=0)
    for _ in range(5):
        played.voice.append(tone(BLOCK + 100), RATE)
        played.run(4)
    played.voice.clear(played.seen)
    assert played.of("interrupted")[0]["playback_position"] == pytest.approx(
        5 * (BLOCK + 100) / RATE, abs=1e-4
    )


def test_clearing_nothing_tells_nothing() -> None:
    played = Played()
    played.voice.clear(played.seen)
    played.voice.append(tone(BLOCK), RATE)
    played.voice.flush()
    played.run(20)
    played.voice.clear(played.seen)
    assert [e["type"] for e in played.events] == ["started", "finished"]


def test_captions_come_when_what_was_before_them_has_been_seen() -> None:
    played = Played()
    played.voice.append(tone(10 * BLOCK), RATE)
    played.voice.text("ten")
    played.voice.append(tone(10 * BLOCK), RATE)
    played.voice.text("twenty")
    played.run(40)
    began = 1000 * BLOCK
    assert played.captions == [(began + 10 * BLOCK, "ten"), (began + 20 * BLOCK, "twenty")]


def test_what_waits_is_bounded() -> None:
    voice = Played().voice
    with pytest.raises(AtCapacity, match="60 s"):
        voice.append(np.zeros(int(MAX_AHEAD_S * 8000) + 1, np.int16), 8000)
    assert voice.waiting_s == 0
    for _ in range(256):
        voice.text("x")
    with pytest.raises(AtCapacity):
        voice.text("x")
    for _ in range(256):
        voice.append(tone(1), RATE)
        voice.flush()
    with pytest.raises(AtCapacity):
        voice.append(tone(1), RATE)


@pytest.mark.parametrize(
    "message",
    [
        "", "[", "null", "[]", "3", "{}", '{"type": 4}', '{"type": "sing"}', "[" * 5000,
        '{"type": "append"}', '{"type": "append", "audio": "!!"}',
        '{"type": "append", "audio": "AAAA", "rate": 100}',
        '{"type": "append", "audio": "AAAA", "rate": "24000"}',
        '{"type": "text"}', json.dumps({"type": "text", "text": "x" * 5000}),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_one_sentence(message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read(message)
    words = str(caught.value)
    assert words.endswith(".") and "\n" not in words and len(words) < 200


def test_messages() -> None:
    assert read('{"type": "append", "audio": "AQAC", "more": 1}') == Append(audio="AQAC")  # type: ignore[arg-type]
    assert isinstance(read('{"type": "flush"}'), Flush)
    assert isinstance(read('{"type": "clear"}'), Clear)
    assert read('{"type": "text", "text": "hi"}') == Text(text="hi")


def test_a_minute_at_once_costs_no_more_than_what_is_asked_for() -> None:
    came: list[int] = []
    voice = AgentVoice(lambda event: None, came=lambda: came.append(1))
    voice.append(np.full(60 * 24_000, 100, np.int16), 24_000)
    assert came and voice._made == 0, "nothing is resampled before it is needed"
    voice.block()
    assert 0 < voice._made <= RATE // 5
    assert voice.waiting_s == pytest.approx(60.0 - BLOCK / RATE, abs=1e-3)


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.integers(1, 3000), st.booleans()), min_size=1, max_size=10),
    st.integers(0, 30),
    st.integers(0, 8),
)
def test_the_position_is_the_samples_that_had_left(
    parts: list[tuple[int, bool]], blocks: int, delay: int
) -> None:
    """However it was cut and whatever was appended: exactly what the timeline gave out."""
    played = Played(delay=delay * BLOCK)
    for count, flushes in parts:
        played.voice.append(np.full(count, 7, np.int16), RATE)
        if flushes:
            played.voice.flush()
    played.run(blocks)
    left = np.concatenate([*played.sound, np.zeros(0, np.int16)])
    heard = int(np.count_nonzero(left[: max(0, len(left) - delay * BLOCK)]))
    done = sum(e["playback_position"] for e in played.of("finished"))
    played.voice.clear(played.seen)
    told = done + sum(e["playback_position"] for e in played.events if e["type"] == "interrupted")
    assert told == pytest.approx(heard / RATE, abs=1e-3)
