"""A receive jitter buffer that adds no delay of its own.

Packets in order leave at once. Behind a hole they wait until two later packets have come; then the
hole is given up, because at 10-20 ms a packet waiting longer costs more than a concealed gap.
Whoever takes the packets sees a gap in the timestamps and conceals it.
"""

from __future__ import annotations

from typing import NamedTuple

MAX_WAITING = 2  # later packets that may come before a hole is given up
MAX_DISORDER = 100  # beyond, the sender has started over


class AudioPacket(NamedTuple):
    """One RTP packet.

    Attributes:
        sequence: RTP sequence number, 16 bits.
        timestamp: media time in the codec's clock; 32 bits on the way in, unwrapped on the way out.
        payload_type: RTP payload type.
        payload: the codec's bytes.
    """

    sequence: int
    timestamp: int
    payload_type: int
    payload: bytes


class JitterBuffer:
    """Orders packets.

    Attributes:
        lost: packets given up.
        late: packets that came after they were given up, or twice.
    """

    def __init__(self) -> None:
        self.lost = 0
        self.late = 0
        self._next: int | None = None
        self._waiting: dict[int, AudioPacket] = {}
        self._last_timestamp: int | None = None

    def push(self, packet: AudioPacket) -> list[AudioPacket]:
        """Take a packet; return those that may leave, in order, with unwrapped timestamps."""
        if self._next is None:
            self._next = packet.sequence
        ahead = (packet.sequence - self._next) & 0xFFFF
        if ahead >= 0x8000:
            if 0x10000 - ahead < MAX_DISORDER:
                self.late += 1
                return []
            self._restart(packet)
        elif ahead > MAX_DISORDER:
            self._restart(packet)
        if packet.sequence in self._waiting:
            self.late += 1
            return []
        self._waiting[packet.sequence] = packet
        out = self._in_order()
        while len(self._waiting) >= MAX_WAITING:
            self._skip_hole()
            out += self._in_order()
        return out

    def _restart(self, packet: AudioPacket) -> None:
        self._next = packet.sequence
        self._waiting.clear()
        self._last_timestamp = None

    def _in_order(self) -> list[AudioPacket]:
        out: list[AudioPacket] = []
        assert self._next is not None
        while (packet := self._waiting.pop(self._next, None)) is not None:
            out.append(packet._replace(timestamp=self._unwrap(packet.timestamp)))
            self._next = (self._next + 1) & 0xFFFF
        return out

    def _skip_hole(self) -> None:
        assert self._next is not None
        origin = self._next
        nearest = min(self._waiting, key=lambda s: (s - origin) & 0xFFFF)
        self.lost += (nearest - origin) & 0xFFFF
        self._next = nearest

    def _unwrap(self, timestamp: int) -> int:
        if self._last_timestamp is None:
            self._last_timestamp = timestamp
        else:
            step = (timestamp - self._last_timestamp) & 0xFFFFFFFF
            self._last_timestamp += step - (1 << 32 if step >= 1 << 31 else 0)
        return self._last_timestamp
