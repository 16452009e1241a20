"""A frame's way, stage after stage, without a hole; bounded, and nothing while nobody asks."""

from __future__ import annotations

import itertools
import json

import pytest

from visavis.streamer.session.figures.trace import (
    STAGES,
    FrameTimes,
    Tracer,
    chrome_trace,
    chrome_trace_json,
)
from visavis.streamer.worker.protocol import Packet


def times(frame: int = 7, repeated: bool = False) -> FrameTimes:
    packet = Packet(
        frame, False, repeated, 0, 0, 0, motion_ms=5, render_ms=12, ring_ms=6, encode_ms=2,
        busy_ms=14, data=b"x", push_ms=2, draw_ms=10, tick_at=50.100,
    )  # fmt: skip
    return FrameTimes.of(packet, begins=49.95, arrived=50.076, decode_s=0.0004, received=50.103)


def test_the_stages_follow_each_other_without_a_hole() -> None:
    frame = times()
    frame.sent = 50.104
    spans = {name: (start, end) for name, _, start, end in frame.spans()}
    assert list(spans) == [name for name, _ in STAGES]
    assert frame.heard == pytest.approx(50.100 - 0.006 - 0.012 - 0.005)
    order = [name for name, _ in STAGES][2:]
    for one, next_one in itertools.pairwise(order):
        assert spans[one][1] == spans[next_one][0], (one, next_one)
    assert all(end >= start - 1e-9 for start, end in spans.values())
    assert spans["draw"][1] - spans["draw"][0] == pytest.approx(0.010)
    assert spans["draw waits"][1] - spans["draw waits"][0] == pytest.approx(0.002)
    assert spans["sent"] == (50.103, 50.104)


def test_the_file_is_what_chrome_reads() -> None:
    frame = times()
    trace = json.loads(chrome_trace_json([frame, times(8)], "abc"))
    spans = [e for e in trace["traceEvents"] if e["ph"] == "X"]
    assert len(spans) == 2 * len(STAGES)
    assert all(e["dur"] >= 0 and e["ts"] > 0 and e["args"]["frame"] in (7, 8) for e in spans)
    rows = {(e["pid"], e["tid"]) for e in spans if e["args"]["frame"] == 7}
    assert rows.isdisjoint({(e["pid"], e["tid"]) for e in spans if e["args"]["frame"] == 8})
    names = [e["args"]["name"] for e in trace["traceEvents"] if e["name"] == "process_name"]
    assert names == ["edge, session abc", "worker"]


def test_a_repeat_has_no_past_of_its_own() -> None:
    events = chrome_trace([times(repeated=True)], "abc")["traceEvents"]
    shown = [e["name"] for e in events if e["ph"] == "X"]
    assert shown == ["encode", "to the edge", "sent"]


def test_a_recording_is_bounded_and_marks_what_was_sent() -> None:
    tracer = Tracer()
    for frame in range(5000):
        tracer.add(times(frame))
    assert len(tracer.frames) < 2000
    tracer.sent(4999, 51.0)
    tracer.sent(12, 52.0)  # long gone
    assert tracer.frames[-1].sent == 51.0
    assert sum(1 for f in tracer.frames if f.sent) == 1
