"""Those whom a host has put out, and the ways by which they came."""

from __future__ import annotations

from visavis.streamer.errors import Forbidden
from visavis.streamer.rooms.access.names import same_name
from visavis.streamer.rooms.access.people import Person


class Removed:
    """Who stays out for as long as a sitting lasts."""

    def __init__(self) -> None:
        self._closed: set[str] = set()  # people, and the links by which they came
        self._names: set[str] = set()  # of those who came without a link

    def add(self, person: Person) -> None:
        """Keep somebody out."""
        self._closed |= {person.id, person.link} - {""}
        if not person.link:  # they need none, so their name is all that could be told apart
            self._names.add(same_name(person.name))

    def check(self, who: str, link: str) -> None:
        """Check that somebody was not put out, nor all who come by their link.

        Raises:
            Forbidden: they were.
        """
        if who in self._closed:
            raise Forbidden("The host has removed you from this call.", code="removed")
        if link and link in self._closed:
            raise Forbidden("The host has closed this link; ask for a new one.", code="removed")

    def check_name(self, name: str, link: str) -> None:
        """Check the same of somebody who is not here, and may have taken another id.

        Raises:
            Forbidden: somebody of this name was put out, who had no link either.
        """
        if not link and same_name(name) in self._names:
            raise Forbidden(
                "The host has removed somebody of this name from this call.", code="removed"
            )
