"""Which tracker finds faces: MediaPipe where it is installed, networks of our own elsewhere."""

from __future__ import annotations

import importlib.util
import sys
from typing import Final, Literal

from visavis.models.appearance.tracker.faces import OpenTracker

Choice = Literal["auto", "mediapipe", "own"]
CHOICES: Final = ("auto", "mediapipe", "own")


def mediapipe_installed() -> bool:
    """Say whether MediaPipe is there; its last wheel with models stops at Python 3.12."""
    # Once a tracker was made, an empty package without a specification stands there for it.
    return "mediapipe" in sys.modules or importlib.util.find_spec("mediapipe") is not None


def open_tracker(choice: str = "auto") -> OpenTracker:
    """Return a face tracker.

    Args:
        choice: ``"mediapipe"``, ``"own"``, or ``"auto"``: MediaPipe where it is installed, since
            its landmarks are still the finer ones (figures in weights/tracker/README.md).

    Raises:
        ValueError: no such choice.
        RuntimeError: MediaPipe was asked for and is not installed.
    """
    if choice not in CHOICES:
        raise ValueError(f"A face tracker is one of {', '.join(CHOICES)}, not {choice!r}.")
    if choice == "mediapipe" or (choice == "auto" and mediapipe_installed()):
        from visavis.models.appearance.photo.tracker import MediaPipeTracker

        return MediaPipeTracker()
    from visavis.models.appearance.tracker.own import OwnTracker

    return OwnTracker()
