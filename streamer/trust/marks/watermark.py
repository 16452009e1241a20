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
_FLAT: Final = 0.5  # steps of 255 between neighbours, below which there is nothing to hide behind
_SOFT: Final = 2.0  # below which there is little: out-of-focus ground, a cheek
_EDGE: Final = 15.0  # as much as one step counts: a single edge makes no busy ground
_LEAST_BUSY: Final = 1 / 3  # of the blocks, so that blocks of one colour may carry nothing
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


UNNAMED: Final = bytes(PAYLOAD_BYTES)
"""What is carried where no server has given a name: no deployment, no session, no tag."""


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
    """Adds one payload's pattern to the pictures of one size, the less of it the flatter they are.

    What the eye notices is a step on smooth ground; where much happens it is masked (contrast
    masking, Legge and Foley 1980). Blocks of one colour therefore carry nothing, soft ones one half
    of the pattern only, lighter blocks beside untouched ones, which is half the contrast.

    Args:
        payload: 8 bytes.
        width: of the pictures in pixels.
        height: likewise.
        fps: frames per second.
    """

    def __init__(self, payload: bytes, width: int, height: int, fps: float) -> None:
        self._block = _BLOCK_PX * (2 if min(width, height) >= _LARGE else 1)
        self._width, self._height = width, height
        rows, columns = -(-height // self._block), -(-width // self._block)
        whole = np.tile(tile(payload), (-(-rows // BLOCKS), -(-columns // BLOCKS)))
        pattern = whole[:rows, :columns]
        self._signs = tuple(((pattern * s) > 0).astype(np.uint8) * np.uint8(STEP) for s in (1, -1))
        self._half = max(1, round(HALF_S * fps))
        # Steps to the right and down; a border that has no neighbour stays zero. Kept, since large
        # arrays that are made and dropped for every frame cost more than what is done with them.
        grown = (rows * self._block, columns * self._block)
        self._across, self._down, self._steps = (np.zeros(grown, np.uint8) for _ in range(3))
        self._share = np.full(self._block, self._block**-2, np.float32)

    def add(self, luma: NDArray[np.uint8], number: int) -> None:
        """Add a frame's pattern to a luma plane, or to an RGB picture, in place.

        Args:
            luma: ``(H, W)`` or ``(H, W, 3)`` uint8.
            number: of the frame, which its media time is.
        """
        flipped = number // self._half % 2 == 1
        light, dark = self._signs[::-1] if flipped else self._signs
        activity = self._activity(luma)
        busy = activity >= _FLAT
        if np.count_nonzero(busy) < _LEAST_BUSY * busy.size:  # too little would carry it
            busy[:] = True
        for blocks, lay in ((light * busy, cv2.add), (dark * (activity >= _SOFT), cv2.subtract)):
            steps = self._grown(blocks)
            lay(luma, cv2.merge([steps] * 3) if luma.ndim == 3 else steps, dst=luma)

    def _activity(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return how much happens in each block: the mean step between neighbours, of 255."""
        luma = cv2.extractChannel(picture, 1) if picture.ndim == 3 else picture
        height, width, block = self._height, self._width, self._block
        cv2.absdiff(luma[:, 1:], luma[:, :-1], dst=self._across[:height, : width - 1])
        cv2.absdiff(luma[1:], luma[:-1], dst=self._down[: height - 1, :width])
        steps = cv2.add(self._across, self._down, dst=self._steps)
        cv2.threshold(steps, _EDGE, 0, cv2.THRESH_TRUNC, dst=steps)
        rows, columns = self._signs[0].shape
        sums = np.add.reduce(steps.reshape(rows, block, -1), axis=1, dtype=np.uint16)
        each = sums.astype(np.float32).reshape(-1, block)
        mean = np.asarray(each @ self._share, np.float32).reshape(rows, columns)
        return np.minimum(mean, cv2.blur(mean, (3, 3)))

    def _grown(self, blocks: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return one value a block as one a pixel; good until the next call."""
        wide = np.repeat(blocks, self._block, 1)
        self._steps.reshape(len(blocks), self._block, -1)[:] = wide[:, None]
        return self._steps[: self._height, : self._width]
