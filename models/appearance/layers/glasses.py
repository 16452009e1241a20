"""Frames of glasses, which move with the head as one rigid thing."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.models.appearance.face.fit import EYE_CONTOUR
from visavis.models.appearance.layers.layers import push_pull
from visavis.models.arrays import Floats, Image

_UNIT = 100.0  # px between the eyes, at which frames are looked for
_WIDE, _HIGH = 340, 220
_MIDDLE = (170.0, 100.0)  # where the middle between the eyes goes
_EYES = ((33, 133), (263, 362))  # the subject's right eye is on the viewer's left
_RADII = np.linspace(0.53, 1.70, 79).astype(np.float32)
_SHIFTS = np.array([-2, -1, 0, 1, 2])
_COSTS = 0.125 * np.abs(_SHIFTS)[:, None]  # of sure contrast


class _GlassesTuning(NamedTuple):
    """How frames of glasses are found in a photo.

    Fitted where a comment names the portraits; the rest set by eye on rendered portraits.
    """

    scales: tuple[float, float, float] = (1.2, 2.4, 4.0)  # px, half of what rims are thick
    half: tuple[float, float] = (0.47, 0.34)  # half axes of an average lens in units
    lowered: float = 0.06  # units that lenses hang below the eyes
    in_front: float = 0.8  # shift of lenses by a face's asymmetry
    narrows: float = 0.5  # narrowing of lenses by it
    turn: int = 96  # angles around a lens
    even: float = 6.0  # of lightness: contrast of a rim that is sure
    # Sum of four means of that contrast along the best pair of paths, set on 54 portraits in clear
    # glasses and 600 without: it finds 50 and takes five old, wrinkled faces.
    frames: float = 2.90
    beside: int = 5  # radii beside a path
    # Logistic regression on 124 portraits in glasses and 32 wrinkled faces without that pass the
    # first test. In five-fold cross validation it keeps 95 % of the former and drops 18 of the
    # latter.
    wrinkle_weights: tuple[float, ...] = (0.95, -11.5, 8.0, 0.67)
    wrinkle_bias: float = -7.4
    # Sine of the angle below which a path runs over the cheek, where there is no brow
    low: float = 0.25
    lean: int = 18  # radii that one side may differ from the other
    leaning: float = 0.03  # contrast lost by one
    flank: tuple[float, float] = (0.09, 0.16)  # units beside a rim where skin or lens shows
    thickest: float = 0.075  # units, half of a rim
    lids: float = 1.25  # of the eye's opening
    margin: float = 1.2  # px that go with the frame


_TUNING = _GlassesTuning()


def _upright(landmarks: Floats) -> Floats:
    """Return the map ``(2, 3)`` from the picture to a face of fixed size whose eyes are level."""
    right, left = (landmarks[list(c), :2].mean(0) for c in _EYES)
    across = (left - right) / _UNIT
    turn = np.array([[across[0], -across[1]], [across[1], across[0]]])
    inverse = np.linalg.inv(turn)
    shift = np.array(_MIDDLE) - inverse @ ((left + right) / 2)
    return np.column_stack([inverse, shift]).astype(np.float32)


def _polar(side: int, eye: Floats, across: float) -> tuple[Floats, Floats]:
    """Return where (angle, radius) lies around a lens: columns and rows ``(turn, R)``.

    Angle 0 is towards the temple, a quarter turn is down; so both sides can be laid over another.
    ``across`` narrows the side of a face that is turned away.
    """
    angle = np.linspace(0, 2 * np.pi, _TUNING.turn, endpoint=False)[:, None]
    out = -across if side == 0 else across
    x = eye[0] + _UNIT * out * _TUNING.half[0] * _RADII * np.cos(angle)
    y = eye[1] + _UNIT * (_TUNING.lowered + _TUNING.half[1] * _RADII * np.sin(angle))
    return x.astype(np.float32), y.astype(np.float32)


def _rim_evidence(light: Floats, x: Floats, y: Floats) -> Floats:
    """Return how much of a line crosses the radius at each place, in lightness ``(turn, R)``."""
    best = np.zeros(x.shape, np.float32)
    for scale in _TUNING.scales:
        soft = cv2.GaussianBlur(light, (0, 0), 0.5 * scale)
        ray_x, ray_y = np.gradient(x, axis=1), np.gradient(y, axis=1)
        length = np.hypot(ray_x, ray_y)
        ray_x, ray_y = ray_x / length * scale * 1.6, ray_y / length * scale * 1.6
        here, inner, outer = (
            cv2.remap(
                soft,
                x + k * ray_x,
                y + k * ray_y,
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
            for k in (0, -1, 1)
        )
        a, b = inner - here, outer - here
        line = np.where(a * b > 0, np.sign(a) * np.minimum(np.abs(a), np.abs(b)), 0.0)
        best = np.where(np.abs(line) > np.abs(best), line, best)
    return best


def find_frames(picture: Image, landmarks: Floats) -> NDArray[np.uint8]:
    """Return how far each pixel is the rim or bridge of glasses, 0-255; ``(0, 0)`` without any.

    Args:
        picture: ``(S, S, 3)`` RGB.
        landmarks: ``(>=468, 2+)`` in its pixels.

    A rim is a closed line around each eye, about the same on both sides; brows and folds are none.
    """
    upright = _upright(landmarks)
    light = _lightness(picture, upright)
    places = landmarks[:, :2] @ upright[:, :2].T + upright[:, 2]
    eyes = [places[list(c)].mean(0) for c in _EYES]
    rays = _rays(places, eyes)
    seen = [_rim_evidence(light, *ray) for ray in rays]
    gains = [_gain(evidence) for evidence in seen]
    common = 0.5 * (gains[0] + gains[1])
    path = _closed_path(common)
    if _score(common, path) < _TUNING.frames:
        return np.zeros((0, 0), np.uint8)
    rims = []
    # The clearest line of one kind, dark or bright, not just any.
    found = [_own_paths(seen, path, kind) for kind in (1.0, -1.0)]
    clear, paths = max(found, key=lambda f: f[0])
    if _wrinkled(common, path, clear, paths):
        return np.zeros((0, 0), np.uint8)
    rims = [_ring(light, ray, own) for ray, own in zip(rays, paths, strict=True)]
    bridge = _bridge(light, rims, eyes)
    back = cv2.invertAffineTransform(upright)
    mask = np.zeros(picture.shape[:2], np.uint8)
    for inner, outer in rims:
        ring = np.zeros_like(mask)
        _fill(ring, outer, back, 255)
        _fill(ring, inner, back, 0)
        mask = np.maximum(mask, ring)
    _fill(mask, bridge, back, 255)
    for contour in EYE_CONTOUR:  # lids move; what a lens shows of them is no rim
        eye = landmarks[list(contour), :2]
        middle = eye.mean(0)
        grown = np.rint((middle + _TUNING.lids * (eye - middle)) * 16).astype(np.int32)
        cv2.fillPoly(mask, [grown], (0,), cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), 0.7), np.uint8)


def _wrinkled(
    common: Floats, path: NDArray[np.int64], clear: float, paths: list[NDArray[np.int64]]
) -> bool:
    """Say whether lines around the eyes are rather wrinkles: faint, round and everywhere."""
    beside = np.abs(np.arange(common.shape[1])[None] - path[:, None]) > _TUNING.beside
    steps = np.mean([np.abs(np.diff(p, append=p[:1])).mean() for p in paths])
    measured = (_score(common, path), common[beside].mean(), steps, clear / (2 * _TUNING.turn))
    return float(np.dot(measured, _TUNING.wrinkle_weights)) + _TUNING.wrinkle_bias < 0.0


def _rays(places: Floats, eyes: list[Floats]) -> list[tuple[Floats, Floats]]:
    """Return the polar grids of both lenses; they lie in front of a face that is turned."""
    half = np.abs(places[[33, 263], 0] - places[168, 0])
    turned = np.clip((half[0] - half[1]) / max(half.sum(), 1.0), -0.3, 0.3)
    shift = np.array([_TUNING.in_front * _UNIT * turned, 0.0], np.float32)
    across = (1.0 + _TUNING.narrows * turned, 1.0 - _TUNING.narrows * turned)
    return [_polar(k, eyes[k] + shift, float(across[k])) for k in (0, 1)]


def _own_paths(
    seen: list[Floats], path: NDArray[np.int64], kind: float
) -> tuple[float, list[NDArray[np.int64]]]:
    """Return how clear the rims of one kind are, and their paths near the common one."""
    total, paths, turn = 0.0, [], np.arange(_TUNING.turn)
    for evidence in seen:
        aside = np.abs(np.arange(evidence.shape[1])[None] - path[:, None])
        near = aside <= _TUNING.lean
        lines = np.clip(kind * evidence, -0.5 * _TUNING.even, None)
        clear = max(_TUNING.even, float(np.percentile(np.where(near, lines, 0).max(1), 60)))
        gain = np.minimum(lines / clear, 1.2) - _TUNING.leaning * aside
        own = _closed_path(np.where(near, gain, -1.0))
        total += float(np.clip(lines[turn, own], None, 2.5 * _TUNING.even).sum())
        paths.append(own)
    return total, paths


def without_frames(picture: Image, frames: NDArray[np.uint8]) -> Image:
    """Return the picture with skin where frames were."""
    if frames.size == 0:
        return picture
    hole = cv2.dilate((frames > 8).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    y0, y1 = max(0, rows[0] - 12), rows[-1] + 13
    x0, x1 = max(0, columns[0] - 12), columns[-1] + 13
    part = np.s_[y0:y1, x0:x1]
    filled = push_pull(picture[part], ~hole[part])
    soft = np.clip(cv2.GaussianBlur(hole[part].astype(np.float32), (0, 0), 0.8) * 1.6, 0, 1)
    soft = np.maximum(soft, hole[part])[..., None]
    out = picture.copy()
    out[part] = np.clip(np.rint(picture[part] * (1 - soft) + filled * soft), 0, 255)
    return out


def _lightness(picture: Image, upright: Floats) -> Floats:
    """Return the upright face's CIELAB lightness."""
    scale = float(np.hypot(upright[0, 0], upright[1, 0]))
    if scale < 1.0:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.4 / scale), np.uint8)
    face = cv2.warpAffine(picture, upright, (_WIDE, _HIGH), borderMode=cv2.BORDER_REPLICATE)
    lab = cv2.cvtColor(face.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return np.ascontiguousarray(lab[..., 0], np.float32)


def _gain(evidence: Floats) -> Floats:
    sure = np.minimum(np.abs(evidence), _TUNING.even) / _TUNING.even
    return np.asarray(cv2.dilate(sure.astype(np.float32), np.ones((3, 3), np.uint8)), np.float32)


def _score(gain: Floats, path: NDArray[np.int64]) -> float:
    """Return how surely a path is a rim: its contrast on average and at its weakest fifth."""
    along = gain[np.arange(_TUNING.turn), path]
    low = along[np.sin(np.linspace(0, 2 * np.pi, _TUNING.turn, endpoint=False)) > _TUNING.low]
    found = (along.mean(), low.mean(), np.percentile(low, 20), np.percentile(along, 20))
    return float(sum(found))


def _ring(
    light: Floats, ray: tuple[Floats, Floats], path: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """Return a rim's inner and outer outline ``(turn, 2)`` in upright pixels."""
    turn = np.arange(_TUNING.turn)
    middle = np.stack([r[turn, path] for r in ray], 1)
    for _ in range(2):
        middle = 0.25 * np.roll(middle, 1, 0) + 0.5 * middle + 0.25 * np.roll(middle, -1, 0)
    out = np.stack([r[:, -1] - r[:, 0] for r in ray], 1)
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    sides = [_thickness(light, middle, sign * out) for sign in (-1.0, 1.0)]
    return (
        (middle - sides[0][:, None] * out).astype(np.float32),
        (middle + sides[1][:, None] * out).astype(np.float32),
    )


def _thickness(light: Floats, line: Floats, away: Floats) -> Floats:
    """Return how far a line of another lightness reaches from its middle in a direction, px."""
    reach = np.arange(0, _TUNING.flank[1] * _UNIT, 0.5, dtype=np.float32)
    at = (line[:, None] + reach[None, :, None] * away[:, None]).astype(np.float32)
    seen = cv2.remap(
        light, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    seen = cv2.blur(seen, (1, 3))
    rim = np.median(seen[:, :3], 1)
    flank = np.median(seen[:, reach >= _TUNING.flank[0] * _UNIT], 1)
    half = np.abs(seen - rim[:, None]) > 0.5 * np.abs(flank - rim)[:, None]
    first = np.where(half.any(1), half.argmax(1), len(reach) - 1) * 0.5
    first[np.abs(flank - rim) < 0.5 * _TUNING.even] = np.nan
    usual = float(np.nanmedian(first)) if np.isfinite(first).any() else 2.0
    first = np.clip(np.nan_to_num(first, nan=usual), 0.7 * usual, 1.4 * usual + 1.0)
    wrapped = np.concatenate([first[-3:], first, first[:3]])
    smooth = np.median(np.stack([wrapped[k : k + len(first)] for k in range(7)]), 0)
    return np.minimum(smooth, _TUNING.thickest * _UNIT) + _TUNING.margin


def _bridge(light: Floats, rims: list[tuple[Floats, Floats]], eyes: list[Floats]) -> Floats:
    """Return the bridge's outline in upright pixels: a line across the nose between the rims."""
    start, end = float(rims[0][1][:, 0].max()), float(rims[1][1][:, 0].min())
    level = 0.5 * float(eyes[0][1] + eyes[1][1])
    columns = np.arange(np.floor(start) - 2, np.ceil(end) + 3, dtype=np.float32)
    if len(columns) < 6:
        return np.zeros((0, 2), np.float32)
    rows = (level + _UNIT * np.linspace(-0.26, 0.24, 51)).astype(np.float32)
    x, y = np.meshgrid(columns, rows, indexing="ij")
    gain = _gain(_rim_evidence(light, np.ascontiguousarray(x), np.ascontiguousarray(y)))
    path = _path(gain)
    line = np.stack([columns, rows[path]], 1)
    for _ in range(4):
        line[1:-1] = 0.25 * line[:-2] + 0.5 * line[1:-1] + 0.25 * line[2:]
    down = np.tile(np.array([[0.0, 1.0]], np.float32), (len(line), 1))
    above = line - _thickness(light, line, -down)[:, None] * down
    below = line + _thickness(light, line, down)[:, None] * down
    return np.concatenate([above, below[::-1]]).astype(np.float32)


def _fill(mask: NDArray[np.uint8], outline: Floats, back: Floats, value: int) -> None:
    if len(outline):
        points = outline @ back[:, :2].T + back[:, 2]
        cv2.fillPoly(mask, [np.rint(points * 16).astype(np.int32)], (value,), cv2.LINE_AA, 4)


def _closed_path(gain: Floats) -> NDArray[np.int64]:
    """Return the radius index per angle of the closed path of most gain."""
    turns = len(gain)
    path = _path(np.concatenate([gain, gain]))
    return np.roll(path[turns // 2 : turns // 2 + turns], turns // 2)


def _path(gain: Floats) -> NDArray[np.int64]:
    """Return the column per row of the path of most gain through ``(rows, columns)``."""
    rows, columns = gain.shape
    total, back = gain[0].astype(np.float64), np.zeros((rows, columns), np.int64)
    padded = np.full(columns + 4, -1e9)
    for k in range(1, rows):
        padded[2:-2] = total
        options = np.stack([padded[2 + s : 2 + s + columns] for s in _SHIFTS]) - _COSTS
        choice = options.argmax(0)
        back[k] = np.arange(columns) + _SHIFTS[choice]
        total = gain[k] + options.max(0)
    path = np.zeros(rows, np.int64)
    path[-1] = int(total.argmax())
    for k in range(rows - 1, 0, -1):
        path[k - 1] = back[k, path[k]]
    return path
