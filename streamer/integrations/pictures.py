"""I420 pictures as other frameworks want them; needs Pillow, which they bring."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# BT.601 limited range (Y 16-235, C 16-240) to the full range that Pillow's YCbCr is in.
_LUMA: Final = [round(min(255.0, max(0.0, (v - 16) * 255 / 219))) for v in range(256)]
_CHROMA: Final = [round(min(255.0, max(0.0, (v - 128) * 255 / 224 + 128))) for v in range(256)]


def rgb(picture: NDArray[np.uint8]) -> Image.Image:
    """Return an I420 picture ``(H * 3 // 2, W)``, BT.601 limited range, as RGB."""
    height, width = picture.shape[0] * 2 // 3, picture.shape[1]
    flat = picture.reshape(-1)
    size, quarter = width * height, width * height // 4
    planes = [Image.fromarray(picture[:height]).point(_LUMA)]
    for at in (size, size + quarter):
        half = flat[at : at + quarter].reshape(height // 2, width // 2)
        wide = Image.fromarray(half).point(_CHROMA)
        planes.append(wide.resize((width, height), Image.Resampling.BILINEAR))
    return Image.merge("YCbCr", planes).convert("RGB")
