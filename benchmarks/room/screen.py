"""From a microphone in a room to somebody's screen in it, by the page of ``bench latency``."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from visavis.benchmarks.browser import Run, run_page
from visavis.benchmarks.common import BenchmarkError
from visavis.benchmarks.latency.sound import synthetic_speech
from visavis.benchmarks.latency.summary import summarise
from visavis.benchmarks.signalling import Answer, Signaller, Target

_TAKEN = ("mouth_to_lip_ms", "mouth_seen_moving_ms", "mic_to_sound_ms", "av_skew_ms")


class Seat(Signaller):
    """Takes a seat in a room with an offer.

    Args:
        url: the server.
        room: the call's name in its address.
        entry: what is said at the door.
        wishes: what goes along with the offer.
    """

    def __init__(self, url: str, room: str, entry: dict[str, Any], wishes: dict[str, Any]) -> None:
        super().__init__(Target(url))
        self._base = f"{url}/api/rooms/{room}"
        self._entry, self._wishes = entry, wishes
        self._headers: dict[str, str] = {}

    async def offer(self, sdp: str) -> Answer:
        """Enter and connect.

        Raises:
            BenchmarkError: the server says no.
        """
        seat = await self._said("/people", self._entry, 201)
        self._headers = {"authorization": f"Bearer {seat['seat']}"}
        answer = await self._said("/offer", {"sdp": sdp, "type": "offer", **self._wishes}, 200)
        return Answer(str(answer["sdp"]), f"{self._base}/people/me")

    async def _said(self, path: str, body: dict[str, Any], status: int) -> dict[str, Any]:
        try:
            answer = await self._http.post(self._base + path, json=body, headers=self._headers)
        except httpx.HTTPError as error:
            raise BenchmarkError(f"The server at {self._base} cannot be reached.") from error
        if answer.status_code != status:
            raise BenchmarkError(f"The server refused: {answer.text}")
        found: dict[str, Any] = answer.json()
        return found

    async def hang_up(self, answer: Answer) -> None:
        """Leave for good."""
        await self._http.delete(answer.resource, headers=self._headers)


async def measure(
    url: str,
    room: str,
    avatar: str,
    size: int,
    seconds: float,
    fill: Callable[[], Awaitable[None]],
) -> dict[str, Any]:
    """Measure one microphone against one screen in a call.

    Args:
        url: the server.
        room: the call's name in its address.
        avatar: id of the face that is watched.
        size: of the pictures.
        seconds: how long, with everybody there.
        fill: has everybody else join.

    Returns:
        Percentiles in milliseconds and how steadily pictures came.

    Raises:
        BenchmarkError: it could not be measured.
    """
    speaks = Seat(
        url,
        room,
        {"name": "Speaks", "part": "avatar"},
        {"avatar_id": avatar, "size": size, "probe": True},
    )
    looks = Seat(url, room, {"name": "Looks", "part": "listener"}, {})
    everybody_at = 0.0

    async def began() -> None:
        nonlocal everybody_at
        await fill()
        everybody_at = 1e3 * time.time()

    run = Run(seconds=seconds, grids="all", control=False, apart=True)
    raw = await run_page([speaks, looks], run, synthetic_speech(20), began=began)
    raw["began"] = max(raw["began"], everybody_at)
    figures = summarise(raw)
    found = {name: figures[name] for name in _TAKEN if name in figures}
    return {**found, "frames": figures["frames"], "method": figures["method"]}
