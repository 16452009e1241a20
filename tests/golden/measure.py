"""Enrol, draw and move everything once; ``python -m tests.golden.measure OUT.npz`` is the child."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tests.golden.record import CURVE_UNIT, Measurement

if TYPE_CHECKING:
    from tests.golden.product import Networks, Product

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 170
_WHOLE, _FACE = 16, 32  # sides of the small copies
_THUMB, _COLUMNS = 96, 8  # of the contact sheets
_CHUNK = 160  # samples: the 10 ms that a browser's packet holds
# Two networks do not differ at 256, where the server has only one of them.
_SETS: tuple[tuple[int, Networks], ...] = (
    (256, "bare"), (256, "shade"),
    (384, "bare"), (384, "shade"), (384, "light"),
    (512, "bare"), (512, "shade"), (512, "light"),
)  # fmt: skip
# Small copies of these are kept; the others differ from them by a mouth's light or by size alone.
_KEPT = {(256, "shade"), (512, "bare"), (512, "light")}
_SHEET = (512, "light")
_CALLS: dict[str, dict[str, object]] = {
    "call": {"fps": 25, "look_ahead_ms": 80, "seed": 7, "mood": "neutral", "style": 1.0},
    "lively": {"fps": 30, "look_ahead_ms": 40, "seed": 8, "mood": "lively", "style": 1.6},
    "interrupted": {"fps": 25, "look_ahead_ms": 120, "seed": 9, "mood": "warm", "style": 0.5},
}


def measure(environ: Mapping[str, str] | None = None) -> Measurement:
    """Measure in a fresh process, with one thread to each library, as the worker has it.

    The number of threads can change the bits of a product of matrices, and only what is in the
    environment before numpy is imported counts.

    Args:
        environ: further variables for the process.

    Raises:
        subprocess.CalledProcessError: it failed; what it said is on stderr.
    """
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    env = {**os.environ, **dict.fromkeys(names, "1"), **(environ or {})}
    # This checkout's product, whichever one is installed.
    paths = [str(ROOT), *filter(None, [env.get("PYTHONPATH")])]
    env["PYTHONPATH"] = os.pathsep.join(paths)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "measured.npz"
        command = [sys.executable, "-P", "-m", "tests.golden.measure", str(out)]
        subprocess.run(command, cwd=ROOT, env=env, check=True, timeout=TIMEOUT_S)
        return Measurement.load(out)


def digest(data: bytes) -> str:
    """Return the first 64 bits of the SHA-256, enough where nobody seeks a collision."""
    return hashlib.sha256(data).hexdigest()[:16]


def small_copy(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the whole picture and, finer, the half of it that the face fills: ``(pixels, 3)``.

    Means of whole pixels, so that no library's resampling is between the two sides.
    """
    side = len(picture)
    face = picture[side * 3 // 16 : side * 11 // 16, side // 4 : side * 3 // 4]
    return np.concatenate(
        [_shrunk(picture, _WHOLE).reshape(-1, 3), _shrunk(face, _FACE).reshape(-1, 3)]
    )


def _shrunk(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    every = len(picture) // side
    cells = picture.reshape(side, every, side, every, 3).astype(np.float64)
    return np.rint(cells.mean((1, 3))).astype(np.uint8)


def _main(out: Path) -> None:
    import cv2

    from tests.golden import material
    from tests.golden.product import Product, parts

    cv2.setNumThreads(1)
    found = Measurement({}, {})
    product = Product()
    for name, photo in material.photos().items():
        found.hashes[f"photos/{name}"] = digest(photo.tobytes())
        identity = product.enrol(photo)
        for part, data in parts(identity).items():
            found.hashes[f"identities/{name}/{part}"] = digest(data)
        for size, networks in _SETS:
            renderer = product.renderer(identity, size, networks)
            thumbs = []
            for pose, vector in material.poses().items():
                picture = renderer.render(vector)
                key = f"frames/{name}/{size} {networks}/{pose}"
                found.hashes[key] = digest(picture.tobytes())
                if (size, networks) in _KEPT:
                    found.small[key] = small_copy(picture)
                if (size, networks) == _SHEET:
                    thumbs.append(_shrunk(picture[32:416, 64:448], _THUMB))
            if thumbs:
                rows = [thumbs[i : i + _COLUMNS] for i in range(0, len(thumbs), _COLUMNS)]
                found.sheets[name] = np.concatenate([np.concatenate(r, 1) for r in rows])
    product.close()
    for name, curves in _curves(product).items():
        found.hashes[f"motion/{name}"] = digest(curves.tobytes())
        found.small[f"motion/{name}"] = np.rint(curves / CURVE_UNIT).astype(np.int16)
    found.save(out)


def _curves(product: Product) -> dict[str, NDArray[np.float32]]:
    """Return the coefficients of three calls, pushed as packets come."""
    from tests.golden import material

    said, heard = material.utterance(), material.reply()
    found = {}
    for name, settings in _CALLS.items():
        stream = product.stream(**settings)
        frames = []
        for start in range(0, len(said) - _CHUNK + 1, _CHUNK):
            if name == "interrupted" and start == len(said) // (2 * _CHUNK) * _CHUNK:
                stream.reset()
            chunk = slice(start, start + _CHUNK)
            other = heard[chunk] if name == "lively" else None
            frames.append(stream.push(said[chunk], heard=other))
        found[name] = np.concatenate(frames)
    return found


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
