"""Pushing a session to a WHIP endpoint, so that an SFU takes it to thousands."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from visavis.streamer.http.bodies.answers import DESCRIBED
from visavis.streamer.http.routes.services import Served

router = APIRouter(prefix="/api/sessions/{pc_id}/push", tags=["sessions"], responses=DESCRIBED)


class Target(BaseModel):
    """Where to push to."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    url: str = Field(max_length=2048, description="A WHIP endpoint that server.push_to allows.")
    token: str = Field("", max_length=4096, description="Its bearer token.", repr=False)


class Pushed(BaseModel):
    """One endpoint that a session is pushed to."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    id: str
    url: str
    state: Literal["connecting", "live", "waiting", "ended"]
    problem: str = Field(description="Why it is not live; one sentence.")


class Pushes(BaseModel):
    """All of a session."""

    pushes: list[Pushed]


@router.post("", status_code=201)
async def push(served: Served, pc_id: str, body: Target) -> Pushed:
    """Push to an endpoint, and again when it hangs up, until this is deleted."""
    made = served.sessions.session(pc_id).push(body.url, body.token)
    return Pushed.model_validate(made.describe())


@router.get("")
async def pushes(served: Served, pc_id: str) -> Pushes:
    """Where the session is pushed to, and how that goes."""
    session = served.sessions.session(pc_id)
    return Pushes.model_validate({"pushes": [p.describe() for p in session.pushes]})


@router.delete("/{push_id}", status_code=204, response_class=Response)
async def stop(served: Served, pc_id: str, push_id: str) -> Response:
    """Stop pushing."""
    pushing = served.sessions.session(pc_id).pushes.get(push_id)
    if pushing is not None:
        await pushing.end()
    return Response(status_code=204)
