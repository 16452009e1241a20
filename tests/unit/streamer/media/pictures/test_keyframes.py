"""Requests for keyframes: the first at once, the rest together, none forgotten."""

from __future__ import annotations

from visavis.streamer.media.keyframes import LEAST_S, KeyframeGate


def test_a_storm_of_requests_costs_few_keyframes() -> None:
    now, asked = 10.0, []
    gate = KeyframeGate(lambda: asked.append(now), lambda: now)
    for _ in range(200):  # two seconds in which every packet is lost
        gate.request()
        now += 0.01
        gate.poll()
    assert asked[0] == 10.0
    assert len(asked) <= 2.0 / LEAST_S + 1
    for _ in range(100):
        now += 0.01
        gate.poll()
    assert now - asked[-1] >= 1.0 - LEAST_S, "calm: nothing more is asked"


def test_what_was_held_back_comes() -> None:
    now, asked = 0.0, []
    gate = KeyframeGate(lambda: asked.append(now), lambda: now)
    gate.request()
    now = 0.1
    gate.request()
    gate.poll()
    assert asked == [0.0]
    now = LEAST_S
    gate.poll()
    assert asked == [0.0, LEAST_S]
