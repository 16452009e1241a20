"""The imperceptible watermark: a tile of light and dark blocks that changes sign with time.

The picture is covered by tiles of 16 x 16 blocks; a block is lighter or darker by one step of 255.
A part of the blocks is known to everybody and tells a detector where tiles lie and how large they
are; the others carry 64 bits in a code that corrects errors. Every ``HALF_S`` the whole pattern
changes its sign, so that a detector can listen at that frequency and hear nothing of what stands
still. Spread spectrum after Cox et al. 1997; the lock-in is that of any weak-signal detector.
"""

# numpy's generators take whatever there is.
# pyright: reportUnknownMemberType=false
from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.streamer.trust.marks.watermark_code import CODED, PAYLOAD_BYTES, encode

BLOCKS: Final = 16  # a side of the tile
HALF_S: Final = 0.2  # seconds until the sign changes
STEP: Final = 1  # of 255
_BLOCK_PX: Final = 8
_LARGE: Final = 1000  # pixels of the shorter side from which on blocks are twice as large
_ID_BYTES: Final = 3
_SEED: Final = 0x5EED0A11


@dataclass(frozen=True)
class Payload:
    """What the 64 bits say.

    Attributes:
        deployment: 24 bits that name the server.
        session: 24 bits that name what was live.
        tag: 16 bits of an HMAC over both with the deployment's key.
    """

    deployment: int
    session: int
    tag: int

    def to_bytes(self) -> bytes:
        """Return the 8 bytes."""
        return (
            self.deployment.to_bytes(_ID_BYTES, "big")
            + self.session.to_bytes(_ID_BYTES, "big")
            + self.tag.to_bytes(PAYLOAD_BYTES - 2 * _ID_BYTES, "big")
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Payload:
        """Return what 8 bytes say."""
        parts = (data[:_ID_BYTES], data[_ID_BYTES : 2 * _ID_BYTES], data[2 * _ID_BYTES :])
        return cls(*(int.from_bytes(part, "big") for part in parts))

    def is_of(self, key: bytes) -> bool:
        """Whether the deployment with this key made it."""
        return self == payload_of(key, self.session)


def payload_of(key: bytes, session: int) -> Payload:
    """Return the payload of a deployment's session."""
    deployment = int.from_bytes(hashlib.sha256(b"visavis deployment" + key).digest()[:3], "big")
    said = deployment.to_bytes(3, "big") + session.to_bytes(3, "big")
    tag = int.from_bytes(hmac.digest(key, b"visavis watermark" + said, "sha256")[:2], "big")
    return Payload(deployment, session, tag)


def session_number(session_id: str) -> int:
    """Return the 24 bits by which a watermark names a session."""
    return int.from_bytes(hashlib.sha256(session_id.encode()).digest()[:3], "big")


def layout() -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int8]]:
    """Return which blocks of a tile carry data, which are known, and the signs of the latter.

    Returns:
        Indices ``(CODED,)`` and ``(256 - CODED,)`` into the flat tile, and -1 or 1 for the known.
    """
    rng = np.random.default_rng(_SEED)  # PCG64: the same everywhere
    order = rng.permutation(BLOCKS * BLOCKS)
    signs = rng.integers(0, 2, BLOCKS * BLOCKS).astype(np.int8) * 2 - 1
    return order[:CODED], order[CODED:], signs[: len(order) - CODED]


def whitening() -> NDArray[np.int8]:
    """Return the signs that data blocks are multiplied by, so that no payload makes stripes."""
    return np.random.default_rng(_SEED + 1).integers(0, 2, CODED).astype(np.int8) * 2 - 1


def tile(payload: bytes) -> NDArray[np.int8]:
    """Return the tile of a payload, ``(16, 16)`` of -1 and 1."""
    data, known, signs = layout()
    flat = np.zeros(BLOCKS * BLOCKS, np.int8)
    flat[data] = encode(payload) * whitening()
    flat[known] = signs
    return flat.reshape(BLOCKS, BLOCKS)


class Watermark:
    """Adds one payload's pattern to the pictures of one size.

    Args:
        payload: 8 bytes.
        width: of the pictures in pixels.
        height: likewise.
        fps: frames per second.
    """

    def __init__(self, payload: bytes, width: int, height: int, fps: float) -> None:
        block = _BLOCK_PX * (2 if min(width, height) >= _LARGE else 1)
        grown = np.kron(tile(payload), np.ones((block, block), np.int8))
        rows, columns = -(-height // grown.shape[0]), -(-width // grown.shape[1])
        pattern = np.tile(grown, (rows, columns))[:height, :width]
        self._light = np.ascontiguousarray((pattern > 0).astype(np.uint8) * np.uint8(STEP))
        self._dark = np.ascontiguousarray((pattern < 0).astype(np.uint8) * np.uint8(STEP))
        self._half = max(1, round(HALF_S * fps))

    def add(self, luma: NDArray[np.uint8], number: int) -> None:
        """Add a frame's pattern to a luma plane, or to an RGB picture, in place.

        Args:
            luma: ``(H, W)`` or ``(H, W, 3)`` uint8.
            number: of the frame, which its media time is.
        """
        flipped = number // self._half % 2 == 1
        light, dark = (self._dark, self._light) if flipped else (self._light, self._dark)
        if luma.ndim == 3:
            light, dark = (cv2.merge([plane] * 3) for plane in (light, dark))
        cv2.add(luma, light, dst=luma)
        cv2.subtract(luma, dark, dst=luma)
