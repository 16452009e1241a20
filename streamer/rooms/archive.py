"""Recordings of rooms: begun by everybody's yes, fetched and erased by those who are in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from visavis.streamer.errors import Conflict, NotFound
from visavis.streamer.rooms.access.credentials import Credentials
from visavis.streamer.rooms.access.tickets import Purpose
from visavis.streamer.rooms.meeting import Meeting
from visavis.streamer.rooms.recording.recording import Recording
from visavis.streamer.rooms.recording.shelf import Recordings, Shelf


class Archive:
    """Who may have which recording.

    Args:
        data_dir: where they lie.
        fps: frames per second of what is recorded.
        now: monotonic seconds.
        note: writes ``(event, id)`` into the audit log; must not block.
    """

    def __init__(
        self,
        data_dir: Path,
        fps: int,
        now: Callable[[], float],
        note: Callable[[str, str], object],
    ) -> None:
        self._recordings = Recordings(data_dir)
        self._fps, self._now, self._note = fps, now, note

    def begin(self, meeting: Meeting) -> Recording:
        """Begin to record a meeting.

        Raises:
            OSError: the disk does not take it.
        """
        room = meeting.room
        shelf = self._recordings.make(room.name, room.sitting)
        self._note("recording-start", shelf.id)

        def name_of(who: str) -> str:
            return room.people[who].name if who in room.people else ""

        return Recording(shelf, self._fps, room.present, name_of, self._now)

    def of(self, room: str, shown: Credentials) -> list[dict[str, Any]]:
        """Return the recordings of a room that a request may fetch, the newest first."""
        return [shelf.describe() for shelf in self._recordings.of(room) if may_have(shown, shelf)]

    def file(self, room: str, shown: Credentials, recording_id: str, file: str) -> Path:
        """Return where a recorded file lies.

        Raises:
            NotFound: there is none, for this request.
        """
        shelf = self._get(room, shown, recording_id)
        self._note("recording-fetch", shelf.id)
        return self._recordings.file(shelf, file)

    def erase(self, room: str, shown: Credentials, recording_id: str, running: set[str]) -> None:
        """Erase a recording, as anybody may who is in it.

        Raises:
            NotFound: there is none, for this request.
            Conflict: it is among those that run.
        """
        shelf = self._get(room, shown, recording_id)
        if shelf.id in running:
            raise Conflict("Stop the recording before you erase it.")
        self._recordings.erase(shelf)
        self._note("recording-erase", shelf.id)

    def _get(self, room: str, shown: Credentials, recording_id: str) -> Shelf:
        shelf = self._recordings.get(recording_id)
        if shelf.room != room or not may_have(shown, shelf):
            raise NotFound("There is no such recording.")
        return shelf


def may_have(shown: Credentials, shelf: Shelf) -> bool:
    """Whether a request may fetch a recording: the owner's, or that of somebody in it."""
    ticket = shown.ticket
    if ticket is None:
        return shown.owner
    seated = ticket.purpose is Purpose.SEAT and ticket.sitting == shelf.sitting
    return seated and ticket.holder in shelf.agreed
