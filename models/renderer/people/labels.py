"""What is known of the source portraits: looked at one by one, by eye."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

LABELS_PATH = Path(__file__).with_name("portraits.json")


@dataclass(frozen=True)
class PortraitLabels:
    """How a portrait looks; an impression, no more.

    Attributes:
        sex: "female" or "male".
        age: "child", "young", "middle" or "old".
    """

    sex: str
    age: str


_AGES = {"c": "child", "y": "young", "m": "middle", "o": "old"}


def read_labels(path: Path = LABELS_PATH) -> dict[str, PortraitLabels]:
    """Return the labels by file name; empty when there are none.

    The file maps a code (``fy`` is female and young) to the names that look so; a portrait that
    is missing there was left out (glasses, hats, hands, paint, a face that is no photo).
    """
    if not path.exists():
        return {}
    table = json.loads(path.read_text())
    return {
        name: PortraitLabels("female" if code[0] == "f" else "male", _AGES[code[1]])
        for code, names in table.items()
        for name in names
    }
