"""The addresses that Pipecat's clients know: ``startBotAndConnect`` and what follows it.

``POST /start`` hands out a session id and keeps what the bot is to be; the offer to
``/sessions/{id}/api/offer`` begins it. Nothing is held in between: who never connects costs an
entry in a short list.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict

from fastapi import APIRouter, Request
from pydantic import AliasChoices, Field

from visavis.streamer.errors import NotFound
from visavis.streamer.http.bodies.answers import DESCRIBED
from visavis.streamer.http.bodies.schemas import (
    Answer,
    Candidates,
    Done,
    IceServers,
    Incoming,
    Offer,
    Outgoing,
    SessionOptions,
)
from visavis.streamer.http.routes.services import Served, ice_servers
from visavis.streamer.http.routes.sessions import offer as begin
from visavis.streamer.http.routes.sessions import trickle

router = APIRouter(tags=["pipecat"], responses=DESCRIBED)
_REMEMBERED = 256  # starts; the oldest one is forgotten


class Start(Incoming):
    """What ``startBot`` sends; ``body`` is what ``request_data`` is of an offer."""

    body: SessionOptions = Field(
        default_factory=SessionOptions,
        validation_alias=AliasChoices("body", "requestData", "request_data"),
    )


class Started(Outgoing):
    """Where to send the offer."""

    sessionId: str
    iceConfig: IceServers


class Starts:
    """What was started and may be connected to."""

    def __init__(self) -> None:
        self._options: OrderedDict[str, SessionOptions] = OrderedDict()

    def add(self, options: SessionOptions) -> str:
        """Keep what a session is to be; return its id."""
        session_id = secrets.token_urlsafe(12)
        self._options[session_id] = options
        if len(self._options) > _REMEMBERED:
            self._options.popitem(last=False)
        return session_id

    def options(self, session_id: str) -> SessionOptions:
        """Return what a session is to be.

        Raises:
            NotFound: nothing was started under this id, or long ago.
        """
        try:
            return self._options[session_id]
        except KeyError:
            raise NotFound(
                "Nothing was started under this id; ask /start again.", code="unknown-session"
            ) from None


def _starts(request: Request) -> Starts:
    starts: Starts = request.app.state.starts
    return starts


@router.post("/start", response_model_exclude_none=True)
async def start(served: Served, request: Request, body: Start | None = None) -> Started:
    """Prepare a session for Pipecat's ``startBot``."""
    made = _starts(request).add((body or Start()).body)
    return Started(sessionId=made, iceConfig=ice_servers(served))


@router.post("/sessions/{session_id}/api/offer")
async def offer(served: Served, request: Request, session_id: str, body: Offer) -> Answer:
    """Begin the session, or go on with it in place, as ``/api/offer`` does."""
    wanted, given = _starts(request).options(session_id), body.request_data
    if given is not None:  # what an offer says itself counts more
        own = {name: getattr(given, name) for name in given.model_fields_set}
        wanted = wanted.model_copy(update=own)
    return await begin(served, body.model_copy(update={"request_data": wanted}))


@router.patch("/sessions/{session_id}/api/offer")
async def candidates(served: Served, request: Request, session_id: str, body: Candidates) -> Done:
    """Add candidates that were found after the offer was sent."""
    _starts(request).options(session_id)
    return await trickle(served, body)
