"""Guidance before a photo is taken: where the face is and what to change, a sentence at a time.

The pictures come raw, are looked at in a confined child and kept nowhere. There is one child for
the whole server, started when somebody holds their camera up and ended soon after.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from visavis.streamer.avatars.look_child import FRAME_BYTES, SIDE
from visavis.streamer.avatars.process import environment, kill
from visavis.streamer.avatars.sandbox import ProcessLimits
from visavis.streamer.errors import AtCapacity, BadRequest

logger = logging.getLogger(__name__)
_ROOT = Path(__file__).resolve().parents[2]
_START_S, _LOOK_S, _IDLE_S = 20.0, 3.0, 15.0
_LINE_BYTES = 4096
_BUSY = "Somebody else is being guided just now; the photo is judged when it is sent."
_UNABLE = "Guidance is not available just now; the photo is judged when it is sent."
GOOD = "Good. Look into the camera, mouth closed."


@dataclass(frozen=True)
class Guidance:
    """What to say to somebody in front of the camera.

    Attributes:
        code: one word for programs; ``good`` if nothing is to be changed.
        sentence: for the person.
    """

    code: str
    sentence: str


@dataclass(frozen=True)
class Bounds:
    """What a good place in the picture is; the page's oval is centred at (0.5, 0.45).

    Shares of the picture's side, except ``turned``, ``eyes`` and ``mouth``, which are as
    ``look_child.measure`` gives them, and ``roll`` in degrees.
    """

    aside: float = 0.10
    above: float = 0.12
    far: float = 0.34
    near: float = 0.68
    turned: float = 0.28
    roll: float = 15.0
    eyes: float = 0.12
    mouth: float = 0.14


def advise(face: dict[str, float], bounds: Bounds | None = None) -> Guidance:
    """Return what somebody should change first; ``face`` is empty where none was found."""
    b = bounds or Bounds()
    if not face:
        return Guidance("no-face", "Place your face inside the oval.")
    right, down = face["x"] - 0.5, face["y"] - 0.45
    # The picture is not mirrored: who stands on its right stands to the left of the camera.
    ways = (
        (face["height"] < b.far, "far", "Come closer."),
        (face["height"] > b.near, "near", "Go back a little."),
        (right > b.aside, "aside", "Move a little to your right."),
        (right < -b.aside, "aside", "Move a little to your left."),
        (down > b.above, "below", "Move up a little."),
        (down < -b.above, "above", "Move down a little."),
        (abs(face["turned"]) > b.turned, "turned", "Look straight into the camera."),
        (abs(face["roll"]) > b.roll, "roll", "Hold your head upright."),
        (face["eyes"] < b.eyes, "eyes", "Open your eyes."),
        (face["mouth"] > b.mouth, "mouth", "Close your mouth."),
    )
    wrong = next(((code, sentence) for bad, code, sentence in ways if bad), None)
    return Guidance(*wrong) if wrong else Guidance("good", GOOD)


class Guide:
    """Looks at pictures, one at a time.

    Args:
        demand: measures without which the child must not look.
        tracker: what finds the face, one of ``provider.CHOICES``.
    """

    def __init__(self, demand: tuple[str, ...] = (), tracker: str = "auto") -> None:
        self._demand, self._tracker = demand, tracker
        self._busy = asyncio.Lock()
        self._child: asyncio.subprocess.Process | None = None
        self._folder = ""
        self._idle: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process that looks; None while there is none."""
        child = self._child
        return child.pid if child is not None and child.returncode is None else None

    async def look(self, pixels: bytes) -> Guidance:
        """Return what is to be changed.

        Args:
            pixels: RGB, ``SIDE`` by ``SIDE``, three bytes a pixel, not mirrored.

        Raises:
            BadRequest: it is no such picture.
            AtCapacity: another picture is being looked at, or none can be.
        """
        if len(pixels) != FRAME_BYTES:
            raise BadRequest(f"The picture must be {SIDE} by {SIDE} pixels of three bytes each.")
        if self._busy.locked():
            raise AtCapacity(_BUSY, 1, code="guidance-busy")
        async with self._busy:
            try:
                face = await self._ask(pixels)
            except (OSError, ValueError, TimeoutError) as error:
                logger.warning("guidance: %s", error or type(error).__name__)
                await self._end()
                raise AtCapacity(_UNABLE, 5, code="guidance-off") from None
            self._end_later()
            return advise(face)

    async def _ask(self, pixels: bytes) -> dict[str, float]:
        child = self._child
        if child is None or child.returncode is not None:
            await self._end()
            child = await self._start()
        assert child.stdin is not None
        child.stdin.write(pixels)
        await child.stdin.drain()
        said = await _line(child, _LOOK_S)
        # A child may have been taken over by what it saw: only numbers are believed.
        face = {name: float(value) for name, value in said.items() if name in _MEASURED}
        if face and (len(face) < len(_MEASURED) or not all(map(math.isfinite, face.values()))):
            raise ValueError("the child that looks talks nonsense")
        return face

    async def _start(self) -> asyncio.subprocess.Process:
        if os.name == "nt":
            raise OSError("pictures are looked at on Linux and macOS only")
        self._folder = await asyncio.to_thread(tempfile.mkdtemp, prefix="visavis-look-")
        job = {
            "folder": self._folder,
            "limits": asdict(ProcessLimits()),
            "readable": [str(_ROOT / "models")],
            "demand": list(self._demand),
            "tracker": self._tracker,
        }
        self._child = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-B", "-m", "visavis.streamer.avatars.look_child",
            json.dumps(job),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=self._folder, env=environment(self._folder),
            start_new_session=True, limit=_LINE_BYTES,
        )  # fmt: skip
        if (await _line(self._child, _START_S)).get("ready") is not True:
            raise ValueError("the child that looks cannot be confined as demanded")
        return self._child

    def _end_later(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(_IDLE_S, self._end_now)

    def _end_now(self) -> None:
        self._ending = asyncio.ensure_future(self.close())

    async def close(self) -> None:
        """End the child."""
        async with self._busy:
            await self._end()

    async def _end(self) -> None:
        child, self._child = self._child, None
        if self._idle is not None:
            self._idle.cancel()
        if child is not None:
            kill(child)
            await child.wait()
        if self._folder:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
            self._folder = ""


_MEASURED = frozenset({"x", "y", "height", "turned", "roll", "eyes", "mouth"})


async def _line(child: asyncio.subprocess.Process, within_s: float) -> dict[str, Any]:
    assert child.stdout is not None
    async with asyncio.timeout(within_s):
        said = json.loads(await child.stdout.readline() or b"null")
    if not isinstance(said, dict):
        raise ValueError("the child that looks has ended")
    return cast(dict[str, Any], said)
