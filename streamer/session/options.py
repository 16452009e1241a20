"""What a viewer may wish of a session beside its avatar: look-ahead, mood and style."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from visavis.models.motion.flow import MOODS
from visavis.streamer.errors import BadRequest

LOOK_AHEADS_MS = (0, 40, 80, 120)
MOST_STYLE = 2.0


@dataclass(frozen=True)
class Wishes:
    """Checked wishes.

    Attributes:
        look_ahead_ms: of sound the lips wait for; the server's if None.
        mood: one of ``MOODS``.
        style: how strongly head, brows and cheeks move, 0-2; 1 is as learnt.
    """

    look_ahead_ms: int | None = None
    mood: str = "neutral"
    style: float = 1.0


def read_wishes(data: Mapping[str, object]) -> Wishes:
    """Read what ``request_data`` says; what is left out stays as it is.

    Raises:
        BadRequest: a wish is none that can be granted.
    """
    ahead = data.get("look_ahead_ms")
    if ahead is not None and (isinstance(ahead, bool) or ahead not in LOOK_AHEADS_MS):
        raise BadRequest("The look_ahead_ms must be 0, 40, 80 or 120.")
    mood = data.get("mood", "neutral")
    if not isinstance(mood, str) or mood not in MOODS:
        raise BadRequest(f"The mood must be one of {', '.join(MOODS)}.")
    style = data.get("style", 1.0)
    number = isinstance(style, int | float) and not isinstance(style, bool)
    if not number or not 0 <= float(str(style)) <= MOST_STYLE:
        raise BadRequest("The style must be a number from 0 to 2.")
    return Wishes(None if ahead is None else int(str(ahead)), mood, float(str(style)))
