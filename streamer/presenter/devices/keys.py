"""Single key presses from a terminal, on Unix and on Windows; none where there is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from types import TracebackType
from typing import Any


class Keys:
    """Reads keys without waiting for a line; gives the terminal back as it was.

    Args:
        stream: the terminal; its ``isatty`` decides whether there are keys at all.
        platform: as ``sys.platform`` has it.
    """

    def __init__(self, stream: Any = None, platform: str = sys.platform) -> None:
        self._stream = sys.stdin if stream is None else stream
        self._windows = platform == "win32"
        self._before: Any = None
        try:
            self._there = bool(self._stream.isatty())
        except (AttributeError, ValueError):
            self._there = False

    def __enter__(self) -> Keys:
        """Switch the terminal to single keys."""
        if self._there and not self._windows:
            import termios
            import tty

            self._before = termios.tcgetattr(self._stream)
            tty.setcbreak(self._stream)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the terminal back."""
        if self._before is not None:
            import termios

            termios.tcsetattr(self._stream, termios.TCSADRAIN, self._before)

    def wait(self, seconds: float) -> str:
        """Return the key that was pressed within ``seconds``, in lower case, or nothing."""
        if not self._there:
            time.sleep(seconds)
            return ""
        if self._windows:
            return self._wait_windows(seconds)
        import select

        ready, _, _ = select.select([self._stream], [], [], seconds)
        return self._stream.read(1).lower() if ready else ""

    @staticmethod
    def _wait_windows(seconds: float) -> str:
        import msvcrt

        console: Any = msvcrt
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if console.kbhit():
                return str(console.getwch()).lower()
            time.sleep(0.02)
        return ""


@contextmanager
def keys_of_terminal() -> Generator[Keys]:
    """Read keys for as long as the block lasts."""
    with Keys() as keys:
        yield keys
