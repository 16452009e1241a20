"""The parts of the drawn square that hold the person, enlarged and laid over what stands still.

A person fills half of their square, the head less than the shoulders. So the square is seen as
cells of 16 pixels and two boxes of them are enlarged, the upper and the lower one, each as narrow
as the person is there.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Box = tuple[int, int, int, int]
"""(left, top, right, bottom), the last two exclusive."""

CELL = 16  # drawn pixels; a multiple of a 32nd of 512, so that they fall on whole canvas pixels
_jit = njit(cache=True, fastmath=True, nogil=True, boundscheck=False)


@_jit
def lay_alone(person, left, top, out, alpha):
    """Lay ``(h, w, 4)`` uint8 person over black at ``(left, top)``, as ``warp.lay_over`` would.

    Args:
        person: straight colour and opacity.
        left: column of ``out`` and ``alpha``.
        top: row of the same.
        out: ``(S, S, 3)`` premultiplied colour, written.
        alpha: ``(S, S)`` opacity, written.
    """
    for j in range(person.shape[0]):
        y = j + top
        for i in range(person.shape[1]):
            x = i + left
            a = np.int32(person[j, i, 3])
            alpha[y, x] = person[j, i, 3]
            for k in range(3):
                mixed = a * np.int32(person[j, i, k])
                out[y, x, k] = (mixed + 128 + ((mixed + 128) >> 8)) >> 8


@_jit
def find(alpha, crop, low, high):
    """Find the cells in which there is any of the person.

    Args:
        alpha: ``(S, S)``.
        crop: ``(4,)`` int64 box in pixels, a multiple of ``CELL`` at its left and top.
        low: per row of cells the first one with a person; past the last where there is none.
        high: one past the last of them; 0 where there is none.
    """
    low[:] = 1 << 30
    high[:] = 0
    for y in range(crop[1], crop[3]):
        first, last = crop[0], crop[2] - 1
        while first <= last and alpha[y, first] == 0:
            first += 1
        if first > last:
            continue
        while alpha[y, last] == 0:
            last -= 1
        row = y // CELL
        low[row] = min(low[row], first // CELL)
        high[row] = max(high[row], last // CELL + 1)


@_jit
def halves(low, high):
    """Return the row of cells at which a cut saves the most area, and where there is any.

    Returns:
        First row with a person, the row of the cut, one past the last row with a person.
    """
    rows = low.shape[0]
    top, bottom = rows, 0
    for r in range(rows):
        if high[r]:
            top = min(top, r)
            bottom = r + 1
    best, cut = 1 << 30, bottom
    for at in range(top + 1, bottom + 1):
        area = 0
        for start, stop in ((top, at), (at, bottom)):
            left, right = 1 << 30, 0
            for r in range(start, stop):
                left, right = min(left, low[r]), max(right, high[r])
            if right:
                area += (stop - start + 2) * (right - left + 2)
        if area < best:
            best, cut = area, at
    return top, cut, bottom


@_jit
def compose(person, rest, out):
    """Lay premultiplied ``person`` over ``rest``.

    Args:
        person: ``(h, w, 4)`` uint8, colour and opacity.
        rest: ``(h, w, 3)`` uint8.
        out: ``(h, w, 3)`` uint8 written.
    """
    for y in range(person.shape[0]):
        for x in range(person.shape[1]):
            a = np.int32(person[y, x, 3])
            if a == 255:
                out[y, x, 0] = person[y, x, 0]
                out[y, x, 1] = person[y, x, 1]
                out[y, x, 2] = person[y, x, 2]
            elif a == 0:
                out[y, x, 0] = rest[y, x, 0]
                out[y, x, 1] = rest[y, x, 1]
                out[y, x, 2] = rest[y, x, 2]
            else:
                for k in range(3):
                    behind = (np.int32(255) - a) * np.int32(rest[y, x, k])
                    behind = (behind + 128 + ((behind + 128) >> 8)) >> 8
                    out[y, x, k] = min(np.int32(255), np.int32(person[y, x, k]) + behind)


@_jit
def compose_opacity(person, rest, out):
    """Write the opacity of ``(h, w, 4)`` ``person`` over ``rest`` into all channels of ``out``."""
    for y in range(person.shape[0]):
        for x in range(person.shape[1]):
            alpha = np.int32(person[y, x, 3])
            behind = (255 - alpha) * np.int32(rest[y, x])
            a = alpha + ((behind + 128 + ((behind + 128) >> 8)) >> 8)
            for k in range(out.shape[2]):
                out[y, x, k] = np.uint8(min(np.int32(255), a))


@dataclass(frozen=True)
class Patch:
    """A part of the canvas in which the person is.

    Attributes:
        box: where it lies on the canvas.
        person: ``(h, w, 4)`` uint8, premultiplied colour and opacity; valid until the next frame.
    """

    box: Box
    person: Image


class Patches:
    """Cuts frames of the person into parts of a canvas.

    Args:
        drawn: side of the drawn square in pixels.
        side: of the square on the canvas, a multiple of ``drawn / CELL`` or the same.
        left: column of the canvas at which the square begins, may be negative.
        top: row, likewise.
        width: of the canvas.
        height: of the canvas.
    """

    def __init__(self, drawn: int, side: int, left: int, top: int, width: int, height: int) -> None:
        self._drawn, self._scale = drawn, side / drawn
        self._left, self._top, self._width, self._height = left, top, width, height
        cells = -(-drawn // CELL)
        self._low = np.zeros(cells, np.int64)
        self._high = np.zeros(cells, np.int64)
        self._joined = np.zeros((drawn, drawn, 4), np.uint8)
        (x0, x1), (y0, y1) = self._shown(left, width), self._shown(top, height)
        self._crop = np.array([x0, y0, x1, y1], np.int64)

    def _shown(self, start: int, length: int) -> tuple[int, int]:
        """Return first and last drawn pixel that the canvas shows, whole cells."""
        cell = CELL * self._scale
        first = max(0, int(np.floor(-start / cell))) * CELL
        last = min(self._drawn, int(np.ceil((length - start) / cell)) * CELL)
        return first, max(first, last)

    def cut(self, colour: Image, alpha: Image) -> list[Patch]:
        """Return where on the canvas the person is, at most two parts.

        Args:
            colour: ``(S, S, 3)`` premultiplied RGB.
            alpha: ``(S, S)`` opacity.
        """
        find(alpha, self._crop, self._low, self._high)
        cv2.mixChannels([colour, alpha], [self._joined], [0, 0, 1, 1, 2, 2, 3, 3])
        top, cut, bottom = halves(self._low, self._high)
        patches = []
        for start, stop in ((top, cut), (cut, bottom)):
            rows = slice(start, stop)
            first = int(self._low[rows].min(initial=1 << 30))
            last = int(self._high[rows].max(initial=0))
            if first < last:
                patches.append(self._patch(first, start, last, stop))
        return patches

    def _patch(self, x0: int, y0: int, x1: int, y1: int) -> Patch:
        """Enlarge a box of cells; what the interpolation sees around it is cut off again."""
        scaled = self._scale != 1
        reach = CELL if scaled else 0  # enlarged, the person also reaches a little further
        inner = self._clip([x0 * CELL - reach, y0 * CELL - reach, x1 * CELL + reach,
                            y1 * CELL + reach])  # fmt: skip
        outer = self._clip([v + d * reach for v, d in zip(inner, (-1, -1, 1, 1), strict=True)])
        person = self._joined[outer[1] : outer[3], outer[0] : outer[2]]
        on_canvas = [round(v * self._scale) for v in inner]
        if scaled:
            size = (outer[2] - outer[0], outer[3] - outer[1])
            grown = tuple(round(v * self._scale) for v in size)
            person = cv2.resize(person, grown, interpolation=cv2.INTER_CUBIC)
        x = on_canvas[0] - round(outer[0] * self._scale)
        y = on_canvas[1] - round(outer[1] * self._scale)
        person = person[y : y + on_canvas[3] - on_canvas[1], x : x + on_canvas[2] - on_canvas[0]]
        return self._inside(person, self._left + on_canvas[0], self._top + on_canvas[1])

    def _clip(self, box: list[int]) -> list[int]:
        x0, y0, x1, y1 = (int(v) for v in self._crop)
        return [max(x0, box[0]), max(y0, box[1]), min(x1, box[2]), min(y1, box[3])]

    def _inside(self, person: Image, left: int, top: int) -> Patch:
        """Cut off what lies outside of the canvas, less than a cell on every side."""
        right = min(self._width, left + person.shape[1])
        bottom = min(self._height, top + person.shape[0])
        x0, y0 = max(0, left), max(0, top)
        return Patch(
            (x0, y0, right, bottom), person[y0 - top : bottom - top, x0 - left : right - left]
        )
