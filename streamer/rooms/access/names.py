"""Names that people type, made safe to show and to link to."""

from __future__ import annotations

import re
import unicodedata

from visavis.streamer.errors import BadRequest

_ROOM = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_ROOM_LENGTH = 40


def shown_name(text: object, most: int, whose: str) -> str:
    """Return one line without control or format characters.

    Args:
        text: what was typed.
        most: characters.
        whose: "Your name", say, for the sentence.

    Raises:
        BadRequest: it is empty, too long, or no text.
    """
    if not isinstance(text, str):
        raise BadRequest(f"{whose} must be text.")
    if len(text) > 4 * most:  # not worth looking at
        raise BadRequest(f"{whose} is longer than {most} characters.")
    visible = "".join(c if c.isprintable() else " " for c in text)
    plain = " ".join(visible.split())
    if not plain:
        raise BadRequest(f"{whose} is empty.")
    if len(plain) > most:
        raise BadRequest(f"{whose} is longer than {most} characters.")
    return plain


def room_name(text: object) -> str:
    """Return the name that stands in the address: "Tea at five" becomes ``tea-at-five``.

    Raises:
        BadRequest: nothing of it can stand in an address.
    """
    if not isinstance(text, str) or len(text) > 200:
        raise BadRequest(f"The room's name must be text of at most {_ROOM_LENGTH} characters.")
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_ROOM_LENGTH].strip("-")
    if not _ROOM.fullmatch(name):
        raise BadRequest("The room's name needs at least one letter or digit.")
    return name


def is_room_name(text: str) -> bool:
    """Whether this is a name as it stands in an address."""
    return _ROOM.fullmatch(text) is not None


def same_name(name: str) -> str:
    """Return what names that look alike have in common: case, width and accents do not count."""
    plain = unicodedata.normalize("NFKD", name).casefold()
    return "".join(c for c in plain if c.isalnum())
