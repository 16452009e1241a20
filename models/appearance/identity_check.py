"""Strict checks of a bundle that was read: everything the renderer takes for granted.

Compiled loops check no bounds, so a bundle in which one number is wrong would not raise, it would
crash the worker with everybody in it. Limits are wide for people and narrow for memory.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from visavis.models.appearance.errors import IdentityError

# An Identity and an EyePatch as they were read: nothing about their fields is believed yet.
Unchecked = Any
_SIZES = (64, 2048)  # px
_VERTICES = 100_000
_EXPRESSIONS = 57
_FAR = 4.0  # times the picture's size: a vertex may lie outside the frame, but not anywhere
_LARGEST_CM = 200.0
_SCALE = (0.05, 500.0)  # px a cm
_NOTES, _NOTE = 50, 2_000
_PAINTED, _BANDS = 2048, 8  # px a side; bands
_UNIT = 1e-2  # how far a rotation's rows may be from orthonormal


def check_identity(identity: Unchecked) -> None:
    """Refuse an identity whose types, shapes or values do not fit.

    Raises:
        IdentityError: one sentence for the user.
    """
    try:
        fits = (
            _plain_values(identity)
            and _shapes(identity)
            and _values(identity)
            and _painting(identity)
        )
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
        (identity.rotation, 1.0 + _UNIT),
    )
    # NaN compares false, so this refuses it as well.
    if not all(bool((np.abs(values) <= most).all()) for values, most in within):
        return False
    turn = identity.rotation.astype(np.float64)
    proper = np.abs(turn @ turn.T - np.eye(3)).max() <= _UNIT and np.linalg.det(turn) > 0
    side = identity.lids.shape[1]
    return bool(proper) and all(_eye(eye, side, identity.size) for eye in identity.eyes)


def _painting(identity: Unchecked) -> bool:
    """Say whether the painted mouth is whole: nothing at all, or three arrays that fit."""
    painted, places, colours = (
        identity.painted, identity.painted_places, identity.painted_colours,
    )  # fmt: skip
    if painted.dtype != np.uint8 or places.dtype != np.float32 or colours.dtype != np.float32:
        return False
    if painted.size == 0:
        return bool(places.size == 0 and colours.size == 0)
    shapes = (
        painted.ndim == 3
        and painted.shape[2] == 3
        and all(2 <= side <= _PAINTED for side in painted.shape[:2])
        and places.shape == (len(identity.rest), 4)
        and colours.ndim == 2
        and colours.shape[1] == 3
        and 1 <= len(colours) <= _BANDS
    )
    if not shapes:
        return False
    used = places[places[:, 3] >= 0]
    within = (used >= 0) & (used < (painted.shape[1], painted.shape[0], 2.0, len(colours)))
    whole = (used[:, 3] == np.rint(used[:, 3])).all() and np.isfinite(places).all()
    return bool(within.all() and whole and (colours >= 0).all() and (colours <= 255).all())


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
