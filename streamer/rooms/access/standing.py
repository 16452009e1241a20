"""By what somebody is in a call, and whether that still holds: tokens, avatars, consents.

An invitation, and the seat that comes of it, may be bound to one avatar and the consent it was made
under, and a token of the server opens calls as its scope says. What ends there ends here too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from visavis.streamer.errors import Forbidden
from visavis.streamer.rooms.access.bound import UNBOUND, Bound
from visavis.streamer.rooms.access.credentials import Credentials
from visavis.streamer.rooms.access.people import Part, Person
from visavis.streamer.rooms.access.tickets import Purpose
from visavis.streamer.session.context import SessionContext
from visavis.streamer.trust.callers import OWNER, WORDS, Caller

if TYPE_CHECKING:
    from collections.abc import Callable

_OTHER_AVATAR = "Your invitation is for another avatar."


class Standing:
    """Knows tokens and consents.

    Args:
        context: the server's.
        note: writes ``(event, id)`` into the audit log; must not block.
        wall: UNIX time in seconds.
    """

    def __init__(
        self,
        context: SessionContext,
        note: Callable[[str, str], object],
        wall: Callable[[], float],
    ) -> None:
        self._context = context
        self._note = note
        self._wall = wall

    def invitation(self, shown: Credentials, avatar_id: str) -> Bound:
        """Return what a new invitation is bound to; who is bound binds those they invite.

        Raises:
            Forbidden: the avatar has no consent, or is not theirs to give.
            NotFound: there is no such avatar.
        """
        theirs = shown.ticket.bound if shown.ticket is not None else UNBOUND
        if theirs.avatar and avatar_id not in ("", theirs.avatar):
            raise Forbidden(_OTHER_AVATAR, code="token-avatar")
        avatar = avatar_id or theirs.avatar
        return Bound(avatar, self._context.consent_id(avatar) if avatar else "")

    def enters(self, shown: Credentials, link: str) -> Bound:
        """Return what somebody's seat is bound to; a single-use token is used up.

        Raises:
            Forbidden: their avatar may not be shown.
            Unauthorized: their token was used before.
        """
        bound = shown.ticket.bound if shown.ticket is not None else UNBOUND
        if (caller := shown.caller) is not None:
            bound = Bound(caller.avatar, caller.consent, caller.id)
        if bound.avatar and (why := self._avatar_refusal(bound, bound.avatar)):
            raise Forbidden(why, code="consent")
        if shown.caller is not None and self._context.tokens is not None:
            self._context.tokens.use_up(shown.caller)
            self._note("token-use", shown.caller.id)
        return replace(bound, link=bound.link or link)

    def watching(
        self, shown: Credentials, closed_to: Callable[[str, str], str]
    ) -> Callable[[], str]:
        """Return what tells why a stock player may not watch any more; empty while it may.

        A token is looked after where sessions are; this is about an invitation, and about a seat.

        Args:
            shown: by what it comes.
            closed_to: why the room is closed to somebody, and to who comes by a link.

        Raises:
            Forbidden: it may not begin.
        """
        ticket = shown.ticket
        if ticket is None:
            return lambda: ""
        seated = ticket.purpose is Purpose.SEAT
        who, link = (ticket.holder, ticket.bound.link) if seated else ("", ticket.holder)

        def unfit() -> str:
            if ticket.expires <= self._wall():
                return "This invitation has expired; ask for a new one."
            tokens, token = self._context.tokens, ticket.bound.token
            if token and tokens is not None and (why := tokens.ended(token)):
                return why
            return closed_to(who, link)

        if why := unfit():
            raise Forbidden(why, code="removed")
        return unfit

    def caller(self, person: Person) -> Caller:
        """Return as whom somebody in a call begins a session."""
        bound = person.bound
        if bound == UNBOUND:
            return OWNER
        return Caller(bound.token, "speak", bound.avatar, bound.consent, link=bound.link)

    def ended(self, person: Person) -> tuple[str, str]:
        """Return why somebody must go, in a sentence, and as a word; both empty if they may stay.

        It is looked for on the disk, so that every process's withdrawal counts.
        """
        bound = person.bound
        tokens = self._context.tokens
        if bound.token and tokens is not None and (why := tokens.ended(bound.token)):
            return why, "token"
        worn = person.avatar_id or bound.avatar
        if worn and person.part is Part.AVATAR and (why := self._avatar_refusal(bound, worn)):
            return why, "consent"
        return "", ""

    def _avatar_refusal(self, bound: Bound, avatar_id: str) -> str:
        if why := self._context.refusal(avatar_id, "call"):
            return why
        its_own = bool(bound.consent) and avatar_id == bound.avatar
        if its_own and self._context.consent_id(avatar_id) != bound.consent:
            return "This place was given under another consent; ask for a new invitation."
        return ""


def check_may_join(shown: Credentials, avatar_id: str = "", *, makes: bool = False) -> None:
    """Check that a request may take a seat.

    Args:
        shown: what it shows.
        avatar_id: that it asks about.
        makes: an avatar is to be made on the way in.

    Raises:
        Forbidden: it may not.
    """
    if shown.is_for(Purpose.WATCH) or (shown.caller and shown.caller.scope == "watch"):
        raise Forbidden("Your invitation is for watching only.")
    bound = shown.ticket.bound if shown.ticket is not None else UNBOUND
    if (caller := shown.caller) is not None:
        if makes:
            words = f"This token is for {WORDS[caller.scope]}, and does not allow that."
            raise Forbidden(words, code="token-scope")
        bound = Bound(caller.avatar)
    if bound.avatar and (makes or avatar_id not in ("", bound.avatar)):
        raise Forbidden(_OTHER_AVATAR, code="token-avatar")
