"""RGB pictures of which little changes, as I420: only what changed is converted again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from visavis.streamer.media.encoder import to_i420

Image = NDArray[np.uint8]
_WHOLE = 0.75  # of the picture: from there on all of it is as cheap


class Still:
    """Converts the pictures of one stream; what stands still is copied from the last one."""

    def __init__(self) -> None:
        self._last: Image | None = None

    def convert(self, rgb: Image, changed: Sequence[tuple[int, int, int, int]] | None) -> Image:
        """Return a picture as I420 that is never written to again.

        Args:
            rgb: ``(H, W, 3)``, both even.
            changed: (left, top, right, bottom) of everything that differs from the last picture;
                None if that is not known.

        Returns:
            ``(H * 3 // 2, W)``, the same as :func:`to_i420` gives for the whole picture.
        """
        height, width = rgb.shape[:2]
        last, shape = self._last, (height * 3 // 2, width)
        area = width * height
        if changed is not None:
            area = sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in changed)
        if last is None or last.shape != shape or area > _WHOLE * width * height:
            self._last = to_i420(rgb)
            return self._last
        out = last.copy()
        for x0, y0, x1, y1 in changed or ():
            # Chroma is shared by 2 x 2 pixels, and its rows lie two in one of the picture's.
            box = (x0 & ~1, y0 & ~1, min(width, x1 + 1 & ~1), min(height, y1 + 1 & ~1))
            _put(out, rgb, box)
        self._last = out
        return out


def _put(out: Image, rgb: Image, box: tuple[int, int, int, int]) -> None:
    """Convert one even box of the picture into its place."""
    x0, y0, x1, y1 = box
    height, width = rgb.shape[:2]
    rows, columns = y1 - y0, x1 - x0
    part = to_i420(rgb[y0:y1, x0:x1])
    out[y0:y1, x0:x1] = part[:rows]
    quarter, size = rows * columns // 4, width * height // 4
    chroma, small = part.reshape(-1)[rows * columns :], out.reshape(-1)[width * height :]
    for k in range(2):
        plane = small[k * size : (k + 1) * size].reshape(height // 2, width // 2)
        cut = chroma[k * quarter : (k + 1) * quarter].reshape(rows // 2, columns // 2)
        plane[y0 // 2 : y1 // 2, x0 // 2 : x1 // 2] = cut
