"""When a picture begins to move because of a sound, and when it is still again.

For servers that burn no stamp into their pictures. The page keeps each shown frame as a coarse grey
grid. Sounds leave the microphone at known times after a rest; cells of the grid that change after
sounds, and do not before, are the mouth (or whatever the server moves). A response begins with the
first of two frames in a row in which these cells differ from the picture before the sound by more
than idle movement explains.

The cells are chosen on one half of the sounds and used on the other, so that choosing cannot find
what is not there; and the same search is made at sham times within the rest, whose hits are
reported as ``false_rate``. The resolution is one frame (40 ms at 25 fps), and the onset comes later
than the first sound by however long the mouth takes to move a sixth of its way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, label

Grids = NDArray[np.float32]
REST_MS = 250.0  # before a sound: what the picture looks like at rest
WITHIN_MS = 900.0  # a response later than this is none, unless the caller says otherwise
_CELLS = 0.03  # of the picture: the surest answering cells
_CLEAR = 4.5  # standard errors that make a cell's answer more than chance
_SHARE = 1 / 6  # of the usual movement: the mouth has begun to move, or has stopped
_NOISE = 5.0  # standard deviations of idle movement that do not count
_STILL_MS = (600.0, 1000.0)  # after a stop: by then any mouth has come to rest


@dataclass(frozen=True)
class Movement:
    """The pictures of a call.

    Attributes:
        wall: milliseconds at which each frame was shown, ascending, shape (frames,).
        grids: grey levels, shape (frames, cells).
    """

    wall: NDArray[np.float64]
    grids: Grids

    def between(self, start: float, stop: float) -> slice:
        """Return the frames shown in ``[start, stop)``."""
        first, last = np.searchsorted(self.wall, (start, stop))
        return slice(int(first), int(last))


@dataclass(frozen=True)
class Responses:
    """What followed the sounds.

    Attributes:
        onsets: wall time of the first moved frame for each sound, NaN where there was none.
        false_rate: share of sham sounds that were "answered".
        cells: places of the answering cells over all sounds, ascending.
    """

    onsets: NDArray[np.float64]
    false_rate: float
    cells: NDArray[np.intp]


def rest_of(movement: Movement, sound: float) -> NDArray[np.float32] | None:
    """Return the picture before a sound, shape (cells,), or None where no frame was shown."""
    frames = movement.grids[movement.between(sound - REST_MS, sound)]
    return np.median(frames, axis=0) if len(frames) else None


def answering_cells(
    movement: Movement, sounds: Sequence[float], within: float = WITHIN_MS
) -> NDArray[np.intp]:
    """Return the cells that change after sounds and not before, ascending; maybe none."""
    # Steps between frames are as large before a sound as after it where a picture only idles; the
    # distance from the picture at rest is not, it grows with time as a head sways.
    gains = []
    for sound in sounds:
        after = movement.grids[movement.between(sound, sound + within)]
        before = movement.grids[movement.between(sound - REST_MS, sound)]
        if len(after) > 1 and len(before) > 1:
            steps = [np.abs(np.diff(part, axis=0)).mean(axis=0) for part in (before, after)]
            gains.append(steps[1] - steps[0])
    if len(gains) < 3:
        return np.zeros(0, np.intp)
    stack = np.asarray(gains)
    # By certainty, not by size: the edge of a head that sways changes more than a mouth does.
    certainty = stack.mean(axis=0) / (stack.std(axis=0, ddof=1) / np.sqrt(len(stack)) + 0.05)
    clear = np.flatnonzero(certainty > _CLEAR)
    most = max(4, int(_CELLS * movement.grids.shape[1]))
    return _together(clear[np.argsort(certainty[clear])[::-1][:most]], certainty)


def _together(cells: NDArray[np.intp], certainty: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the surest patch of neighbouring cells, ascending: a mouth, without the eyes."""
    side = math.isqrt(len(certainty))
    if not len(cells) or side * side != len(certainty):
        return np.sort(cells)
    mask = np.zeros(side * side, bool)
    mask[cells] = True
    patches, _ = label(binary_dilation(mask.reshape(side, side), np.ones((3, 3))))
    weight = np.bincount(patches.ravel()[cells], certainty[cells])
    weight[0] = 0
    return np.sort(cells[patches.ravel()[cells] == weight.argmax()])


