"""``visavis doctor --air-gap``: the whole product at work where only loopback exists.

``python -m visavis.streamer.commands.air_gap FOLDER SECONDS`` is what runs under trace: it enrols
the drawn person, renders, verifies the film, writes motion, presents, asks the doctor, serves a
call, its stage page and a call of two, and then idles. Each step is a command as a user gives it,
in processes of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import wave
from collections.abc import Sequence
from pathlib import Path

from visavis.streamer.commands.air_gap_peers import Server
from visavis.streamer.trust.air_gap import Traced, raise_loopback, trace

_STEP_S = 240.0
_START_S = 90.0
_RATE = 16_000
_ALL_S = 900.0
STEPS = (
    *("enroll", "render", "verify", "motion", "present", "doctor"),
    *("serve", "call", "stage", "room", "idle"),
)


def prove(folder: Path, idle_s: float) -> tuple[Traced, tuple[str, ...]]:
    """Run the product without a network; return what it tried, and the steps that went well.

    Raises:
        CannotProve: there are no means to prove anything here.
    """
    module = "visavis.streamer.commands.air_gap"
    command = [sys.executable, "-P", "-m", module, str(folder), f"{idle_s:g}"]
    traced = trace(command, folder, timeout_s=_ALL_S + idle_s)
    steps: list[str] = []
    for line in traced.output.splitlines():
        with contextlib.suppress(ValueError, TypeError, KeyError):
            steps.append(str(json.loads(line)["step"]))
    return traced, tuple(steps)


async def rehearse(folder: Path, idle_s: float) -> None:
    """Do everything the product does, and print a line of JSON after each step."""
    data = folder / "data"
    photo, sound = _photo(folder / "person.png"), _sound(folder / "tone.wav")
    said = await _visavis(data, "enroll", str(photo), "--name", "Drawn", "--consent")
    avatar = said.split()[-1]
    _done("enroll")
    film, curves = folder / "film.mp4", folder / "motion.json"
    shared = ("--audio", str(sound))
    small = ("--size", "256")
    await _visavis(data, "render", *shared, "--avatar", avatar, "-o", str(film), *small)
    _done("render")
    await _visavis(data, "verify", str(film))
    _done("verify")
    await _visavis(data, "motion", *shared, "-o", str(curves), keeps_data=False)
    _done("motion")
    recorded = ("--record", str(folder / "talk.mp4"), "--seconds", "3", "--canvas", "512x512")
    await _visavis(data, "present", *shared, "--camera", "none", "--speaker", "none", *recorded)
    _done("present")
    await _visavis(data, "doctor")
    _done("doctor")
    await _serve(data, idle_s)


def _photo(path: Path) -> Path:
    from visavis.models.appearance.portrait import synthetic_portrait

    path.write_bytes(synthetic_portrait())
    return path


def _sound(path: Path) -> Path:
    import numpy as np

    t = np.arange(_RATE) / _RATE
    tone = 8000 * np.sin(2 * np.pi * 150 * t) * np.sin(2 * np.pi * 4 * t)
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(_RATE)
        out.writeframes(tone.astype("<i2").tobytes())
    return path


def _command(data: Path, arguments: Sequence[str], keeps_data: bool = True) -> list[str]:
    where = ["--data", str(data)] if keeps_data else []
    return [sys.executable, "-P", "-m", "visavis.streamer", *arguments, *where]


async def _visavis(data: Path, *arguments: str, keeps_data: bool = True) -> str:
    process = await asyncio.create_subprocess_exec(
        *_command(data, arguments, keeps_data),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(_STEP_S):
        out, err = await process.communicate()
    if process.returncode:
        said = err.decode("utf-8", "replace").strip()[-500:]
        raise RuntimeError(f"visavis {arguments[0]} ended with {process.returncode}: {said}")
    return out.decode()


def _done(step: str) -> None:
    sys.stdout.write(json.dumps({"step": step}) + "\n")
    sys.stdout.flush()


async def _serve(data: Path, idle_s: float) -> None:
    process = await asyncio.create_subprocess_exec(
        *_command(data, ["serve", "--port", "0"]),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_START_S):
            line = (await process.stdout.readline()).decode()
        address = line.split()[-1] if line.strip() else ""
        if not address.startswith("http://"):
            raise RuntimeError("the server did not start")
        _done("serve")
        server = Server(address)
        async with server.session() as view_id:
            _done("call")
            await server.stage(view_id)
            _done("stage")
        await server.room()
        _done("room")
        await asyncio.sleep(idle_s)
        _done("idle")
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        async with asyncio.timeout(_STEP_S):
            await process.wait()


def main(arguments: Sequence[str]) -> int:
    """Run what is traced; the exit code is 0 when every step went well."""
    folder, idle_s = Path(arguments[0]), float(arguments[1])
    raise_loopback()
    for name in [n for n in os.environ if n.startswith("VISAVIS_")]:
        del os.environ[name]
    try:
        asyncio.run(rehearse(folder, idle_s))
    except (RuntimeError, OSError, TimeoutError) as error:
        sys.stdout.write(f"{type(error).__name__}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
