"""``python -m tests.golden.check [--sheets DIR]``: say what differs from the goldens."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.golden.measure import measure
from tests.golden.record import compare, machine, read_goldens, sheet_png


def main() -> int:
    """Measure and compare; returns 1 where something differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden.check", description=__doc__)
    parser.add_argument("--sheets", type=Path, help="write contact sheets of now into this folder")
    arguments = parser.parse_args()
    golden = read_goldens()
    measured = measure()
    if arguments.sheets:
        arguments.sheets.mkdir(parents=True, exist_ok=True)
        for name, sheet in measured.sheets.items():
            (arguments.sheets / f"{name}.png").write_bytes(sheet_png(sheet))
    exact = golden.hashes_here() is not None
    if not exact:
        here, there = machine(), golden.records[0]["machine"]
        other = ", ".join(k for k in here if here[k] != there.get(k))
        print(f"The goldens are of another machine ({other}), so likeness is what is compared.")
    differences = compare(golden, measured)
    for sentence in (s for some in differences.values() for s in some):
        print(sentence)
    if not differences:
        print(f"All {len(measured.hashes)} are {'the same, bit by bit' if exact else 'alike'}.")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
