"""Enrolment in a child process: the one that calls this never decodes a picture itself.

The child is a fresh interpreter with a clean environment in a session of its own, confined by
``visavis.streamer.avatars.sandbox``. It may take the photo down with it, but nothing else. What it
makes of the photo comes back through files without a name, in memory where the system has such: if
all of this is killed half-way, no face is left in any folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast, get_args

from visavis.models.appearance.photo.errors import Code, EnrolmentRefused
from visavis.models.appearance.photo.photo import MAX_BYTES, MAX_PIXELS
from visavis.models.appearance.photo.upload import check_sent
from visavis.models.files import atomic_write
from visavis.streamer import cpu
from visavis.streamer.avatars.compiled import lend_compiled
from visavis.streamer.avatars.process import environment, kill
from visavis.streamer.avatars.sandbox import MEASURES, WORDS, ProcessLimits
from visavis.streamer.errors import VisavisError

log = logging.getLogger(__name__)

Progress = Callable[[float, str], None]
_ROOT = Path(__file__).resolve().parents[2]
_LINE_BYTES = 16_384
_MAX_LINES = 2_000
_SENTENCE = 300  # characters
_KEPT_STDERR = 4_000  # bytes
_UNHEARD = 1  # exit code of a child that is stopped for what it says
_BUNDLE_BYTES = 32 << 20  # one of 512 px takes half a megabyte
_PREVIEW_BYTES = 4 << 20
_SHOWN_BYTES = 32 << 20  # a panorama of noise
_T = TypeVar("_T")


class EnrolmentFailed(VisavisError):
    """The child crashed, hung or ran out of something; the message is one sentence."""


@dataclass(frozen=True)
class EnrolmentResult:
    """What an enrolment leaves behind besides the bundle.

    Attributes:
        notes: sentences for the owner of the photo.
        preview: the avatar at rest, a JPEG.
        held: the confinement measures that the kernel granted.
        timing: seconds by stage, in the child.
    """

    notes: tuple[str, ...]
    preview: bytes
    held: tuple[str, ...]
    timing: dict[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, kw_only=True)
class PhotoJob:
    """What is to be made of a photo, and how.

    Attributes:
        size: pixels of the avatar's picture.
        timeout_s: wall-clock seconds after which the child is killed.
        progress: told the share that is done (0-1) and the stage, on this event loop.
        max_bytes: limit on the file.
        max_pixels: limit on width times height.
        limits: of the child; its processor time follows the timeout by default.
        module: what the child runs.
        workplace: where the child's own folder is made, with compiled code and nothing of the
            photo; among the temporary files by default.
        demand: measures without which the child must not read the photo.
        show: make no bundle; the preview is the photo itself.
        tracker: what finds the face, one of ``provider.CHOICES``.
    """

    size: int
    timeout_s: float
    progress: Progress | None = None
    max_bytes: int = MAX_BYTES
    max_pixels: int = MAX_PIXELS
    limits: ProcessLimits | None = None
    module: str = "visavis.streamer.avatars.child"
    workplace: Path | None = None
    demand: tuple[str, ...] = ()
    show: bool = False
    tracker: str = "auto"

    def for_child(self, folder: Path, bundle: int, preview: int) -> dict[str, Any]:
        """Return what the child is told; files by their descriptors."""
        limits = self.limits or ProcessLimits(cpu_s=math.ceil(self.timeout_s) + 5)
        return {
            "folder": str(folder),
            "size": self.size,
            "max_bytes": self.max_bytes,
            "max_pixels": self.max_pixels,
            "limits": asdict(limits),
            "readable": [str(_ROOT / "models"), str(_ROOT / "engines")],
            "bundle": bundle,
            "preview": preview,
            "demand": list(self.demand),
            "show": self.show,
            "tracker": self.tracker,
        }


@dataclass(frozen=True)
class ReadPhoto:
    """What a photo became, in memory.

    Attributes:
        bundle: the identity's bytes.
        result: what goes with it.
    """

    bundle: bytes
    result: EnrolmentResult


async def enrol_photo(
    data: bytes,
    out: Path,
    *,
    write: Callable[[Path, bytes], None] = atomic_write,
    **options: Any,
) -> EnrolmentResult:
    """Turn the bytes of a photo into a bundle at ``out``, which appears whole or not at all.

    Args:
        data: the uploaded file, untrusted.
        out: where the bundle goes; its folder must exist.
        write: writes the bundle, whole or not at all; a vault's seals it.
        options: as of :func:`read_photo`.

    Raises:
        EnrolmentRefused: the photo cannot serve; the message is the reason.
        EnrolmentFailed: the child broke or took too long.
        OSError: the disk does not take the bundle.
    """
    out = Path(os.path.abspath(out))  # noqa: ASYNC240  no disk is asked
    read = await read_photo(data, PhotoJob(workplace=out.parent, **options))
    await asyncio.to_thread(write, out, read.bundle)
    return read.result


async def read_photo(data: bytes, job: PhotoJob) -> ReadPhoto:
    """Turn the bytes of a photo, or of a bundle, into a bundle's; no picture touches a disk.

    Args:
        data: the uploaded file, untrusted.
        job: what is to be made of it, and how.

    Raises:
        EnrolmentRefused: the photo cannot serve; the message is the reason.
        EnrolmentFailed: the child broke, took too long, or could not be confined as demanded.
    """
    check_sent(data, job.max_bytes)
    _check_system()
    make = partial(tempfile.mkdtemp, prefix=".enrol-", dir=job.workplace)
    folder = Path(await asyncio.to_thread(make))
    try:
        with _unnamed() as bundle, _unnamed() as preview:
            if not job.show:
                await lend_compiled(folder, job.progress)
            told = job.for_child(folder, bundle.fileno(), preview.fileno())
            done = await _run_child(job.module, told, data, job.timeout_s, job.progress)
            made = b"" if job.show else _read(bundle, _BUNDLE_BYTES)
            most = _SHOWN_BYTES if job.show else _PREVIEW_BYTES
            return ReadPhoto(made, _result(done, _read(preview, most)))
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _check_system() -> None:
    if os.name == "nt":
        raise EnrolmentFailed("Photos are read on Linux and macOS only; on Windows, use WSL 2.")


def _unnamed() -> BinaryIO:
    """Return a file that nobody can open by a name and that ends with its last holder."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("visavis"), "w+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)  # unlinked as soon as it is made


