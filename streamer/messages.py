"""Messages that come over data channels."""

from __future__ import annotations

import json
from typing import Any, cast


def read_message(text: object, most: int) -> dict[str, Any] | None:
    """Return a JSON object that has a ``type``; None for anything else, whatever was sent.

    Args:
        text: what came.
        most: characters of a message that is looked at.
    """
    if not isinstance(text, str) or len(text) > most:
        return None
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return None
    found = cast(dict[str, Any], message) if isinstance(message, dict) else {}
    return found if isinstance(found.get("type"), str) else None
