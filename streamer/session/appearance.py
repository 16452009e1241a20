"""Whom a session shows, and how they move: what a viewer may change while it is live."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from visavis.models.motion.flow import MANNERS
from visavis.streamer.errors import BadRequest, Conflict, Unprocessable
from visavis.streamer.session.channels.channels import Channels
from visavis.streamer.session.channels.guest import Guest
from visavis.streamer.session.context import Avatar
from visavis.streamer.session.options import MOST_STYLE, Wishes
from visavis.streamer.worker.edge.supervisor import WorkerSlot

logger = logging.getLogger(__name__)
_DAMAGED: Final = "This avatar cannot be loaded; make it again from its photo."


class Appearance:
    """The avatar, the next one while it is loaded, and its manner.

    Args:
        avatar: who is shown first.
        wishes: with which mood and style.
        find_avatar: returns an avatar by its id, or raises what is wrong with it.
        guest: the participant of a room whose session it is.
        channels: told how a change went.
        slot: returns the place in the worker, once there is one.

    Attributes:
        avatar: who is shown.
        wishes: as they are now.
        worn: ids of everybody shown since the session began, in order; the last one is shown now.
    """

    def __init__(
        self,
        avatar: Avatar,
        wishes: Wishes,
        find_avatar: Callable[[str], Avatar],
        guest: Guest | None,
        channels: Channels,
        slot: Callable[[], WorkerSlot | None],
    ) -> None:
        self.avatar = avatar
        self.wishes = wishes
        self.worn = [avatar.id]
        self._find_avatar = find_avatar
        self._guest = guest
        self._channels = channels
        self._slot = slot
        self._next: Avatar | None = None

    def ids(self) -> set[str]:
        """Return who is shown, and who is about to be."""
        return {a.id for a in (self.avatar, self._next) if a is not None}

    def change_manner(self, message: dict[str, Any]) -> None:
        """Take another mood and style.

        Raises:
            BadRequest: there is no such mood, or the style is none.
        """
        mood, style = message.get("mood", self.wishes.mood), message.get("style", 1.0)
        number = isinstance(style, int | float) and not isinstance(style, bool)
        if mood not in MANNERS:
            raise BadRequest(f"The mood must be one of {', '.join(MANNERS)}.")
        if not number or not 0 <= style <= MOST_STYLE:
            raise BadRequest("The style must be a number from 0 to 2.")
        self.wishes = replace(self.wishes, mood=mood, style=float(style))
        if (slot := self._slot()) is not None:
            slot.manner(mood, float(style))

    def switch(self, message: dict[str, Any]) -> None:
        """Begin to load another avatar.

        Raises:
            VisavisError: it cannot be shown.
            Conflict: there is no place in the worker yet.
        """
        avatar = self._find_avatar(str(message.get("id", "")))
        slot = self._slot()
        if slot is None:
            raise Conflict("The session is still starting; try again.")
        self._next = avatar
        self._channels.tell({"type": "avatar", "id": avatar.id, "state": "loading"})
        slot.show(avatar.id, avatar.bundle)

    def loaded(self, avatar_id: str, state: str, error: str) -> None:
        """Take how loading went, and tell the viewer."""
        wanted, slot = self._next, self._slot()
        if wanted is None or wanted.id != avatar_id or slot is None:
            return
        self._next = None
        if state == "ready":
            self.avatar = wanted
            self.worn.append(wanted.id)
            if self._guest is not None:
                self._guest.wears(wanted.id)
            self._channels.tell({"type": "avatar", "id": avatar_id, "state": "ready"})
        else:
            logger.warning("avatar %s could not be loaded: %s", avatar_id, error)
            slot.spec = replace(slot.spec, bundle=self.avatar.bundle)
            self._channels.error(Unprocessable(_DAMAGED, code="avatar-damaged"))