def enrol_photo_sync(data: bytes, out: Path, **options: Any) -> EnrolmentResult:
    """Do the same where no event loop runs; see ``enrol_photo``."""
    return run_sync(enrol_photo(data, out, **options))


def read_photo_sync(data: bytes, **options: Any) -> ReadPhoto:
    """Do the same where no event loop runs; see ``read_photo``."""
    return run_sync(read_photo(data, PhotoJob(**options)))


def run_sync(work: Coroutine[Any, Any, _T]) -> _T:
    """Run something to its end, its cleaning up included when the process is told to stop."""

    async def told() -> _T:
        task = asyncio.current_task()
        assert task is not None
        with contextlib.suppress(NotImplementedError):  # Windows, whose TERM ends at once
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work

    try:
        return asyncio.run(told())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def _run_child(
    module: str, job: dict[str, Any], data: bytes, timeout_s: float, progress: Progress | None
) -> dict[str, Any]:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-B",
        "-m",
        module,
        json.dumps(job),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=job["folder"],
        env=environment(job["folder"]),
        pass_fds=(job["bundle"], job["preview"]),
        start_new_session=True,
        limit=_LINE_BYTES,
    )
    errors = asyncio.ensure_future(_tail(child.stderr))
    try:
        async with asyncio.timeout(timeout_s):
            await _feed(child.stdin, data)
            last = await _listen(child.stdout, progress)
            code = await child.wait() if last else _UNHEARD
    except TimeoutError:
        raise EnrolmentFailed(
            f"Reading the photo took longer than {timeout_s:g} seconds and was stopped."
        ) from None
    finally:
        kill(child)
        # Before Python 3.12.4 ``wait`` hangs for as long as unread output holds a pipe open.
        while child.stdout is not None and await child.stdout.read(1 << 16):
            pass
        await child.wait()
        said = await errors
    return _verdict(last, code, said)


