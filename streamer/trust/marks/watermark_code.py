"""The watermark's bits: payload, checksum, convolutional code and its soft decoder.

Rate 1/2, constraint length 7, generators 133 and 171 (octal), ended by zeros: the code of
CCSDS 131.0-B and IEEE 802.11, decoded by Viterbi's algorithm on soft values.
"""

from __future__ import annotations

import binascii
from typing import Final

import numpy as np
from numpy.typing import NDArray

PAYLOAD_BYTES: Final = 8
_CHECK_BITS: Final = 16
_MEMORY: Final = 6
_STATES: Final = 1 << _MEMORY
_GENERATORS: Final = (0o133, 0o171)
BITS: Final = 8 * PAYLOAD_BYTES + _CHECK_BITS
CODED: Final = 2 * (BITS + _MEMORY)
"""Coded bits of one payload."""

Floats = NDArray[np.float64]


def encode(payload: bytes) -> NDArray[np.int8]:
    """Return the coded bits of a payload as ``(CODED,)`` of -1 and 1.

    Args:
        payload: 8 bytes.
    """
    if len(payload) != PAYLOAD_BYTES:
        raise ValueError(f"A payload has {PAYLOAD_BYTES} bytes, not {len(payload)}.")
    whole = payload + _check(payload).to_bytes(2, "big")
    bits = [*np.unpackbits(np.frombuffer(whole, np.uint8)), *([0] * _MEMORY)]
    out: list[int] = []
    state = 0
    for bit in bits:
        window = int(bit) << _MEMORY | state
        out += [_parity(window & generator) for generator in _GENERATORS]
        state = window >> 1
    return np.asarray(out, np.int8) * 2 - 1


def decode(soft: Floats) -> tuple[bytes | None, int]:
    """Return the payload of coded bits that were received, and how many of those were wrong.

    Args:
        soft: ``(CODED,)``; the sign is the bit, the size how sure it is.

    Returns:
        None where the checksum does not fit.
    """
    outputs = _outputs()
    metric = np.full(_STATES, -np.inf)
    metric[0] = 0.0
    came_from = np.zeros((len(soft) // 2, _STATES), np.int64)
    states = np.arange(_STATES)
    # The state after a step is the newest six bits; its two forerunners differ in the oldest one.
    before = np.stack([(states << 1 & (_STATES - 1)), (states << 1 & (_STATES - 1)) | 1])
    bit = states >> (_MEMORY - 1)
    for step in range(len(soft) // 2):
        gain = outputs[bit, before] @ soft[2 * step : 2 * step + 2]
        candidates = metric[before] + gain
        best = candidates.argmax(0)
        metric = candidates[best, states]
        came_from[step] = before[best, states]
    bits: list[int] = []
    state = 0
    for step in range(len(soft) // 2 - 1, -1, -1):
        bits.append(state >> (_MEMORY - 1))
        state = int(came_from[step, state])
    whole = np.packbits(np.asarray(bits[::-1][:BITS], np.uint8)).tobytes()
    payload, check = whole[:PAYLOAD_BYTES], int.from_bytes(whole[PAYLOAD_BYTES:], "big")
    wrong = int((np.sign(soft) != encode(payload)).sum())
    return (payload if check == _check(payload) else None), wrong


def _outputs() -> Floats:
    """Return ``(2, 64, 2)``: what a bit sends in a state, as -1 and 1."""
    out = np.zeros((2, _STATES, 2))
    for bit in (0, 1):
        for state in range(_STATES):
            window = bit << _MEMORY | state
            out[bit, state] = [2 * _parity(window & g) - 1 for g in _GENERATORS]
    return out


def _check(payload: bytes) -> int:
    return binascii.crc_hqx(b"visavis" + payload, 0xFFFF)


def _parity(value: int) -> int:
    return value.bit_count() & 1
