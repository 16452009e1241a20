"""Who is asking: the owner, a guest of a room, or the holder of a token, and what that opens."""

from __future__ import annotations

import re
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, Literal, get_args

from visavis.streamer.errors import Forbidden

Scope = Literal["watch", "speak", "enrol", "administer"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
WORDS: Final = {
    "watch": "watching",
    "speak": "speaking as an avatar",
    "enrol": "making avatars",
    "administer": "everything",
}
_SPEAK: Final = "speak"
_ANY: Final = re.compile(r"GET /api/me|POST /api/verify")  # whatever their token is for
# What a scope opens beside the open addresses: method and path.
_OPENS: Final[dict[str, re.Pattern[str]]] = {
    "watch": re.compile(
        r"(POST|PATCH) /api/offer|(POST|PATCH|DELETE) /api/whep/.*|GET /api/views/[^/]+"
        r"|DELETE /api/sessions/[^/]+|GET /api/ice"
    ),
    "speak": re.compile(
        r"(POST|PATCH) /(api/)?offer|(POST|PATCH|DELETE) /api/wh[ie]p(/.*)?"
        r"|GET /api/views/[^/]+|DELETE /api/sessions/[^/]+|POST /start"
        r"|(POST|PATCH) /sessions/[^/]+/api/offer"
        r"|(GET|DELETE) /api/recordings/[0-9a-f]{32}|GET /api/recordings(/[0-9a-f]{32}/[^/]+)?"
        r"|GET /api/ice|OPTIONS /api/whip(/.*)?"
        r"|GET /api/agent|GET /api/avatars(/[0-9a-zA-Z]+(/preview\.jpg)?)?"
    ),
    "enrol": re.compile(
        r"(GET|POST) /api/avatars|POST /api/avatars/(photo|guidance)"
        r"|(GET|PATCH|DELETE) /api/avatars/[0-9a-zA-Z]+"
        r"|GET /api/avatars/[0-9a-zA-Z]+/(preview\.jpg|avatar\.vav|consent)"
        r"|DELETE /api/avatars/[0-9a-zA-Z]+/consent"
    ),
    "administer": re.compile(r".*", re.DOTALL),
}


@dataclass(frozen=True)
class Caller:
    """Somebody who was let in.

    Attributes:
        id: of their token; empty for the owner and for guests with an invitation.
        scope: what they may do.
        avatar: the only avatar they may speak as or watch; empty is any.
        consent: the consent their token was made under; empty is any.
        single: their token begins one thing only.
        link: id of the invitation by which they came to a call.
    """

    id: str = ""
    scope: Scope = "administer"
    avatar: str = ""
    consent: str = ""
    single: bool = False
    link: str = ""

    @property
    def holder(self) -> str:
        """Whose quota counts: a token's, an invitation's, or, empty, the owner's."""
        return self.id or self.link

    def check_route(self, method: str, path: str) -> None:
        """Refuse an address that the scope does not open.

        Raises:
            Forbidden: it does not.
        """
        method = "GET" if method == "HEAD" else method
        asked = f"{method} {path}"
        if not (_ANY.fullmatch(asked) or _OPENS[self.scope].fullmatch(asked)):
            raise Forbidden(
                f"This token is for {WORDS[self.scope]}, and does not allow that.",
                code="token-scope",
            )

    def check_speaks(self, avatar_id: str) -> None:
        """Refuse to let them speak as an avatar.

        Raises:
            Forbidden: their token is for another avatar, or not for speaking.
        """
        if self.scope not in (_SPEAK, "administer"):
            raise Forbidden(
                f"This token is for {WORDS[self.scope]}, and does not allow that.",
                code="token-scope",
            )
        if self.avatar and avatar_id != self.avatar:
            raise Forbidden("This token is for another avatar.", code="token-avatar")

    def check_watches(self, avatar_id: str) -> None:
        """Refuse to let them watch an avatar that their token is not for.

        Raises:
            Forbidden: it is not.
        """
        if self.avatar and avatar_id != self.avatar:
            raise Forbidden("This token is for another avatar.", code="token-avatar")

    def sees(self, avatar_id: str, owner: str) -> bool:
        """Whether an avatar is shown to them in lists: theirs, or the one they are bound to."""
        if self.scope == "administer":
            return True
        if self.scope == "enrol":
            return owner == self.id
        return not self.avatar or avatar_id == self.avatar


OWNER: Final = Caller()
CALLER: Final[ContextVar[Caller]] = ContextVar("caller", default=OWNER)
"""Who asked for what is being done; set for every request before a route sees it."""
