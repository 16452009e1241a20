"""What a viewer may want of a session beside its avatar: look-ahead, mood, style and canvas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from visavis.streamer.worker.pipeline.view import View

MOST_STYLE: Final = 2.0


@dataclass(frozen=True)
class Wishes:
    """Options that are known to be possible; ``http.schemas.SessionOptions`` checks them.

    Attributes:
        look_ahead_ms: of sound the lips wait for; the server's if None.
        mood: one of ``MANNERS``.
        style: how strongly head, brows and cheeks move, 0-2; 1 is as learnt.
        view: the canvas; the avatar's own square if None.
        stage: a name under which it may be watched, and the next session after it.
    """

    look_ahead_ms: int | None = None
    mood: str = "neutral"
    style: float = 1.0
    view: View | None = None
    stage: str = ""
