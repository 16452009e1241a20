"""Where an avatar looks: at the tile of whoever speaks, as its person sees the call.

A page tells where its tiles lie. Somebody on a phone has them below one another, somebody at a desk
side by side, so each avatar turns as its own person would. Without such word the others are taken
to sit side by side.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

MOST_TILES = 16
_YAW_DEGREES = 14.0  # to a tile at the edge of the screen
_PITCH_DEGREES = 6.0
Place = tuple[float, float]  # x from -1 (left) to 1 (right), y from -1 (top) to 1 (bottom)


@dataclass(frozen=True)
class Look:
    """A direction relative to straight into the camera, in degrees.

    Attributes:
        yaw: positive turns towards the subject's own left.
        pitch: positive turns down.
    """

    yaw: float = 0.0
    pitch: float = 0.0


AHEAD = Look()


def read_tiles(value: object) -> dict[str, Place] | None:
    """Return the places of tiles by participant id; None if this is no such thing."""
    if not isinstance(value, Mapping):
        return None
    tiles = cast(Mapping[object, object], value)
    if len(tiles) > MOST_TILES:
        return None
    places: dict[str, tuple[float, float]] = {}
    for name, place in tiles.items():
        if not isinstance(name, str) or not isinstance(place, Sequence):
            return None
        if len(pair := cast(Sequence[object], place)) != 2:
            return None
        x, y = pair
        if isinstance(x, bool) or isinstance(y, bool):
            return None
        if not isinstance(x, int | float) or not isinstance(y, int | float):
            return None
        if not (math.isfinite(x) and math.isfinite(y)):
            return None
        places[name] = (max(-1.0, min(1.0, float(x))), max(-1.0, min(1.0, float(y))))
    return places


def look_at(speaker: str, others: Sequence[str], tiles: Mapping[str, Place]) -> Look:
    """Return where somebody looks who turns to the speaker.

    Args:
        speaker: id of who speaks.
        others: ids of all others in a fixed order, for want of tiles.
        tiles: where the page says they are.
    """
    if speaker in tiles:
        x, y = tiles[speaker]
    elif speaker in others and len(others) > 1:
        x, y = 2.0 * others.index(speaker) / (len(others) - 1) - 1.0, 0.0
    else:
        return AHEAD
    # A tile on the right of the screen is on its person's right.
    return Look(round(-_YAW_DEGREES * x, 2), round(_PITCH_DEGREES * y, 2))
