"""What an invitation, and a seat, is bound to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Bound:
    """Empty words bind to nothing.

    Attributes:
        avatar: id of the only one that may be worn.
        consent: id of the consent that it was given under.
        token: id of the access token by which somebody came.
        link: id of the invitation by which they came.
    """

    avatar: str = ""
    consent: str = ""
    token: str = ""
    link: str = ""


UNBOUND: Final = Bound()