def responses(movement: Movement, sounds: Sequence[float], within: float = WITHIN_MS) -> Responses:
    """Find when the picture answers each sound.

    Args:
        movement: the call.
        sounds: wall times at which sounds left, each after at least twice ``REST_MS`` of silence
            as seen in the picture.
        within: milliseconds after which an answer is none.
    """
    times = np.asarray(sounds, float)
    onsets = np.full(len(times), np.nan)
    shams, hits = 0, 0
    for half in (0, 1):
        cells = answering_cells(movement, times[1 - half :: 2], within)
        mine = times[half::2]
        if not len(cells):
            continue
        curves = [_curve(movement, sound, cells, within) for sound in mine]
        threshold = _threshold(curves)
        onsets[half::2] = [_onset(curve, threshold) for curve in curves]
        for sound in mine:
            # A sham sound ends its search where the true one begins.
            curve = _curve(movement, sound - REST_MS, cells, REST_MS)
            shams += 1
            hits += bool(np.isfinite(_onset(curve, threshold)))
    return Responses(
        onsets, hits / shams if shams else 0.0, answering_cells(movement, times, within)
    )


@dataclass(frozen=True)
class _Curve:
    wall: NDArray[np.float64]
    moved: NDArray[np.float32]
    idle: NDArray[np.float32]


def _curve(movement: Movement, sound: float, cells: NDArray[np.intp], within: float) -> _Curve:
    rest = rest_of(movement, sound)
    after, before = (
        movement.between(sound, sound + within),
        movement.between(sound - REST_MS, sound),
    )
    if rest is None:
        return _Curve(movement.wall[:0], np.zeros(0, np.float32), np.zeros(0, np.float32))
    grids = movement.grids[:, cells]
    moved = np.abs(grids[after] - rest[cells]).mean(axis=1)
    idle = np.abs(grids[before] - rest[cells]).mean(axis=1)
    return _Curve(movement.wall[after], moved, idle)


def _threshold(curves: Sequence[_Curve]) -> float:
    """Return what counts as moved: a share of the usual movement, but clear of idle movement."""
    peaks = [float(c.moved.max()) for c in curves if len(c.moved)]
    idle = np.concatenate([c.idle for c in curves]) if curves else np.zeros(0)
    if not peaks or not len(idle):
        return float("inf")
    floor = float(np.median(idle))
    spread = 1.4826 * float(np.median(np.abs(idle - floor))) + 0.05  # grey levels of rounding
    return max(floor + _NOISE * spread, floor + _SHARE * (float(np.median(peaks)) - floor))


def _onset(curve: _Curve, threshold: float) -> float:
    over = curve.moved > threshold
    both = np.flatnonzero(over[:-1] & over[1:])
    return float(curve.wall[both[0]]) if len(both) else float("nan")


def still_after(movement: Movement, stop: float, cells: NDArray[np.intp]) -> float:
    """Return the wall time of the first still frame after speech was stopped, or NaN.

    Still means that from here on frames follow each other with less than a sixth of the change
    that they had while there was speech, as far as idle movement allows. A head that goes on
    swaying changes the picture too, but slowly; hence steps from frame to frame, not the distance
    to some final picture.
    """
    if not len(cells):
        return float("nan")
    steps = np.abs(np.diff(movement.grids[:, cells], axis=0)).mean(axis=1)
    walls = movement.wall[1:]
    speaking = steps[(walls > stop - _STILL_MS[0]) & (walls <= stop)]
    idle = steps[(walls > stop + _STILL_MS[0]) & (walls <= stop + _STILL_MS[1])]
    if min(len(speaking), len(idle)) < 3:
        return float("nan")
    usual = float(np.percentile(speaking, 75))
    threshold = max(float(np.percentile(idle, 90)) * 1.5, _SHARE * usual)
    if usual <= threshold:
        return float("nan")  # the mouth did not move before the stop
    after = np.flatnonzero((walls > stop) & (walls <= stop + _STILL_MS[1]))
    moved = after[steps[after] > threshold]
    first = int(moved[-1]) + 1 if len(moved) else int(after[0])
    return float(walls[first]) if first <= after[-1] else float("nan")
