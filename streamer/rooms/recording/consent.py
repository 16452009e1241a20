"""A recording that everybody in the room has agreed to, or none."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Stage(StrEnum):
    """Where a recording is."""

    OFF = "off"
    ASKED = "asked"
    RUNNING = "running"


@dataclass
class Consent:
    """Who asked, and who has agreed.

    Attributes:
        stage: where it is.
        asked_by: id of who asked.
        agreed: ids of those who have said yes.
    """

    stage: Stage = Stage.OFF
    asked_by: str = ""
    agreed: set[str] = field(default_factory=set[str])

    def ask(self, who: str) -> bool:
        """Ask everybody; who asks agrees. False while another question is open."""
        if self.stage is not Stage.OFF:
            return False
        self.stage, self.asked_by, self.agreed = Stage.ASKED, who, {who}
        return True

    def agree(self, who: str) -> None:
        """Say yes, to the question or, coming later, to what is running."""
        if self.stage is not Stage.OFF:
            self.agreed.add(who)

    def settle(self, present: set[str]) -> bool:
        """Begin if nobody's agreement is missing; return whether it begins now.

        Args:
            present: ids of all who have a seat.
        """
        if self.stage is Stage.ASKED and present and present <= self.agreed:
            self.stage = Stage.RUNNING
            return True
        return False

    def end(self) -> None:
        """Stop, or drop the question: one no is enough at any time."""
        self.stage, self.asked_by = Stage.OFF, ""
        self.agreed.clear()

    def describe(self, present: set[str]) -> dict[str, Any]:
        """Return what everybody is told."""
        waiting = sorted(present - self.agreed) if self.stage is Stage.ASKED else []
        return {"stage": self.stage, "asked_by": self.asked_by, "waiting_for": waiting}
