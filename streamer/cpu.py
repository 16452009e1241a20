"""What the processor can do, and what it means when a process stops for want of it."""

from __future__ import annotations

import platform
import signal
from pathlib import Path

# What wheels of MediaPipe, OpenCV and ONNX Runtime for x86-64 are built with or choose at run time.
EXPECTED = ("sse4_2", "avx", "avx2", "fma")
_CPUINFO = Path("/proc/cpuinfo")


def missing(cpuinfo: Path = _CPUINFO, machine: str | None = None) -> tuple[str, ...]:
    """Return the expected instruction sets that this processor lacks; none where it is unknown.

    Args:
        cpuinfo: Linux's description of the processor.
        machine: its architecture.
    """
    if (machine or platform.machine()) not in ("x86_64", "AMD64"):
        return ()
    try:
        text = cpuinfo.read_text("utf-8", "replace")
    except OSError:
        return ()
    line = next((part for part in text.splitlines() if part.startswith("flags")), "")
    flags = set(line.partition(":")[2].split())
    return tuple(name for name in EXPECTED if name not in flags) if flags else ()


def why_killed(code: int | None, lacking: tuple[str, ...] | None = None) -> str:
    """Return a sentence for a process that died of an unknown instruction; empty if it did not.

    Args:
        code: its exit code, negative for a signal.
        lacking: as of :func:`missing`.
    """
    if code is None or code != -getattr(signal, "SIGILL", 4):
        return ""
    names = ", ".join(name.upper() for name in (missing() if lacking is None else lacking))
    if not names:
        return "it stopped on an instruction that this processor does not have."
    return (
        f"this processor lacks {names}, which it needs; in a virtual machine, choose the "
        "processor type 'host'."
    )
