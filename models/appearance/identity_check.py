"""Strict checks of a bundle that was read: everything the renderer takes for granted.

Compiled loops check no bounds, so a bundle in which one number is wrong would not raise, it would
crash the worker with everybody in it. Limits are wide for people and narrow for memory.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from visavis.models.appearance.photo.errors import IdentityError

# An Identity and an EyePatch as they were read: nothing about their fields is believed yet.
Unchecked = Any
_SIZES = (64, 2048)  # px
_VERTICES = 100_000
_EXPRESSIONS = 57
_FAR = 4.0  # times the picture's size: a vertex may lie outside the frame, but not anywhere
_LARGEST_CM = 200.0
_SCALE = (0.05, 500.0)  # px a cm
_NOTES, _NOTE = 50, 2_000
_UNIT = 1e-2  # how far a rotation's rows may be from orthonormal


def check_identity(identity: Unchecked) -> None:
    """Refuse an identity whose types, shapes or values do not fit.

    Raises:
        IdentityError: one sentence for the user.
    """
    try:
        fits = _plain_values(identity) and _shapes(identity) and _values(identity)
    except (TypeError, ValueError, AttributeError, OverflowError, IndexError):
        fits = False
    if not fits:
        raise IdentityError("The file is no identity, or it is damaged.")


def _number(value: object, low: float, high: float) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and low <= value <= high


def _plain_values(identity: Unchecked) -> bool:
    size, colours = identity.size, identity.colours
    triples = (colours.skin, colours.lip, colours.teeth, colours.lash)
    return (
        isinstance(size, int)
        and _number(size, *_SIZES)
        and _number(identity.inter_ocular_px, 1.0, size)
        and _number(identity.scale, *_SCALE)
        and _number(identity.smile, -1e-3, 1.001)
        and _number(identity.opening, -1.0, 10.0)
        and all(len(t) == 3 and all(_number(v, 0.0, 255.0) for v in t) for t in triples)
        and _number(colours.light, 0.0, 1.001)
        and _number(colours.grey, 0.0, 1.001)
        and len(identity.notes) <= _NOTES
        and all(isinstance(note, str) and len(note) <= _NOTE for note in identity.notes)
        and len(identity.eyes) == 2
    )


def _shapes(identity: Unchecked) -> bool:
    s, v = identity.size, len(identity.rest)
    patch = identity.lids.shape[1:3]
    wanted = {
        "photo": (np.uint8, (s, s, 3)),
        "foreground": (np.uint8, (s, s, 3)),
        "alpha": (np.uint8, (s, s)),
        "background": (np.uint8, (s, s, 3)),
        "lids": (np.uint8, (2, *patch, 3)),
        "eyeballs": (np.uint8, (2, *patch, 3)),
        "frames": (np.uint8, (s, s) if identity.frames.size else (0, 0)),
        "teeth": (np.uint8, (s, s, 4) if identity.teeth.size else identity.teeth.shape),
        "rotation": (np.float32, (3, 3)),
        "offset": (np.float32, (2,)),
        "source": (np.float32, (v, 2)),
        "rest": (np.float32, (v, 3)),
        "expression": (np.float32, (_EXPRESSIONS,)),
        "kept": (np.float32, (_EXPRESSIONS,) if identity.kept.size else (0,)),
    }
    square = patch[0] == patch[1] and 1 <= patch[0] <= s
    return (
        square
        and 0 < v <= _VERTICES
        and all(
            getattr(identity, name).dtype == dtype and getattr(identity, name).shape == shape
            for name, (dtype, shape) in wanted.items()
        )
    )


def _values(identity: Unchecked) -> bool:
    far = _FAR * identity.size
    within = (
        (identity.offset, far),
        (identity.source, far),
        (identity.rest, _LARGEST_CM),
        (identity.expression, 10.0),
        (identity.kept, 1.0 + _UNIT),
        (identity.rotation, 1.0 + _UNIT),
    )
    # NaN compares false, so this refuses it as well.
    if not all(bool((np.abs(values) <= most).all()) for values, most in within):
        return False
    turn = identity.rotation.astype(np.float64)
    proper = np.abs(turn @ turn.T - np.eye(3)).max() <= _UNIT and np.linalg.det(turn) > 0
    side = identity.lids.shape[1]
    return bool(proper) and all(_eye(eye, side, identity.size) for eye in identity.eyes)


def _eye(eye: Unchecked, side: int, size: int) -> bool:
    return (
        isinstance(eye.left, int)
        and isinstance(eye.top, int)
        and _number(eye.left, 0, size - side)
        and _number(eye.top, 0, size - side)
        and len(eye.iris) == 2
        and all(_number(place, -size, 2.0 * size) for place in eye.iris)
        and _number(eye.iris_radius, 0.1, size)
    )
