"""Who is asking, and whether a video is what it seems: two addresses that every token opens."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from visavis.streamer.errors import Unauthorized
from visavis.streamer.http.bodies.answers import DESCRIBED
from visavis.streamer.http.routes.services import Served
from visavis.streamer.trust.callers import CALLER

router = APIRouter(tags=["access"], responses=DESCRIBED)


class Me(BaseModel):
    """What somebody's token opens."""

    model_config = ConfigDict(frozen=True)

    asks: bool
    scope: str
    avatar: str = ""
    single: bool = False


class Found(BaseModel):
    """What a video says of itself; see ``visavis verify``."""

    model_config = ConfigDict(frozen=True)

    marked: bool
    words: str
    watermark: str
    made_here: bool | None
    deployment: int
    session: int
    score: float
    chance: float
    label: float
    manifest: dict[str, Any]


@router.get("/api/me")
async def show_me(served: Served, response: Response) -> Me:
    """What the bearer's token opens; refused, with the reason, where it opens nothing any more."""
    response.headers["cache-control"] = "no-store"
    caller = CALLER.get()
    if caller.single and served.avatars.tokens.was_used(caller.id):
        raise Unauthorized("This token has been used already.", code="token-used")
    return Me(
        asks=bool(served.config.server.token),
        scope=caller.scope,
        avatar=caller.avatar,
        single=caller.single,
    )


@router.post(
    "/api/verify",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string"}}},
        }
    },
)
async def verify(served: Served, request: Request, response: Response) -> Found:
    """Look for watermark, label and manifest in a video; it is held in memory and kept nowhere."""
    response.headers["cache-control"] = "no-store"
    async with served.detector.turn():
        verdict = await served.detector.look(await request.body())
    return Found.model_validate(verdict.describe())
