"""How many sessions a machine holds: from ``visavis bench capacity``, or as stated."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from visavis.streamer.errors import BadRequest

_MOST_SESSIONS = 1_000_000
_MOST_BYTES = 16 << 20


@dataclass(frozen=True)
class Capacity:
    """What a machine holds.

    Attributes:
        sessions: live at full effort; scaled ones may be a fraction.
        cores: that it was measured on, if known.
        words: where this is from, in words.
        measured: by ``visavis bench capacity``, and not scaled.
    """

    sessions: float
    cores: int | None
    words: str
    measured: bool


def stated(sessions: float, cores: int | None) -> Capacity:
    """Return a capacity that the user states.

    Raises:
        BadRequest: it is none.
    """
    if not math.isfinite(sessions) or not 0 < sessions <= _MOST_SESSIONS:
        raise BadRequest(f"The sessions of a machine are between 1 and {_MOST_SESSIONS}.")
    return Capacity(sessions, cores, "stated, not measured", measured=False)


def read_capacity(path: Path, size: int | None) -> Capacity:
    """Read the result of ``visavis bench capacity``.

    Args:
        path: the JSON file.
        size: edge of the picture in pixels; None for the largest that holds a session.

    Raises:
        BadRequest: it is not there, no such result, or says that nothing is held.
    """
    result = _read(path)
    held = {int(key.removeprefix("sessions_")): _held(result[key], path) for key in _sizes(result)}
    if not held:
        raise BadRequest(f"{path} is not the result of visavis bench capacity.")
    if size is None:
        size = max((s for s, count in held.items() if count), default=max(held))
    if size not in held:
        known = " and ".join(f"{s}²" for s in sorted(held))
        raise BadRequest(f"{path} says nothing of {size}², only of {known}.")
    if not held[size]:
        raise BadRequest(
            f"{path} says that this machine holds 0 sessions at {size}², "
            "so an hour of one has no cost here; measure a faster machine or a smaller picture."
        )
    machine = result.get("machine")
    machine = cast(dict[str, Any], machine) if isinstance(machine, dict) else {}
    cores = machine.get("cores")
    cores = cores if isinstance(cores, int) and 0 < cores <= 4096 else None
    parts = (str(machine.get(key, "")) for key in ("cpu", "date"))
    where = ", ".join(part for part in parts if part) or "an unnamed machine"
    on = f"{cores} cores, " if cores else ""
    words = f"measured at {size}² by visavis bench capacity on {on}{where}"
    return Capacity(held[size], cores, words, measured=True)


def on_cores(capacity: Capacity, cores: int) -> Capacity:
    """Scale a capacity to another number of cores, linearly: an assumption, and said so.

    Raises:
        BadRequest: it is not known what it was measured on.
    """
    if capacity.cores is None:
        raise BadRequest("To scale by cores, it must be known on how many the sessions run.")
    if cores == capacity.cores:
        return capacity
    words = f"{capacity.words}; scaled to {cores} cores in proportion, which is assumed"
    return Capacity(capacity.sessions * cores / capacity.cores, cores, words, measured=False)


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise BadRequest(f"{path} is too large to be the result of a benchmark.")
        result: object = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BadRequest(f"The result {path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"The file {path} is not JSON.") from error
    if not isinstance(result, dict):
        raise BadRequest(f"{path} is not the result of visavis bench capacity.")
    return cast(dict[str, Any], result)


def _sizes(result: dict[str, Any]) -> list[str]:
    return [k for k in result if k.startswith("sessions_") and k[9:].isdecimal() and len(k) < 14]


def _held(step: Any, path: Path) -> int:
    held: object = cast(dict[str, Any], step).get("held") if isinstance(step, dict) else None
    if isinstance(held, bool) or not isinstance(held, int) or not 0 <= held <= _MOST_SESSIONS:
        raise BadRequest(f"{path} does not say how many sessions were held.")
    return held
