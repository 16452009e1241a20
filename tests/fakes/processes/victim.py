"""``python -m tests.fakes.processes.victim URL``: a session beside others, in a process of its own.

What is measured is then the server, not a loop that it shares with who watches it. Prints `seen`
with the first pictures, watches until its input is closed, and prints what it saw as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from itertools import pairwise
from typing import Any

import httpx

from tests.fakes.fake_microphone import FakeMicrophone, Viewer, beeps

FIRST_PICTURES = 5
NAP_S = 0.01


def longest(times: list[float]) -> float:
    """Return the longest step, in milliseconds."""
    return 1e3 * max((after - before for before, after in pairwise(times)), default=0.0)


class Stalls:
    """How long this machine lets a process wait that has next to nothing to do."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        threading.Thread(target=self._nap, daemon=True).start()

    def _nap(self) -> None:
        while True:
            began = time.monotonic()
            time.sleep(NAP_S)
            self.longest_s = max(self.longest_s, time.monotonic() - began - NAP_S)


async def main(url: str) -> dict[str, Any]:
    """Be in a call until told to leave."""
    async with httpx.AsyncClient(base_url=url, timeout=20) as http:
        viewer = Viewer(http, FakeMicrophone(beeps(60)))
        await viewer.connect()
        await viewer.until(lambda: len(viewer.frames) >= FIRST_PICTURES)
        stalls = Stalls()
        sys.stdout.write("seen\n")
        sys.stdout.flush()
        told = asyncio.ensure_future(asyncio.to_thread(sys.stdin.read))
        while not told.done():
            await viewer.send(type="ping", t=1)
            await asyncio.wait([told], timeout=1)
        found = {
            "pc_id": viewer.pc_id,
            "pictures": len(viewer.frames),
            "media_gap_ms": longest([frame.media_s for frame in viewer.frames]),
            "seen_gap_ms": longest([frame.at for frame in viewer.frames]),
            "sound_gap_ms": longest([sound.at for sound in viewer.sounds]),
            "stalled_ms": 1e3 * stalls.longest_s,
            "ended": viewer.of("ended"),
        }
        await viewer.close()
        return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main(sys.argv[1]))) + "\n")
