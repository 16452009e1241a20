"""``python -m tests.fakes.processes.victim URL``: a session beside others, in a process of its own.

What is measured is then the server, not a loop that it shares with who watches it. Prints `seen`
with the first pictures, watches until its input is closed, and prints what it saw as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from itertools import pairwise
from typing import Any

import httpx

from tests.fakes.fake_microphone import FakeMicrophone, Viewer, beeps

FIRST_PICTURES = 5


def longest(times: list[float]) -> float:
    """Return the longest step, in milliseconds."""
    return 1e3 * max((after - before for before, after in pairwise(times)), default=0.0)


async def main(url: str) -> dict[str, Any]:
    """Be in a call until told to leave."""
    async with httpx.AsyncClient(base_url=url, timeout=20) as http:
        viewer = Viewer(http, FakeMicrophone(beeps(60)))
        await viewer.connect()
        await viewer.until(lambda: len(viewer.frames) >= FIRST_PICTURES)
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
            "ended": viewer.of("ended"),
        }
        await viewer.close()
        return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main(sys.argv[1]))) + "\n")
