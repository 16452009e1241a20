"""Recordings whose server died: each is finished, as it would have been, when the next one starts.

A recording that runs holds a lock on its folder, which goes with the process, and its record says
that it is not over. One without a lock is cut to its last whole fragment and signed, and the audit
log says so. If the consent of who is seen was withdrawn meanwhile, it is destroyed instead: nobody
has finished it, so nobody had it. Whatever breaks this off, it begins again from what is there.
"""

# PyAV's packets are generic, and its methods name them without what they are of.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

import av

from visavis.streamer.errors import VisavisError
from visavis.streamer.rooms.recording.held import held
from visavis.streamer.rooms.recording.opened import Opened
from visavis.streamer.rooms.recording.sealing import files_of, key_of
from visavis.streamer.rooms.recording.shelf import RecordedFile, Recordings, Shelf
from visavis.streamer.rooms.recording.whole import whole_bytes
from visavis.streamer.trust import sealed
from visavis.streamer.trust.sealed import Unsealable
from visavis.streamer.trust.sealed_stream import MAGIC, SealedStream

logger = logging.getLogger(__name__)
_BLOCK: Final = 1 << 20
_CUT_OFF: Final = "The server stopped in the middle of it; the last second may be missing."


class Recovery:
    """Finishes what was left.

    Args:
        recordings: of the data folder.
        sign: puts a manifest into, or beside, a file; whether it did.
        withdrawn: whether an avatar's consent was withdrawn; raises KeyMissing while nobody knows.
        note: writes ``(event, recording)`` into the audit log.
        running: ids of those that this process records; elsewhere than on Unix no lock tells.
    """

    def __init__(
        self,
        recordings: Recordings,
        sign: Callable[[Shelf, str], bool],
        withdrawn: Callable[[str], bool],
        note: Callable[[str, str], object],
        running: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self._recordings, self._running = recordings, running
        self._sign, self._withdrawn, self._note = sign, withdrawn, note

    def __call__(self) -> int:
        """Finish what can be; return how many could not: they run, or a disk or a vault is shut.

        May take as long as reading and writing all of them.
        """
        left = 0
        try:
            unfinished = [shelf for shelf in self._recordings.all() if not shelf.over]
        except VisavisError as error:
            logger.info("recordings that were cut off are not looked for yet: %s", error)
            return 1
        for shelf in unfinished:
            if shelf.id in self._running():
                left += 1
                continue
            try:
                with held(shelf.folder):
                    self._finish(shelf)
            except BlockingIOError:  # it runs, in this process or another
                left += 1
            except (OSError, VisavisError) as error:
                logger.warning("recording %s could not be finished yet: %s", shelf.id, error)
                left += 1
        return left

    def _finish(self, shelf: Shelf) -> None:
        for hidden in (*shelf.folder.glob(".signing-*"), *shelf.folder.glob(".cutting-*")):
            sealed.shred(hidden)  # half a copy
        destroyed = False
        for file in tuple(shelf.files):
            if file.signed:
                continue  # its track had ended before
            gone = any([self._withdrawn(avatar) for avatar in file.avatars])
            destroyed |= gone
            if gone or not self._mend(shelf, file):
                _destroy(shelf, file)
        if destroyed:
            self._note("recording-shred", shelf.id)
        if not shelf.files:
            self._recordings.erase(shelf)
            self._note("recording-erase", shelf.id)
            return
        shelf.seconds = round(max(one.starts_s + _seconds(shelf, one) for one in shelf.files), 1)
        shelf.problem = shelf.problem or _CUT_OFF
        self._note("recording-recover", shelf.id)
        shelf.over = True
        shelf.save()
        logger.info("recording %s, which was cut off, is finished", shelf.id)

    def _mend(self, shelf: Shelf, file: RecordedFile) -> bool:
        """Cut a file to what is whole and sign it; False if there is nothing to be kept."""
        path = shelf.folder / file.file
        if not path.is_file() or path.stat().st_size <= len(MAGIC):
            return False
        for half in (files_of(path)[1], files_of(path)[3]):  # a manifest, whose file is not known
            if half.is_file():
                sealed.shred(half)
        try:
            opened = shelf.open(file.file)
            with opened.file() as source:
                whole = whole_bytes(source, path.suffix)
            if not whole:
                return False
            _cut(shelf, opened, whole)
        except Unsealable as error:  # changed by somebody, who is not helped to hide it
            logger.warning("recording %s, %s: %s", shelf.id, file.file, error)
            return True
        if self._sign(shelf, file.file):
            shelf.note(file.file, signed=True)
        return True


def _cut(shelf: Shelf, opened: Opened, whole: int) -> None:
    """Leave out what is behind so many bytes, and keep what a sealed file must be to be whole."""
    path = opened.path
    if opened.stream is None:
        with path.open("r+b", buffering=0) as file:
            tail = opened.size - whole
            file.seek(whole)
            while tail > 0:
                tail -= file.write(bytes(min(tail, _BLOCK)))
            os.fsync(file.fileno())
            file.truncate(whole)
        return
    if whole == opened.size:
        shelf.note(path.name, size=opened.stream.size, index=opened.stream.index)
        return
    key = shelf.vault.file_key(key_of(path)) if shelf.vault is not None else None
    assert key is not None, "it was opened with one"
    hidden = path.with_name(f".cutting-{path.name}")
    try:
        with SealedStream(hidden, key, sealed.place(path), new=True) as out:
            for block in shelf.open(path.name).blocks(0, whole):
                out.write(block)
            known = out.size, out.index
        hidden.replace(path)
    finally:
        hidden.unlink(missing_ok=True)
    shelf.note(path.name, size=known[0], index=known[1])


def _destroy(shelf: Shelf, file: RecordedFile) -> None:
    """Destroy a file, its key first."""
    for path in files_of(shelf.folder / file.file):
        with contextlib.suppress(FileNotFoundError):
            sealed.shred(path)
    shelf.files.remove(next(known for known in shelf.files if known.file == file.file))


def _seconds(shelf: Shelf, file: RecordedFile) -> float:
    """Return how long a file is; 0 where that cannot be read."""
    end = 0.0
    try:
        with (
            shelf.open(file.file).file() as source,
            av.open(source, "r", format=Path(file.file).suffix[1:]) as film,
        ):
            for packet in film.demux():
                if packet.pts is not None:  # as it is of the last, which holds nothing
                    end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    except (OSError, VisavisError, av.FFmpegError, ValueError) as error:
        logger.warning("recording %s, %s cannot be read: %s", shelf.id, file.file, error)
    return end
