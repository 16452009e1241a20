"""The people of a call in a process of their own: one JSON command a line in, one answer out.

So that what they cost is told apart from what the server does, and their clock is one.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import wave
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from visavis.benchmarks.common import BenchmarkError
from visavis.benchmarks.latency.sound import RATE, synthetic_speech
from visavis.benchmarks.room.stand_in import StandIn
from visavis.benchmarks.room.summary import stream_figures

_TURN_S = 4.0


class Guests:
    """Everybody who was asked to come, by name."""

    def __init__(self, http: httpx.AsyncClient, room: str, *, others: int, size: int) -> None:
        self._http, self._room, self._others, self._size = http, room, others, size
        self._people: dict[str, StandIn] = {}

    async def do(self, command: dict[str, Any]) -> dict[str, Any]:
        """Carry out one command."""
        action = getattr(self, f"_{command.pop('do')}")
        found: dict[str, Any] = await action(**command)
        return found

    async def _come(self, name: str, avatar: str, turn: int, voice: str = "") -> dict[str, Any]:
        """Join; everybody speaks a turn of their own, so that one word is not everybody's.

        Args:
            name: what they are called.
            avatar: id of the face they wear.
            turn: which words are theirs, and when.
            voice: a WAV file of mono s16 at 48 kHz that they speak instead.
        """
        said = _read_wav(voice) if voice else synthetic_speech(3 * _TURN_S, seed=turn)
        said = said if voice else np.roll(said, int(turn * _TURN_S * RATE))
        guest = StandIn(
            self._http, self._room, name, avatar, said, others=self._others, size=self._size
        )
        self._people[name] = guest
        others = [person for person in self._people.values() if person is not guest]
        began = time.monotonic()
        try:
            times = await guest.join()
        except BenchmarkError:
            del self._people[name]
            await guest.leave()  # the seat may have been taken
            raise
        told = [1e3 * (await p.hears_of_join(guest.id, began) - began) for p in others]
        return {"id": guest.id, **times, "told_others": told}

    async def _watch(self, seconds: float) -> dict[str, Any]:
        """Take packets for a while; what came of every stream at every receiver."""
        began = time.monotonic()
        await asyncio.sleep(seconds)
        ended = time.monotonic()
        streams = []
        for name, person in self._people.items():
            for who, arrivals in {person.id: person.own(), **person.seen()}.items():
                own = who == person.id
                streams.append({"to": name, "own": own, **stream_figures(arrivals, began, ended)})
        return {"streams": streams}

    async def _go(self, name: str) -> dict[str, Any]:
        """Leave; how long until each of the others has been told."""
        guest = self._people.pop(name)
        began = await guest.leave()
        told = [await p.hears_of("leave", guest.id, began) for p in self._people.values()]
        return {"seen_ms": [1e3 * (at - began) for at in told]}

    async def _drop(self, name: str) -> dict[str, Any]:
        """Lose the line and come back."""
        return await self._people[name].vanish_and_return()

    async def _quit(self) -> dict[str, Any]:
        await asyncio.gather(*(p.leave() for p in self._people.values()))
        return {}


def _read_wav(path: str) -> NDArray[np.float32]:
    with wave.open(path) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return (samples / 32768).astype(np.float32)


async def _serve(url: str, room: str, others: int, size: int) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=20) as http:
        guests = Guests(http, room, others=others, size=size)
        while line := await asyncio.to_thread(sys.stdin.readline):
            command = json.loads(line)
            over = command["do"] == "quit"
            try:
                answer = await guests.do(command)
            except (BenchmarkError, httpx.HTTPError) as error:
                answer = {"error": str(error) or type(error).__name__}
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
            if over:
                return


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
