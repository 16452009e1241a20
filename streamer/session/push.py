"""Pushing a session's feed to a WHIP endpoint for as long as both last."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Iterator
from typing import Any, Final

from visavis.streamer.errors import AtCapacity, VisavisError
from visavis.streamer.webrtc.feed import Feed
from visavis.streamer.webrtc.peer import PeerSettings
from visavis.streamer.webrtc.whip import Publisher, check_target

_MOST: Final = 4  # endpoints of one session
_UP_S: Final = 15.0  # that the endpoint may take to let media flow
_WAITS_S: Final = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)  # between attempts


class Push:
    """One endpoint that a session is pushed to; tries again until it is ended.

    Args:
        settings: what every peer shares.
        feed: what is pushed.
        url: of the endpoint.
        token: its bearer token; "" for none.
        allowed: beginnings of addresses that may be pushed to.
        over: told once, at the end.

    Attributes:
        state: ``connecting``, ``live``, ``waiting`` or ``ended``.
        problem: why it is not live, in one sentence.
    """

    def __init__(
        self,
        settings: PeerSettings,
        feed: Feed,
        url: str,
        token: str,
        allowed: tuple[str, ...],
        over: Callable[[Push], None],
    ) -> None:
        check_target(url, allowed)
        self.id = secrets.token_urlsafe(9)
        self.url = url
        self.state = "connecting"
        self.problem = ""
        self._settings = settings
        self._feed = feed
        self._token = token
        self._allowed = allowed
        self._over = over
        self._publisher: Publisher | None = None
        self._task = asyncio.ensure_future(self._run())

    def describe(self) -> dict[str, Any]:
        """Return how it is."""
        return {"id": self.id, "url": self.url, "state": self.state, "problem": self.problem}

    async def end(self) -> None:
        """Hang up; the second to ask waits for nothing."""
        if self.state == "ended":
            return
        self.state = "ended"
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self._publisher is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._publisher.end("The push was ended.", "hangup"), 6)
        self._over(self)

    async def _run(self) -> None:
        clock, attempt = self._settings.clock, 0
        while not self._feed.ended:
            self.state = "connecting"
            publisher = self._publisher = Publisher(f"push {self.id}", self._settings, self._feed)
            try:
                await publisher.publish(self.url, self._token, self._allowed)
                await asyncio.wait_for(publisher.up.wait(), _UP_S)
                self.state, self.problem, attempt = "live", "", 0
                await publisher.lost.wait()
                self.problem = "The WHIP endpoint has hung up."
            except VisavisError as error:
                self.problem = str(error)
            except TimeoutError:
                self.problem = "The WHIP endpoint let no media through."
            await publisher.end("The push goes on by another connection.", "restart")
            self.state = "waiting"
            wait_s = _WAITS_S[min(attempt, len(_WAITS_S) - 1)]
            attempt += 1
            await clock.sleep_until(clock.now() + wait_s)
        self.state = "ended"
        self._over(self)


class Pushes:
    """All endpoints that one session is pushed to.

    Args:
        settings: what every peer shares.
        allowed: beginnings of addresses that may be pushed to.
    """

    def __init__(self, settings: PeerSettings, allowed: tuple[str, ...]) -> None:
        self._settings = settings
        self._allowed = allowed
        self._by_id: dict[str, Push] = {}

    def begin(self, feed: Feed, url: str, token: str) -> Push:
        """Push to one more endpoint.

        Raises:
            BadRequest, Forbidden: the address cannot or may not be pushed to.
            AtCapacity: there are enough of them.
        """
        if len(self._by_id) >= _MOST:
            raise AtCapacity(f"This session is pushed to {_MOST} places already.")
        made = Push(self._settings, feed, url, token, self._allowed, self._over)
        self._by_id[made.id] = made
        return made

    def _over(self, ended: Push) -> None:
        self._by_id.pop(ended.id, None)

    def __iter__(self) -> Iterator[Push]:
        return iter(list(self._by_id.values()))

    def get(self, push_id: str) -> Push | None:
        """Return one by its id."""
        return self._by_id.get(push_id)

    async def end(self) -> None:
        """Hang all up."""
        await asyncio.gather(*(push.end() for push in self))
