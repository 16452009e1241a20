"""What every child of enrolment is given, and how it is ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

COMPILED = "numba"  # folder of compiled code below the child's own
_PASSED_ON = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "SYSTEMROOT")


def environment(folder: str) -> dict[str, str]:
    """Return the child's variables: no tokens, one thread everywhere."""
    kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    threads = ("OMP", "OPENBLAS", "MKL", "NUMBA", "NUMEXPR")
    return {
        **kept,
        **{f"{name}_NUM_THREADS": "1" for name in threads},
        "PYTHONIOENCODING": "utf-8",
        "HOME": folder,
        "TMPDIR": folder,
        "NUMBA_CACHE_DIR": str(Path(folder) / COMPILED),
    }


def kill(child: asyncio.subprocess.Process) -> None:
    """End a child and whatever it started."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
