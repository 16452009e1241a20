"""WebVTT beside what is said, written as it is said."""

from __future__ import annotations

import html
import textwrap
from pathlib import Path

from visavis.streamer.errors import BadRequest

HEADER = "WEBVTT - Vis-à-vis\n"
_WIDTH, _LINES = 42, 2  # characters of a line and lines of a caption, as broadcasters have it


def timestamp(seconds: float) -> str:
    """Return seconds as WebVTT writes them."""
    millis = max(0, round(seconds * 1000))
    hours, rest = divmod(millis, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d}.{rest % 1000:03d}"


def cues(text: str, start_s: float, length_s: float) -> list[tuple[float, float, str]]:
    """Cut a paragraph into captions ``(from, to, text)``, each as long as its share of letters."""
    lines = textwrap.wrap(text, _WIDTH, break_long_words=True)
    blocks = ["\n".join(lines[i : i + _LINES]) for i in range(0, len(lines), _LINES)]
    total = sum(len(block) for block in blocks) or 1
    out: list[tuple[float, float, str]] = []
    at = start_s
    for block in blocks:
        end = at + length_s * len(block) / total
        out.append((at, end, block))
        at = end
    return out


def made_by_us(path: Path) -> bool:
    """Whether a file is captions of an earlier run, which may be replaced."""
    try:
        with path.open(encoding="utf-8") as file:
            return file.readline() == HEADER
    except (OSError, UnicodeDecodeError):
        return False


class Captions:
    """A ``.vtt`` file that is whole after every paragraph.

    Args:
        path: the file.

    Raises:
        BadRequest: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.write_text(HEADER, "utf-8")
        except OSError as error:
            raise BadRequest(f"The captions {path} cannot be written: {error.strerror}.") from error

    def add(self, text: str, start_s: float, length_s: float) -> None:
        """Add a paragraph that is said from ``start_s`` on."""
        parts = [
            f"\n{timestamp(a)} --> {timestamp(b)}\n{html.escape(words, quote=False)}\n"
            for a, b, words in cues(text, start_s, length_s)
        ]
        with self._path.open("a", encoding="utf-8") as file:
            file.write("".join(parts))
