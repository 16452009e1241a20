"""One finding of the doctor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes:
        name: what was looked at.
        verdict: ``ok``, ``warn`` (works without) or ``fail`` (does not work).
        detail: what was found, one sentence.
        advice: what to do; empty when all is well.
    """

    name: str
    verdict: Verdict
    detail: str
    advice: str = ""