async def _feed(pipe: asyncio.StreamWriter | None, data: bytes) -> None:
    assert pipe is not None
    # A child that died early is heard of through its exit code.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        pipe.write(data)
        await pipe.drain()
        pipe.close()
        await pipe.wait_closed()


async def _listen(pipe: asyncio.StreamReader | None, progress: Progress | None) -> dict[str, Any]:
    """Return the child's last word, or nothing where it talks nonsense or without end.

    A child may have been taken over by its photo, so nothing that it says is believed.
    """
    assert pipe is not None
    last: dict[str, Any] = {}
    for _ in range(_MAX_LINES):
        try:
            line = await pipe.readline()
            message = json.loads(line) if line else None
        except ValueError:  # too long, or not JSON
            return {}
        if message is None:
            return last
        if not isinstance(message, dict):
            return {}
        last = cast(dict[str, Any], message)
        done, stage = last.get("progress"), last.get("stage")
        if progress is not None and isinstance(done, float | int) and isinstance(stage, str):
            progress(min(1.0, max(0.0, float(done))), _sentence(stage))
    return {}


async def _tail(pipe: asyncio.StreamReader | None) -> bytes:
    assert pipe is not None
    kept = b""
    while block := await pipe.read(4096):
        kept = (kept + block)[-_KEPT_STDERR:]
    return kept


def _verdict(last: dict[str, Any], code: int, said: bytes) -> dict[str, Any]:
    if isinstance(last.get("refused"), str):
        said_code = last.get("code")  # the child is not believed: only what we know is passed on
        known = cast(Code, said_code) if said_code in get_args(Code) else "refused"
        raise EnrolmentRefused(_sentence(last["refused"]), known)
    if code == 0 and isinstance(last.get("done"), dict):
        return dict(last["done"])
    if last.get("full") is True:
        raise EnrolmentFailed("There is no room left on the server's disk for this avatar.")
    if isinstance(last.get("open"), list):
        names = ", ".join(WORDS[m] for m in MEASURES if m in last["open"]) or "some measure"
        raise EnrolmentFailed(
            f"Photos are read only in full isolation here, and this system does not grant: {names}."
        )
    log.warning("enrolment child ended with %d: %s", code, said.decode("utf-8", "replace"))
    if lacking := cpu.why_killed(code):
        raise EnrolmentFailed(f"The photo could not be read: {lacking}")
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        raise EnrolmentFailed("Reading the photo used more processor time or memory than allowed.")
    raise EnrolmentFailed("The process that reads photos broke off; try another copy of the photo.")


def _texts(given: object) -> tuple[str, ...]:
    texts = cast(list[object], given) if isinstance(given, list) else []
    return tuple(_sentence(str(text)) for text in texts[:20])


def _result(done: dict[str, Any], preview: bytes) -> EnrolmentResult:
    notes, held, timing = (_texts(done.get("notes")), _texts(done.get("held")), done.get("timing"))
    took = cast(dict[object, object], timing) if isinstance(timing, dict) else {}
    return EnrolmentResult(
        notes=notes,
        preview=preview,
        held=held,
        timing={
            str(name)[:40]: float(seconds)
            for name, seconds in took.items()
            if isinstance(seconds, float | int)
        },
    )


def _read(file: BinaryIO, max_bytes: int) -> bytes:
    size = os.fstat(file.fileno()).st_size
    if not 0 < size <= max_bytes:
        raise EnrolmentFailed("The process that reads photos left no usable result.")
    file.seek(0)
    return file.read(size)


def _sentence(text: str) -> str:
    return "".join(c for c in text if c.isprintable())[:_SENTENCE]
