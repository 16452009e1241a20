"""The free detector for a stranger's video: looked at in a confined child, kept nowhere.

It says what ``visavis verify`` says. The child does not get the key that tells this server's
watermark from another's: it says which bits it read, and they are judged here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, cast

from pydantic import TypeAdapter

from visavis.streamer.avatars.process import environment, kill
from visavis.streamer.avatars.sandbox import ProcessLimits
from visavis.streamer.errors import AtCapacity, BadRequest, Unprocessable
from visavis.streamer.trust.marks.verdict import Verdict, told_by_key

logger = logging.getLogger(__name__)
_ROOT: Final = Path(__file__).resolve().parents[3]
_VERDICT: Final = TypeAdapter(Verdict)
_WITHIN_S: Final = 90.0
_ANSWER_BYTES: Final = 1 << 18
_BUSY: Final = "Another video is being looked at; try again in a moment."
_UNABLE: Final = "Videos cannot be looked at just now; use visavis verify on your own machine."
_LONG: Final = "Looking at this video took too long; send a shorter part of it."


class Detector:
    """Looks at videos, one at a time.

    Args:
        data_dir: of the server, whose authority and watermark key are its own.
        demand: measures without which the child must not look.
    """

    def __init__(self, data_dir: Path, demand: tuple[str, ...] = ()) -> None:
        self._data_dir = data_dir
        self._demand = demand
        self._busy = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncGenerator[None, None]:
        """Take the only turn, before a video is read into memory.

        Raises:
            AtCapacity: somebody else has it.
        """
        if self._busy.locked():
            raise AtCapacity(_BUSY, 5, code="detector-busy")
        async with self._busy:
            yield

    async def look(self, video: bytes) -> Verdict:
        """Return what a video says of itself.

        Raises:
            BadRequest: there is nothing to look at.
            Unprocessable: it is no video, or takes too long.
            AtCapacity: none can be looked at.
        """
        if not video:
            raise BadRequest("The file is empty.")
        if not hasattr(os, "memfd_create"):
            raise AtCapacity(_UNABLE, 3600, code="detector-off")
        folder = await asyncio.to_thread(tempfile.mkdtemp, prefix="visavis-verify-")
        try:
            said = await self._ask(folder, video)
        except TimeoutError:
            raise Unprocessable(_LONG, code="too-long") from None
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        if "refused" in said:
            raise Unprocessable(str(said["refused"]), code="no-video")
        try:
            verdict = _VERDICT.validate_python({**said["found"], "file": ""})  # from a stranger
            key_file = self._data_dir / "trust" / "watermark.key"
            key = await asyncio.to_thread(key_file.read_bytes) if key_file.is_file() else None
            return verdict if key is None else told_by_key(verdict, key)
        except (KeyError, TypeError, ValueError) as error:
            logger.warning("the child that looks at videos failed: %s", said or error)
            raise AtCapacity(_UNABLE, 60, code="detector-off") from None

    async def _ask(self, folder: str, video: bytes) -> dict[str, Any]:
        job = {
            "folder": folder,
            "limits": asdict(ProcessLimits(cpu_s=150, file_bytes=1 << 30)),
            "readable": [
                *(str(_ROOT / room) for room in ("streamer", "models", "engines")),
                str(self._data_dir / "trust" / "c2pa" / "authority.pem"),
            ],
            "demand": list(self._demand),
            "data_dir": str(self._data_dir),
        }
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-B", "-m", "visavis.streamer.avatars.detector.verify_child",
            json.dumps(job),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=folder, env=environment(folder), start_new_session=True, limit=_ANSWER_BYTES,
        )  # fmt: skip
        try:
            async with asyncio.timeout(_WITHIN_S):
                out, _ = await child.communicate(video)
        finally:
            kill(child)
            await child.wait()
        try:
            said = json.loads(out[:_ANSWER_BYTES] or b"null")
        except ValueError:
            said = None
        return cast(dict[str, Any], said) if isinstance(said, dict) else {}
