"""``python -m visavis.benchmarks.soak.victim URL AVATAR SIZE``: a viewer to be killed.

Prints a line at its first picture and then watches until its process is ended from outside.
"""

from __future__ import annotations

import asyncio
import sys

from visavis.benchmarks.common import FAILED, BenchmarkError
from visavis.benchmarks.latency.sound import synthetic_speech
from visavis.benchmarks.viewer import Viewer

_LONGEST_S = 120.0  # nobody is left behind if the parent is killed


async def _watch(url: str, avatar: str, size: int) -> None:
    viewer = Viewer(url, avatar, synthetic_speech(5), size)
    await viewer.connect_when_free()
    sys.stdout.write(f"watching {viewer.pc_id}\n")
    sys.stdout.flush()
    await asyncio.sleep(_LONGEST_S)


def main() -> int:
    """Watch."""
    try:
        asyncio.run(_watch(sys.argv[1], sys.argv[2], int(sys.argv[3])))
    except BenchmarkError as error:
        sys.stderr.write(f"{error}\n")
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
