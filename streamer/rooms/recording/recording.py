"""A recording while it runs: every feed of a room into files of its own."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import queue
import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av

from visavis.streamer.errors import VisavisError
from visavis.streamer.rooms.recording.film import Film, suffix_for
from visavis.streamer.rooms.recording.held import held
from visavis.streamer.rooms.recording.shelf import RecordedFile, Shelf
from visavis.streamer.trust.sealed_stream import SealedStream

if TYPE_CHECKING:
    from visavis.streamer.webrtc.feed import Feed

logger = logging.getLogger(__name__)
_WAITING = 1024  # packets that wait for the disk, two seconds of eight people
_LEAST_FREE = 256 << 20  # bytes that stay free on the disk
_MOST_BYTES = 8 << 30
_LOOK_EVERY = 200  # packets after which the disk is looked at
_DISK_SLOW = "The disk is too slow for the recording, which has been stopped."
_DISK_FULL = "The disk is nearly full; the recording has been stopped."
_LARGE = "The recording has reached its largest size and has been stopped."
_QUOTA = "The recordings have reached their quota; this one has been stopped."
_BROKEN = "The recording could not be written and has been stopped."


class _Writer(threading.Thread):
    """Does what the disk may make wait, in order, beside the calls."""

    def __init__(self) -> None:
        super().__init__(name="recording", daemon=True)
        self.problem = ""
        self._work: queue.Queue[Callable[[], None] | None] = queue.Queue(_WAITING)

    def put(self, work: Callable[[], None]) -> None:
        try:
            if not self.problem:
                self._work.put_nowait(work)
        except queue.Full:
            self.problem = _DISK_SLOW

    def finish(self) -> None:
        """Let what waits be written, then end; waits for it."""
        self._work.put(None)
        self.join()

    def run(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                work()
            except (OSError, ValueError, VisavisError, av.FFmpegError) as error:
                logger.error("recording: %s", error)
                self.problem = self.problem or _BROKEN


class _Track:
    """One feed on its way into one file: a tap of the feed."""

    def __init__(self, recording: Recording, person: str, feed: Feed, fps: int) -> None:
        self.feed = feed
        self.film: Film | None = None  # the writer's
        self._recording = recording
        self._person = person
        self._fps = fps
        self._open = False
        self._name = ""
        self._file: io.RawIOBase | None = None  # the writer's
        self._since = 0  # of whom the feed has shown, the first who is in the file
        feed.tap(self)
        feed.request_keyframe()

    def picture(self, frame: int, data: bytes, keyframe: bool) -> None:
        if not self._open:
            if not keyframe:
                return
            self._open = True
            self._since = max(0, len(self.feed.worn) - 1)
            self._name = self._recording.file_for(self._person, self.feed.codec, self.worn())
            self._recording.write(lambda: self._begin(data, frame))
        self._recording.write(lambda: self._film.picture(frame, data, keyframe))

    def sound(self, data: bytes, pts: int) -> None:
        if self._open:
            self._recording.write(lambda: self._film.sound(data, pts))

    def worn(self) -> tuple[str, ...]:
        """Return whom the file shows."""
        return tuple(dict.fromkeys(self.feed.worn[self._since :]))

    def look(self) -> None:
        """Keep whom the file shows by now."""
        if self._open:
            self._recording.wears(self._name, self.worn())

    def end(self) -> None:
        self.feed.untap(self)
        self.look()
        self._recording.write(self._close)

    @property
    def _film(self) -> Film:
        if self.film is None:
            raise ValueError("the file could not be begun")
        return self.film

    def _begin(self, keyframe: bytes, frame: int) -> None:
        self._file = self._recording.shelf.make(self._name)
        self.film = Film(self._file, Path(self._name).suffix, keyframe, frame, self._fps)

    def _close(self) -> None:
        film, self.film = self.film, None
        if film is not None:
            film.close()
            self._recording.finished(self._name, self._file)


class Recording:
    """From everybody's yes to the end.

    Args:
        shelf: where it lies.
        fps: frames per second.
        agreed: ids of those who may fetch it.
        name_of: the name somebody goes by, for the list of files.
        now: monotonic seconds.
        sign: puts a manifest into, or beside, a file that is finished; whether it did.
        most_bytes: of all its files.
    """

    def __init__(
        self,
        shelf: Shelf,
        fps: int,
        agreed: Callable[[], set[str]],
        name_of: Callable[[str], str],
        now: Callable[[], float],
        *,
        sign: Callable[[Shelf, str], bool] = lambda shelf, name: False,
        most_bytes: int = 0,
    ) -> None:
        self.id = shelf.id
        self.shelf = self._shelf = shelf
        self._sign = sign
        self._most_bytes = most_bytes
        self._fps = fps
        self._agreed, self._name_of, self._now = agreed, name_of, now
        self._began = now()
        self._tracks: dict[str, _Track] = {}
        self._writer = _Writer()
        self._written = self._count = 0
        self.over = False
        shelf.agreed |= agreed()
        with contextlib.ExitStack() as stack:
            stack.enter_context(held(shelf.folder))  # before anybody can find it
            shelf.save()
            self._held = stack.pop_all()
        self._writer.start()

    @property
    def problem(self) -> str:
        """Why it cannot go on, in a sentence; empty while it can."""
        return self._writer.problem

    def follow(self, feeds: Mapping[str, Feed]) -> None:
        """Record these feeds from now on, and no others."""
        if self.over:
            return
        self._shelf.agreed |= self._agreed()
        for who, track in list(self._tracks.items()):
            if feeds.get(who) is not track.feed:
                del self._tracks[who]
                track.end()
        for who, feed in feeds.items():
            if who not in self._tracks:
                self._tracks[who] = _Track(self, who, feed, self._fps)

    def file_for(self, person: str, codec: str, worn: tuple[str, ...]) -> str:
        """Return the name of somebody's next file, and list it."""
        self._count += 1  # files may be erased while it runs
        name = f"{self._count:02d}{suffix_for(codec)}"
        starts_s = round(self._now() - self._began, 3)
        file = RecordedFile(name, person, self._name_of(person), starts_s, worn)
        self._shelf.files.append(file)
        self.write(self._shelf.save)
        return name

    def wears(self, name: str, worn: tuple[str, ...]) -> None:
        """Keep whom a file shows, if that has changed."""
        if any(file.file == name and file.avatars != worn for file in self._shelf.files):
            self._shelf.note(name, avatars=worn)
            self.write(self._shelf.save)

    def finished(self, name: str, file: io.RawIOBase | None) -> None:
        """Take that a file is closed: sign it, and keep what it must be to be whole; the writer."""
        # What is saved in between must not know the size of a file that is replaced then.
        if not (self._shelf.folder / name).exists():  # its avatar was erased meanwhile
            self._shelf.files[:] = [known for known in self._shelf.files if known.file != name]
        elif self._sign(self._shelf, name):
            self._shelf.note(name, signed=True)
        elif isinstance(file, SealedStream):
            self._shelf.note(name, size=file.size, index=file.index)

    def write(self, work: Callable[[], None]) -> None:
        """Have something written after what waits."""
        self._writer.put(work)
        self._written += 1
        if self._written % _LOOK_EVERY == 0:
            self._writer.put(self._look)

    def _look(self) -> None:
        if shutil.disk_usage(self._shelf.folder).free < _LEAST_FREE:
            self._writer.problem = _DISK_FULL
        elif self._most_bytes and self._shelf.size() > self._most_bytes:
            self._writer.problem = _QUOTA
        elif self._shelf.size() > _MOST_BYTES:
            self._writer.problem = _LARGE

    def describe(self) -> dict[str, Any]:
        """Return how long and how large it is."""
        for track in self._tracks.values():
            track.look()
        return {
            "id": self.id,
            "seconds": round(self._now() - self._began, 1),
            "bytes": self._shelf.size(),
        }

    async def end(self) -> None:
        """Finish every file."""
        if self.over:
            return
        self.over = True
        problem, self._writer.problem = (
            self._writer.problem,
            "",
        )  # the files are closed all the same
        for track in self._tracks.values():
            track.end()
        self._tracks.clear()
        self._shelf.seconds = round(self._now() - self._began, 1)
        self._shelf.problem = problem
        self._writer.put(self._close)
        await asyncio.to_thread(self._writer.finish)
        self._held.close()

    def _close(self) -> None:
        self._shelf.over = True
        self._shelf.save()
