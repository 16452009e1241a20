"""The way of single frames through the server, stage by stage, as a Chrome trace.

Nothing is kept unless somebody asks; then a bounded number of frames, for a bounded time. All times
are the machine's monotonic clock, which edge and worker share.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from visavis.streamer.worker.protocol import Packet

MAX_SECONDS = 60
_MAX_FRAMES = MAX_SECONDS * 30
_EDGE, _WORKER = 1, 2  # process ids in the file
STAGES: tuple[tuple[str, int], ...] = (
    ("sound of the frame", _EDGE),
    ("decode", _EDGE),
    ("mic in", _EDGE),
    ("motion waits", _WORKER),
    ("motion", _WORKER),
    ("draw waits", _WORKER),
    ("draw", _WORKER),
    ("ring", _WORKER),
    ("encode", _WORKER),
    ("to the edge", _EDGE),
    ("sent", _EDGE),
)

_ROWS = 4  # a frame is on its way for three to four frame periods
_FIRST_OF_REPEATS = [name for name, _ in STAGES].index("encode")


@dataclass
class FrameTimes:
    """When one frame was where, in monotonic seconds.

    Attributes:
        frame: its number.
        shown: whether its own new picture was sent; otherwise the last one was repeated.
        begins: its first sample had arrived.
        arrived: the last sample it needs, look-ahead included, had been decoded.
        decode_s: how long that packet's decoding took.
        heard: that sample had come to the worker.
        motion_began: the models took it up.
        known: its coefficients were known.
        draw_began: the renderer took it up.
        drawn: its picture was in the ring.
        tick: it was released.
        encoded: it was a packet.
        received: the edge had the packet.
        sent: the packet was handed to the network.
    """

    frame: int
    shown: bool
    begins: float
    arrived: float
    decode_s: float
    heard: float
    motion_began: float
    known: float
    draw_began: float
    drawn: float
    tick: float
    encoded: float
    received: float
    sent: float = 0.0

    @classmethod
    def of(
        cls, packet: Packet, begins: float, arrived: float, decode_s: float, received: float
    ) -> FrameTimes:
        """Read the worker's part from a packet."""
        drawn = packet.tick_at - packet.ring_ms / 1e3
        known = drawn - packet.render_ms / 1e3
        return cls(
            frame=packet.frame,
            shown=not packet.repeated,
            begins=begins,
            arrived=arrived,
            decode_s=decode_s,
            heard=known - packet.motion_ms / 1e3,
            motion_began=known - packet.push_ms / 1e3,
            known=known,
            draw_began=drawn - packet.draw_ms / 1e3,
            drawn=drawn,
            tick=packet.tick_at,
            encoded=packet.tick_at + packet.encode_ms / 1e3,
            received=received,
        )

    def spans(self) -> list[tuple[str, int, float, float]]:
        """Return ``(stage, process, from, to)`` in the order of :data:`STAGES`."""
        marks = (
            (self.begins, self.arrived),
            (self.arrived - self.decode_s, self.arrived),
            (self.arrived, self.heard),
            (self.heard, self.motion_began),
            (self.motion_began, self.known),
            (self.known, self.draw_began),
            (self.draw_began, self.drawn),
            (self.drawn, self.tick),
            (self.tick, self.encoded),
            (self.encoded, self.received),
            (self.received, self.sent or self.received),
        )
        return [(n, p, a, b) for (n, p), (a, b) in zip(STAGES, marks, strict=True)]


class Tracer:
    """Keeps the frames of one recording."""

    def __init__(self) -> None:
        self.frames: deque[FrameTimes] = deque(maxlen=_MAX_FRAMES)

    def add(self, times: FrameTimes) -> None:
        """Keep one frame."""
        self.frames.append(times)

    def sent(self, frame: int, now: float) -> None:
        """Note that a frame went to the network."""
        for times in reversed(self.frames):
            if times.frame == frame:
                times.sent = now
                return
            if times.frame < frame:
                return


def chrome_trace(frames: Iterable[FrameTimes], session: str) -> dict[str, Any]:
    """Return the frames in Chrome's trace format, for ``chrome://tracing`` or ui.perfetto.dev.

    Frames overlap, so that of each stage even and odd ones lie on rows of their own.
    """
    events: list[dict[str, Any]] = [
        {"ph": "M", "name": "process_name", "pid": pid, "args": {"name": name}}
        for pid, name in ((_EDGE, f"edge, session {session}"), (_WORKER, "worker"))
    ]
    rows = len(STAGES)
    for place, (name, pid) in enumerate(STAGES):
        for row in range(_ROWS):
            tid = 1 + place + rows * row
            label = {"name": "thread_name", "pid": pid, "tid": tid, "args": {"name": name}}
            order = {"name": "thread_sort_index", "pid": pid, "tid": tid}
            events += [
                {"ph": "M", **label},
                {"ph": "M", **order, "args": {"sort_index": _ROWS * place + row}},
            ]
    for times in frames:
        for place, (name, pid, start, end) in enumerate(times.spans()):
            if not times.shown and place < _FIRST_OF_REPEATS:
                continue
            events.append(
                {
                    "ph": "X",
                    "name": name,
                    "cat": "frame" if times.shown else "repeated",
                    "pid": pid,
                    "tid": 1 + place + rows * (times.frame % _ROWS),
                    "ts": round(start * 1e6, 1),
                    "dur": round(max(0.0, end - start) * 1e6, 1),
                    "args": {"frame": times.frame},
                }
            )
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def chrome_trace_json(frames: Iterable[FrameTimes], session: str) -> str:
    """Return :func:`chrome_trace` as the text of a file."""
    return json.dumps(chrome_trace(frames, session), separators=(",", ":"))
