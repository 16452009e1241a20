"""Pairs on disk as coded pictures: small enough to be carried to the machine that trains.

One ``.npz`` holds JPEGs (4:4:4) and PNGs as one array of bytes, and numbers as arrays. Nothing is
pickled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

QUALITY = 93
_SHIFT = 127.0  # steps of the root of a shift; small shifts are kept more finely
# How much worse than asked a picture may be; from the photo a network takes what it has lost.
_LOSSY = {"warped": 0, "photo": 15, "interior": 0, "target": 0}
_COARSE = 4  # a shift is kept for squares of so many pixels


def _code(picture: NDArray[np.uint8], quality: int | None) -> bytes:
    how = []
    if quality is not None:
        how = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111]
    good, blob = cv2.imencode(".png" if quality is None else ".jpg", picture, how)
    if not good:
        raise ValueError("A picture could not be written.")
    return blob.tobytes()


def code_shift(shift: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Bring shifts ``(H, W, 2)`` within 1 to ``(H/4, W/4, 3)`` uint8; the third is nothing."""
    rows, columns = shift.shape[:2]
    square = shift.astype(np.float32).reshape(
        rows // _COARSE, _COARSE, columns // _COARSE, _COARSE, 2
    )
    mean = square.mean((1, 3))
    small = np.rint(np.sign(mean) * np.sqrt(np.abs(mean)) * _SHIFT + _SHIFT)
    return np.dstack([np.clip(small, 0, 255), np.zeros(small.shape[:2])]).astype(np.uint8)


def read_shift(coded: NDArray[np.uint8]) -> NDArray[np.float16]:
    """Return shifts ``(H, W, 2)`` float16 of coded ones, the same over every square."""
    root = (coded[..., :2].astype(np.float32) - _SHIFT) / _SHIFT
    small = np.sign(root) * root**2
    return small.astype(np.float16).repeat(_COARSE, 0).repeat(_COARSE, 1)


def write_coded(
    path: Path, pairs: Sequence[dict[str, NDArray | int | bool]], quality: int = QUALITY
) -> None:
    """Write one shard; it appears only when it is complete. Equal pictures are kept once.

    Args:
        path: of the shard.
        pairs: pictures (uint8), ``shift`` and numbers by name, the same names in each.
        quality: of the JPEGs, 1-100.
    """
    arrays: dict[str, NDArray] = {}
    blobs: dict[bytes, int] = {}
    for name in pairs[0]:
        values = [p[name] for p in pairs]
        if not isinstance(values[0], np.ndarray):
            arrays[name] = np.array(values)
            continue
        places = []
        for value in values:
            picture = code_shift(value) if name == "shift" else value  # type: ignore[arg-type]
            lossy = quality - _LOSSY[name] if name in _LOSSY else None
            blob = _code(picture, lossy)  # type: ignore[arg-type]
            places.append(blobs.setdefault(blob, len(blobs)))
        arrays["picture/" + name] = np.array(places)
    arrays["blobs"] = np.frombuffer(b"".join(blobs), np.uint8)
    arrays["lengths"] = np.array([len(b) for b in blobs])
    write_arrays(path, arrays)


def write_arrays(path: Path, arrays: Mapping[str, NDArray]) -> None:
    """Write a shard that appears only when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        np.savez(file, **arrays)
    partial.replace(path)


def read_coded(paths: Iterable[Path], threads: int = 1) -> dict[str, list[NDArray]]:
    """Read shards into arrays by name, one for each shard.

    Raises:
        ValueError: a picture is damaged.
    """
    parts: dict[str, list[NDArray]] = {}
    with ThreadPoolExecutor(threads) as pool:
        for path in sorted(paths):
            with np.load(path, allow_pickle=False) as shard:
                blobs = np.split(shard["blobs"], np.cumsum(shard["lengths"])[:-1])
                for name in shard.files:
                    if name.startswith("picture/"):
                        of = name.removeprefix("picture/")
                        pieces = [blobs[k] for k in shard[name]]
                        pictures = list(pool.map(_decode, pieces, [of] * len(pieces)))
                        parts.setdefault(of, []).append(np.stack(pictures))
                    elif name not in ("blobs", "lengths"):
                        parts.setdefault(name, []).append(shard[name])
    return parts


def _decode(blob: NDArray[np.uint8], name: str) -> NDArray:
    picture = cv2.imdecode(blob, cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise ValueError("A picture of the pairs is damaged.")
    return read_shift(picture) if name == "shift" else picture
