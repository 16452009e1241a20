"""Whom a presentation may show, and record: by the consents as they are at the moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from visavis.streamer.trust.sealed import file_of

if TYPE_CHECKING:
    from visavis.streamer.media.files.recorder import Recorder

PRESENTS: Final = "present"
RECORDS: Final = "record"


class Permission:
    """Asked whenever somebody is to be shown, and twice a second of who is.

    Args:
        refusal: why an avatar may not serve a purpose, in a sentence; empty if it may.

    Attributes:
        recorder: what the presentation is recorded with, once there is one.
    """

    def __init__(self, refusal: Callable[[str, str], str]) -> None:
        self._refusal = refusal
        self.recorder: Recorder | None = None

    def ends(self, bundle: str) -> str:
        """Return why the show must end; who may not be recorded any more ends the recording."""
        avatar = id_of(bundle)
        if why := self._refusal(avatar, PRESENTS):
            return why
        if self._recording and self.recorder and (why := self._refusal(avatar, RECORDS)):
            self.recorder.stop(why)
        return ""

    def refuses(self, bundle: str) -> str:
        """Return why somebody may not be shown next; empty if they may.

        While it is recorded, that is one who may not be recorded: the show goes on without them.
        """
        avatar = id_of(bundle)
        why = self._refusal(avatar, PRESENTS)
        return why or (self._refusal(avatar, RECORDS) if self._recording else "")

    @property
    def _recording(self) -> bool:
        return self.recorder is not None and not self.recorder.problem


def id_of(bundle: str) -> str:
    """Return the id of the avatar whose bundle it is."""
    return file_of(bundle).parent.name
