"""Recordings of rooms: begun by everybody's yes, fetched and erased by those who are in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visavis.streamer.errors import Conflict, NotFound
from visavis.streamer.rooms.access.credentials import Credentials
from visavis.streamer.rooms.access.tickets import Purpose
from visavis.streamer.rooms.meeting import Meeting
from visavis.streamer.rooms.recording.held import is_held
from visavis.streamer.rooms.recording.opened import Opened
from visavis.streamer.rooms.recording.recording import Recording
from visavis.streamer.rooms.recording.recovery import Recovery
from visavis.streamer.rooms.recording.shelf import Recordings, Shelf
from visavis.streamer.rooms.recording.signing import Signing
from visavis.streamer.session.quotas import Quotas
from visavis.streamer.trust.callers import OWNER, Caller

if TYPE_CHECKING:
    from visavis.streamer.webrtc.feed import Feed


class Archive:
    """Who may have which recording.

    Args:
        data_dir: where they lie.
        fps: frames per second of what is recorded.
        now: monotonic seconds.
        note: writes ``(event, id)`` into the audit log; must not block.
        photo_sha256: hash of an avatar's photo, for manifests; empty where it is not known.
        quotas: how much somebody may have.
        withdrawn: whether an avatar's consent was withdrawn; raises KeyMissing while nobody knows.
    """

    def __init__(
        self,
        data_dir: Path,
        fps: int,
        now: Callable[[], float],
        note: Callable[[str, str], object],
        *,
        photo_sha256: Callable[[str], str] = lambda avatar_id: "",
        quotas: Quotas | None = None,
        withdrawn: Callable[[str], bool] = lambda avatar_id: False,
    ) -> None:
        self._recordings = Recordings(data_dir)
        self._quotas = quotas or Quotas()
        self._sign = Signing(data_dir, photo_sha256)
        self._fps, self._now, self._note = fps, now, note
        self._begun: list[Recording] = []
        self.recover = Recovery(
            self._recordings,
            self._sign,
            withdrawn,
            note,
            running=lambda: {one.id for one in self._running()},
        )

    def begin(self, meeting: Meeting) -> Recording:
        """Begin to record a meeting.

        Raises:
            OSError: the disk does not take it.
            KeyMissing: the vault is locked.
        """
        room = meeting.room
        shelf = self._recordings.make(room.name, room.sitting)
        self._note("recording-start", shelf.id)

        def name_of(who: str) -> str:
            return room.people[who].name if who in room.people else ""

        return self._keep(
            Recording(shelf, self._fps, room.present, name_of, self._now, sign=self._sign)
        )

    def _keep(self, recording: Recording) -> Recording:
        self._begun = [*self._running(), recording]
        return recording

    def _running(self) -> list[Recording]:
        return [recording for recording in self._begun if not recording.over]

    def begin_alone(self, feed: Feed, caller: Caller = OWNER) -> Recording:
        """Begin to record a session that is in no room; who asked for it is all who is in it.

        Raises:
            OSError: the disk does not take it.
            KeyMissing: the vault is locked.
            OverQuota: who asked has as much as they may have.
        """
        owner = caller.holder
        left = self._quotas.recording_bytes_left(caller, lambda: self._recordings.used(owner))
        shelf = self._recordings.make("", "", owner)
        self._note("recording-start", shelf.id)
        who = shelf.id  # not the session's id: who knows that controls it
        recording = Recording(
            shelf,
            self._fps,
            lambda: {who},
            lambda who: "",
            self._now,
            sign=self._sign,
            most_bytes=left,
        )
        recording.follow({who: feed})
        return self._keep(recording)

    def all(self, caller: Caller = OWNER) -> list[dict[str, Any]]:
        """Return every recording that a token opens, the newest first."""
        return [s.describe() for s in self._recordings.all() if opens(caller, s)]

    def any_file(self, recording_id: str, file: str, caller: Caller = OWNER) -> Opened:
        """Return how a recorded file is read, by who made it or the server's owner.

        Raises:
            NotFound: there is none.
        """
        shelf = self._any(recording_id, caller)
        self._note("recording-fetch", shelf.id)
        return self._recordings.file(shelf, file)

    def _any(self, recording_id: str, caller: Caller) -> Shelf:
        shelf = self._recordings.get(recording_id)
        if not opens(caller, shelf):
            raise NotFound("There is no such recording.")
        return shelf

    def erase_any(self, recording_id: str, caller: Caller = OWNER) -> None:
        """Erase a recording, as who made it or the server's owner.

        Raises:
            NotFound: there is none.
            Conflict: it runs.
        """
        self._erase(self._any(recording_id, caller))

    def of(self, room: str, shown: Credentials) -> list[dict[str, Any]]:
        """Return the recordings of a room that a request may fetch, the newest first."""
        return [shelf.describe() for shelf in self._recordings.of(room) if may_have(shown, shelf)]

    def file(self, room: str, shown: Credentials, recording_id: str, file: str) -> Opened:
        """Return how a recorded file is read.

        Raises:
            NotFound: there is none, for this request.
        """
        shelf = self._get(room, shown, recording_id)
        self._note("recording-fetch", shelf.id)
        return self._recordings.file(shelf, file)

    def erase(self, room: str, shown: Credentials, recording_id: str) -> None:
        """Erase a recording, as anybody may who is in it.

        Raises:
            NotFound: there is none, for this request.
            Conflict: it runs.
        """
        self._erase(self._get(room, shown, recording_id))

    def _erase(self, shelf: Shelf) -> None:
        if any(running.id == shelf.id for running in self._running()):
            raise Conflict("Stop the recording before you erase it.")
        if is_held(shelf.folder):
            raise Conflict("This recording runs, or is being finished; try again in a moment.")
        self._recordings.erase(shelf)
        self._note("recording-erase", shelf.id)

    def _get(self, room: str, shown: Credentials, recording_id: str) -> Shelf:
        shelf = self._recordings.get(recording_id)
        if shelf.room != room or not may_have(shown, shelf):
            raise NotFound("There is no such recording.")
        return shelf


def opens(caller: Caller, shelf: Shelf) -> bool:
    """Whether a token opens a recording: the owner's, or that by which it was made."""
    return caller.scope == "administer" or (caller.id != "" and caller.id == shelf.owner)


def may_have(shown: Credentials, shelf: Shelf) -> bool:
    """Whether a request may fetch a recording: the owner's, or that of somebody in it."""
    ticket = shown.ticket
    if ticket is None:
        return shown.owner
    seated = ticket.purpose is Purpose.SEAT and ticket.sitting == shelf.sitting
    return seated and ticket.holder in shelf.agreed
