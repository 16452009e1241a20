"""What a long measurement knows so far: an object a line, so that it may be broken off anywhere."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

RowT = TypeVar("RowT")


def append(path: Path, row: Any) -> None:
    """Write a dataclass instance behind what is there."""
    with path.open("a", encoding="utf-8") as out:
        out.write(json.dumps(asdict(row)) + "\n")


def read(path: Path, kind: type[RowT]) -> list[RowT]:
    """Return the instances that were written; none where there is no file."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [kind(**json.loads(line)) for line in lines if line]
