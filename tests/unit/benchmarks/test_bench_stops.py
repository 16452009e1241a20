"""When lips are still, from coefficients and the times at which frames were shown."""

from __future__ import annotations

import base64

import numpy as np

from tests.unit.benchmarks.test_latency_summary import noted
from visavis.benchmarks.latency.stops import LIPS, lips_still_after, shown_lips
from visavis.benchmarks.latency.summary import summarise
from visavis.models.coefficients import COUNT, INDEX
from visavis.streamer.session.channels.motion_channel import MotionFrame, encode

DISPLAY_MS = 150.0  # from a frame's media time until it is shown
STOP = 40_000.0


def said(still_from: int, *, lost: range = range(0), nods: bool = False) -> list[str]:
    """Messages of 1500 frames whose jaw works until frame ``still_from``."""
    out = []
    for number in range(1500):
        values = np.zeros(COUNT, np.float32)
        values[INDEX["jawOpen"]] = 0.2 + 0.15 * (number % 3) if number < still_from else 0.02
        if nods:
            values[INDEX["headPitch"]] = 0.1 * np.sin(number / 3)
            values[INDEX["eyeBlinkLeft"]] = number % 7 == 0
        if number not in lost:
            out.append(base64.b64encode(encode(MotionFrame(number, 25, values))).decode())
    return out


def frames() -> list[dict]:
    return [
        {"wall": 40.0 * k + DISPLAY_MS + extra, "mediaMs": 40 * k, "valid": True}
        for k in range(1500)
        for extra in (0, 16)  # shown twice
    ]


def still_ms(messages: list[str]) -> float:
    shown = shown_lips(frames(), messages)
    assert shown is not None and len(shown.wall) == 1500
    return lips_still_after(shown, STOP) - STOP


def test_the_first_showing_of_the_first_still_frame_counts() -> None:
    assert still_ms(said(1000)) == DISPLAY_MS
    assert still_ms(said(1002)) == DISPLAY_MS + 80


def test_a_nod_and_a_blink_are_no_mouth() -> None:
    assert still_ms(said(1002, nods=True)) == DISPLAY_MS + 80
    assert INDEX["headPitch"] not in LIPS and INDEX["eyeBlinkLeft"] not in LIPS


def test_lips_that_move_again_were_not_still() -> None:
    values = np.zeros(COUNT, np.float32)
    values[INDEX["mouthPucker"]] = 0.3
    messages = said(1002)
    messages[1008] = base64.b64encode(encode(MotionFrame(1008, 25, values))).decode()
    assert still_ms(messages) == DISPLAY_MS + 40 * 9


def test_what_cannot_be_known_is_not_invented() -> None:
    assert shown_lips(frames(), []) is None
    assert np.isnan(still_ms(said(990))), "shut before the stop"
    assert np.isnan(still_ms(said(1002, lost=range(985, 1005)))), "messages were lost"
    assert not np.isnan(still_ms(said(1002, lost=range(985, 987))))


def test_both_readings_are_kept() -> None:
    raw = noted(lip_ms=180, sound_ms=190)
    raw["stops"] = [
        {"wall": 45_000.0, "interrupted": True},
        {"wall": 50_000.0, "interrupted": False},
    ]
    raw["motion"] = said(1200, lost=range(1100))
    result = summarise(raw)
    assert result["method"]["stops"] == "lips"
    assert {"barge_in_ms", "barge_in_seen_ms", "stop_to_still_seen_ms"} <= set(result)
    del raw["motion"]
    result = summarise(raw)
    assert result["method"]["stops"] == "picture" and "barge_in_seen_ms" not in result
