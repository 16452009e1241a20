"""Who is in a set of shards: counts by skin tone, sex, age and light."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# Individual typology angle, degrees, from light to dark (Chardon et al. 1991).
_ITA = (55.0, 41.0, 28.0, 10.0, -30.0)


def typology_angle(srgb: NDArray[np.floating]) -> float:
    """Return the ITA of an sRGB colour 0-255: ``atan((L* - 50) / b*)`` in degrees, D65."""
    s = np.asarray(srgb, np.float64) / 255
    linear = np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4)
    matrix = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = matrix @ linear / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    lightness, b = 116 * f[1] - 16, 200 * (f[1] - f[2])
    return float(np.degrees(np.arctan2(lightness - 50, b)))


def tone_of(srgb: NDArray[np.floating]) -> int:
    """Return the tone class of a skin colour: 1 very light to 6 dark."""
    angle = typology_angle(srgb)
    return 1 + sum(angle <= edge for edge in _ITA)


def balance_of(folder: Path) -> dict[str, dict[str, dict[str, int]]]:
    """Count the people of a folder of shards by split and label."""
    out: dict[str, dict[str, Counter[str]]] = {}
    for path in sorted(folder.glob("shard-*.npz")):
        with np.load(path, allow_pickle=False) as data:
            meta = json.loads(data["meta"].tobytes())
        for clip in meta["clips"]:
            split = out.setdefault("held_out" if clip["held_out"] else "train", {})
            for name in ("tone", "sex", "age", "light"):
                split.setdefault(name, Counter())[str(clip["labels"][name])] += 1
            split.setdefault("people", Counter())["all"] += 1
    return {s: {n: dict(sorted(c.items())) for n, c in t.items()} for s, t in out.items()}


def describe(counts: dict[str, dict[str, dict[str, int]]]) -> str:
    """Return the balance as lines of text."""
    lines = []
    for split, table in counts.items():
        total = table["people"]["all"]
        lines.append(f"{split}: {total} people")
        for name, groups in table.items():
            if name != "people":
                parts = ", ".join(f"{k} {v} ({100 * v / total:.0f} %)" for k, v in groups.items())
                lines.append(f"  {name}: {parts}")
    lines.append(
        "Tone is the individual typology angle of the source portrait's cheeks, 1 light to 6 dark; "
        "the portrait's exposure is in it. Sex and age are impressions of the source portraits by "
        "one pair of eyes."
    )
    return "\n".join(lines)
