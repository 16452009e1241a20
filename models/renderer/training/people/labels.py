"""What is known of the source portraits, looked at one by one, and a balanced choice of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

LABELS_PATH = Path(__file__).with_name("portraits.json")
_SEXES = {"f": "female", "m": "male", "u": "unknown"}
_AGES = {"c": "child", "y": "young", "m": "middle", "o": "old"}
_TONES = ((1, 2), (3,), (4,), (5, 6))
_AGE_SHARES = {"child": 0.08, "young": 0.37, "middle": 0.3, "old": 0.25}


@dataclass(frozen=True)
class PortraitLabels:
    """How a portrait looks; an impression, no more.

    Attributes:
        sex: "female", "male" or "unknown" (small children).
        age: "child", "young", "middle" or "old".
        tone: of the cheeks in the portrait, 1 light to 6 dark; its exposure is still in it.
    """

    sex: str
    age: str
    tone: int


def read_labels(path: Path = LABELS_PATH) -> dict[str, PortraitLabels]:
    """Return the labels by file name; empty when there are none.

    The file maps a code (``fy4``: female, young, tone 4) to the names that look so. A portrait
    that is missing there was left out (glasses, hats, hands, paint, coloured light, a double).
    """
    if not path.exists():
        return {}
    table = json.loads(path.read_text())
    return {
        name: PortraitLabels(_SEXES[code[0]], _AGES[code[1]], int(code[2]))
        for code, names in table.items()
        for name in names
    }


def choose(labels: dict[str, PortraitLabels], rng: np.random.Generator) -> str:
    """Choose a portrait so that tones, sexes and ages come out even.

    Tone is drawn first, then age, then sex; what nobody has is left open.
    """
    names = sorted(labels)
    tones = _TONES[int(rng.integers(len(_TONES)))]
    age = str(rng.choice(list(_AGE_SHARES), p=list(_AGE_SHARES.values())))
    sex = str(rng.choice(["female", "male"]))
    tests = (
        lambda label: label.tone in tones,
        lambda label: label.age == age,
        lambda label: label.sex in (sex, "unknown"),
    )
    for test in tests:
        narrower = [n for n in names if test(labels[n])]
        names = narrower or names
    return names[int(rng.integers(len(names)))]
