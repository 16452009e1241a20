"""Encoded pictures to RTP payloads, once for everybody who watches.

A packet of at most ``MAX_PAYLOAD`` bytes fits a line that carries 1280 bytes (IPv6's least, and
what VPNs such as WireGuard leave): 40 IPv6 + 8 UDP + 12 RTP + 20 header extensions + 2
retransmission + 16 authentication + payload <= 1280, and an RTP packet stays within the 1200 bytes
that browsers send.
"""

from __future__ import annotations

import re

MAX_PAYLOAD = 1160  # bytes
_START = re.compile(rb"\x00*\x00\x00\x01")
_STAP_A, _FU_A = 24, 28  # H.264 packet types, RFC 6184 section 5.2
_PICTURE_IDS = 1 << 15


def h264(data: bytes) -> list[bytes]:
    """Return the payloads of one access unit in Annex-B form (RFC 6184, packetization-mode 1)."""
    payloads: list[bytes] = []
    small: list[bytes] = []
    for unit in _START.split(data):
        if not unit:
            continue
        if len(unit) > MAX_PAYLOAD:
            _flush(small, payloads)
            payloads += _fragments(unit)
            continue
        if small and 1 + sum(2 + len(u) for u in (*small, unit)) > MAX_PAYLOAD:
            _flush(small, payloads)
        small.append(unit)
    _flush(small, payloads)
    return payloads


def _flush(small: list[bytes], payloads: list[bytes]) -> None:
    if len(small) == 1:
        payloads.append(small[0])
    elif small:
        header = max(unit[0] & 0x60 for unit in small) | _STAP_A
        parts = b"".join(len(unit).to_bytes(2, "big") + unit for unit in small)
        payloads.append(bytes([header]) + parts)
    small.clear()


def _fragments(unit: bytes) -> list[bytes]:
    """Return a unit in FU-A fragments of nearly equal size."""
    indicator, kind, body = unit[0] & 0xE0 | _FU_A, unit[0] & 0x1F, unit[1:]
    count = -(-len(body) // (MAX_PAYLOAD - 2))
    size = -(-len(body) // count)
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    last = len(pieces) - 1
    return [
        bytes([indicator, (n == 0) << 7 | (n == last) << 6 | kind]) + piece
        for n, piece in enumerate(pieces)
    ]


def vp8(data: bytes, picture_id: int) -> list[bytes]:
    """Return the payloads of one frame (RFC 7741) with a 15-bit picture id."""
    number = (0x8000 | picture_id % _PICTURE_IDS).to_bytes(2, "big")
    size = MAX_PAYLOAD - 4
    return [
        bytes([0x90 if at == 0 else 0x80, 0x80]) + number + data[at : at + size]
        for at in range(0, len(data), size)
    ]


class Packetiser:
    """The payloads of one stream.

    Args:
        codec: ``H264`` or ``VP8``.
    """

    def __init__(self, codec: str) -> None:
        self._h264 = codec.upper() == "H264"
        self._picture = 0

    def pack(self, data: bytes) -> list[bytes]:
        """Return the payloads of the next picture."""
        if self._h264:
            return h264(data)
        self._picture += 1
        return vp8(data, self._picture)
