"""A talk as a text file: paragraphs are spoken, words in brackets say what happens between."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from visavis.models.motion.flow import MANNERS
from visavis.streamer.errors import BadRequest
from visavis.streamer.presenter.script.direction import LOOKS

LONGEST_PAUSE_S = 600.0
LONGEST_TEXT = 200_000  # characters: about three hours
LONGEST_PARAGRAPH = 5_000
_CUE = re.compile(r"\[([a-z]+)(?:\s+([^\]\s]+))?\s*\]")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_MARKS = re.compile(r"(\*{1,3}|_{2,3}|`+)")


@dataclass(frozen=True)
class Step:
    """One thing that happens.

    Attributes:
        kind: ``say`` a text, ``pause`` for seconds, ``next`` slide, ``mood`` or ``look``.
        text: what to say, or the name of the mood or direction.
        seconds: of a pause.
    """

    kind: Literal["say", "pause", "next", "mood", "look"]
    text: str = ""
    seconds: float = 0.0


def read_script(text: str) -> tuple[Step, ...]:
    """Read a script.

    Paragraphs are parted by empty lines. Headings (``#``), rules and comments are not spoken;
    Markdown's stars and back ticks are left out. Cues stand anywhere: ``[pause 2]``, ``[next]``,
    ``[mood warm]``, ``[look left]``.

    Raises:
        BadRequest: it says nothing, is too long, or has a cue that is none; the line is named.
    """
    if len(text) > LONGEST_TEXT:
        raise BadRequest(f"The script is longer than {LONGEST_TEXT:,} characters.")
    text = _COMMENT.sub(lambda m: "\n" * m[0].count("\n"), text.replace("\r\n", "\n"))
    steps: list[Step] = []
    said: list[str] = []
    began = 1

    def close() -> None:
        if said:
            steps.extend(_paragraph(" ".join(said), began))
            said.clear()

    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if not line or line.startswith("#") or re.fullmatch(r"[-*_=]{3,}", line):
            close()
            continue
        if not said:
            began = number
        said.append(re.sub(r"^([-*+]|\d+[.)]|>)\s+", "", line))
    close()
    if not any(step.kind == "say" for step in steps):
        raise BadRequest("The script has nothing to say.")
    return tuple(steps)


def _paragraph(text: str, line: int) -> list[Step]:
    text = _LINK.sub(r"\1", text)
    steps: list[Step] = []
    at = 0
    for found in _CUE.finditer(text):
        steps += _spoken(text[at : found.start()], line)
        steps.append(_cue(found[1], found[2] or "", line))
        at = found.end()
    return steps + _spoken(text[at:], line)


def _spoken(text: str, line: int) -> list[Step]:
    text = " ".join(_MARKS.sub("", text).split())
    if len(text) > LONGEST_PARAGRAPH:
        raise BadRequest(
            f"The paragraph at line {line} is longer than {LONGEST_PARAGRAPH:,} characters."
        )
    return [Step("say", text)] if re.search(r"\w", text) else []


def _cue(word: str, value: str, line: int) -> Step:
    if word == "next" and not value:
        return Step("next")
    if word == "mood" and value in MANNERS:
        return Step("mood", value)
    if word == "look" and value in LOOKS:
        return Step("look", value)
    if word == "pause":
        try:
            seconds = float(value)
        except ValueError:
            seconds = -1.0
        if 0 < seconds <= LONGEST_PAUSE_S:
            return Step("pause", seconds=seconds)
        raise BadRequest(
            f"Line {line}: [pause {value}] needs seconds, at most {LONGEST_PAUSE_S:.0f}."
        )
    raise BadRequest(
        f"Line {line}: [{' '.join((word, value)).strip()}] is no cue; there are [pause 2], [next], "
        f"[mood {'|'.join(MANNERS)}] and [look {'|'.join(LOOKS)}]."
    )
