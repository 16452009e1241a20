"""Cameras and microphones of this machine, as ``visavis doctor`` looks for them."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from visavis.streamer.commands.checks import Check

_CALLS_DO_NOT_NEED_IT = "Not needed for browser calls."


def checks() -> Iterator[Check]:
    """Say what a presenter would find here; whoever only serves calls needs neither."""
    cameras = sorted(p.name for p in Path("/dev").glob("video[0-9]*"))
    if cameras:
        yield Check("camera", "ok", f"Found {', '.join(cameras)}.")
    else:
        yield Check("camera", "warn", "No video device.", _CALLS_DO_NOT_NEED_IT)
    microphones = _microphones()
    if microphones:
        yield Check("microphone", "ok", f"{microphones} sound inputs.")
    else:
        yield Check("microphone", "warn", "No sound input.", _CALLS_DO_NOT_NEED_IT)


def _microphones() -> int:
    if importlib.util.find_spec("sounddevice") is None:
        return len(list(Path("/dev/snd").glob("pcm*c")))
    with contextlib.suppress(Exception):  # PortAudio fails in its own ways where there is no sound
        import sounddevice

        module: Any = sounddevice
        return sum(1 for d in module.query_devices() if d["max_input_channels"] > 0)
    return 0
