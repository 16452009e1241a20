"""``python -m tests.golden.make [--add]``: write the goldens anew.

With ``--add`` those of other machines stay and this one's hashes come beside them, provided that
its pictures and curves are alike.
"""

from __future__ import annotations

import argparse
import sys

from tests.golden.measure import measure
from tests.golden.record import DATA, Goldens, compare, read_goldens, write_goldens


def main() -> int:
    """Measure and write; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden.make", description=__doc__)
    parser.add_argument("--add", action="store_true", help="keep the goldens of other machines")
    arguments = parser.parse_args()
    measured = measure()
    kept = read_goldens() if arguments.add else None
    if kept is not None:
        # As if no machine were like this one: its old hashes are what is replaced.
        differences = compare(Goldens(kept.records, kept.small, exact=False), measured)
        if differences:
            print(*(s for some in differences.values() for s in some), sep="\n")
            print("Nothing was written: this is more than another processor makes.")
            return 1
    write_goldens(measured, keep=kept)
    print(f"{len(measured.hashes)} hashes are in {DATA}; look at its pictures.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
