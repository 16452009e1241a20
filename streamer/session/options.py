"""What a viewer may want of a session beside its avatar: look-ahead, mood, style and canvas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from visavis.streamer.config import MediaConfig
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

    def of_slot(self, media: MediaConfig, size: int) -> dict[str, Any]:
        """Return these wishes as fields of a slot; a canvas needs more bits, though few move.

        Args:
            media: the session's settings.
            size: of the avatar's own square in pixels.
        """
        view, kbps = self.view, media.bitrate_kbps
        fields = {
            "size": size,
            "fps": media.fps,
            "look_ahead_ms": media.look_ahead_ms,
            "ring_ms": media.ring_ms,
            "bitrate_kbps": kbps,
            "mood": self.mood,
            "style": self.style,
        }
        if view is None:
            return fields
        pixels = view.picture_size[0] * view.picture_size[1] / (size * size)
        return {
            **fields,
            "canvas": f"{view.width}x{view.height}",
            "framing": view.framing,
            "background": view.background,
            "bitrate_kbps": round(kbps * max(1.0, pixels**0.5)),
        }
