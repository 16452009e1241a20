"""Where a command writes: looked at before any work, and never at the cost of another file.

A result is made under a name of its own beside the final one and moved there when it is whole, so
that a failed end, Ctrl-C or a request to stop leaves what was there before, and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import threading
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from types import FrameType

from rich.text import Text

from visavis.streamer.errors import BadRequest

_SIGTERM_EXIT = 128 + signal.SIGTERM


def check_output(
    path: Path,
    inputs: Iterable[Path | None] = (),
    *,
    force: bool = False,
    suffixes: Sequence[str] = (),
) -> None:
    """Refuse an output that cannot be written, or that would destroy something.

    Args:
        path: the file that the result goes to.
        inputs: the files that it is made from, which it may never be, through links neither.
        force: another file that is there already may be replaced.
        suffixes: lower-case endings that the name may have (``".mp4"``); none for any.

    Raises:
        BadRequest: the sentence says what is wrong.
    """
    if suffixes and path.suffix.lower() not in suffixes:
        raise BadRequest(f"The output must end in {_either(suffixes)}, not {path.suffix!r}.")
    if path.is_dir():
        raise BadRequest(f"{path} is a folder; name a file in it.")
    if path.exists() and not path.is_file():
        raise BadRequest(f"{path} is no ordinary file; name another one.")
    if not path.parent.is_dir():
        raise BadRequest(f"There is no folder {path.parent} to write into.")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise BadRequest(f"The folder {path.parent} cannot be written to.")
    for source in inputs:
        if source is not None and _same(path, source):
            raise BadRequest(f"{path} is what the result is made from; write to another file.")
    if not force and os.path.lexists(path):
        raise _exists(path)


@contextlib.contextmanager
def whole_file(path: Path, *, force: bool = False) -> Generator[Path]:
    """Give a name to write under; what is there becomes ``path`` if all goes well.

    A request to stop (SIGTERM) ends the block as an exception would while it runs in the main
    thread, so that it cleans up as well.

    Args:
        path: where the result goes.
        force: replace what is there by then.

    Yields:
        A new, empty file in the same folder, with the ending of ``path``.

    Raises:
        BadRequest: it cannot be written, or something else has come to lie there.
    """
    partial = path.with_name(f".{path.stem[:80]}.{secrets.token_hex(4)}.partial{path.suffix}")
    with _stopped_by_term():
        try:
            os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666))
            yield partial
            _publish(partial, path, force)
        except OSError as error:  # FFmpeg's errors are among them where they have a number
            raise BadRequest(f"{path} cannot be written: {error.strerror or error}.") from error
        finally:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)


def _publish(partial: Path, path: Path, force: bool) -> None:
    if force:
        partial.replace(path)
        return
    try:
        os.link(partial, path)  # unlike a rename it fails where something has come to lie
    except FileExistsError:
        raise _exists(path) from None
    except OSError:  # a file system without links (FAT)
        if os.path.lexists(path):
            raise _exists(path) from None
        partial.replace(path)


@contextlib.contextmanager
def _stopped_by_term() -> Generator[None]:
    if threading.current_thread() is not threading.main_thread() or (
        signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit(_SIGTERM_EXIT)

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def plain(words: str, style: str = "") -> Text:
    """Return what others have named for a table: no markup, nothing that a terminal obeys."""
    shown = (c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in words)
    return Text("".join(shown), style)


def _exists(path: Path) -> BadRequest:
    return BadRequest(f"{path} exists already; --force replaces it.")


def _same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:  # one of them is not there
        return path.resolve() == other.resolve()


def _either(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
