"""What numba has compiled on this machine, and lending it to the child that reads photos."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from visavis.streamer.avatars.process import COMPILED, kill

log = logging.getLogger(__name__)

_ROOT = Path(__file__).resolve().parents[2]
_WARM_UP_S = 120.0


async def lend_compiled(folder: Path, progress: Callable[[float, str], None] | None) -> None:
    """Give the child a copy of what numba has compiled for us: seven seconds saved.

    The child may not write where its parents read code from, and numba will not use a cache it
    cannot write; so it gets a copy, which goes with it. Where nothing was compiled yet, that is
    done first.
    """
    if await asyncio.to_thread(_copy_compiled, folder):
        return
    if progress is not None:
        progress(0.01, "Compiling for this machine, once")
    await compile_once()
    await asyncio.to_thread(_copy_compiled, folder)


async def compile_once() -> None:
    """Compile the inner loops if nothing is compiled yet, in a process that has seen no photo."""
    if any(_compiled_files()):
        return
    command = (sys.executable, "-P", "-m", "visavis.models.warm")
    quiet = asyncio.subprocess.DEVNULL
    child = await asyncio.create_subprocess_exec(
        *command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
    )
    try:
        async with asyncio.timeout(_WARM_UP_S):
            await child.wait()
    except TimeoutError:
        log.warning("compiling took longer than %g s; enrolment does it by itself", _WARM_UP_S)
    finally:
        kill(child)
        await child.wait()


def compiled_packages() -> list[Path]:
    """Return the folders whose modules numba may have compiled, however deep they lie."""
    return sorted(path.parent for path in (_ROOT / "models").rglob("__init__.py"))


def _compiled_files() -> Iterator[tuple[str, list[Path]]]:
    """Yield numba's cache of each of our folders (its layout: numba.core.caching)."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    for package in compiled_packages():
        name = f"{package.name}_{hashlib.sha1(str(package).encode()).hexdigest()}"
        for source in (
            Path(os.environ.get("NUMBA_CACHE_DIR") or "/nonexistent") / name,
            package / "__pycache__",
            Path(cache) / "numba" / name,
        ):
            if found := [*source.glob("*.nbi"), *source.glob("*.nbc")]:
                yield name, found
                break


def _copy_compiled(folder: Path) -> bool:
    """Copy what is compiled, if anything is and if the folder is still there.

    Whoever stops an enrolment does not stop this thread, and removes the folder: it must not be
    made anew, with the erased avatar's folder above it.
    """
    copied = False
    try:
        (folder / COMPILED).mkdir(exist_ok=True)
    except OSError:
        return copied
    for name, found in _compiled_files():
        target = folder / COMPILED / name
        try:
            target.mkdir()
            for file in found:
                shutil.copyfile(file, target / file.name)
        except OSError:  # replaced meanwhile, or no room: the child compiles again
            shutil.rmtree(target, ignore_errors=True)
            continue
        copied = True
    return copied
