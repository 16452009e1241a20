"""What a process of a test begins with, however the tests themselves were started."""

from __future__ import annotations

import signal


def can_be_interrupted() -> None:
    """Heed SIGINT: a shell's background jobs, and so their children, are born ignoring it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
