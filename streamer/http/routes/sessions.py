"""Sessions over HTTP: offers, candidates, figures, hanging up."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from visavis.streamer.http.bodies.answers import DESCRIBED
from visavis.streamer.http.bodies.schemas import (
    Answer,
    Candidates,
    Done,
    IceServers,
    Offer,
    Sessions,
    Viewed,
)
from visavis.streamer.http.routes.services import Served, ice_servers
from visavis.streamer.session.figures.trace import MAX_SECONDS

router = APIRouter(tags=["sessions"], responses=DESCRIBED)
_JSON = "application/json"


@router.post("/api/offer")
@router.post("/offer", include_in_schema=False)
async def offer(served: Served, body: Offer) -> Answer:
    """Begin a session, go on with one in place, or watch one (``request_data.watch``)."""
    return Answer.model_validate(await served.sessions.offer(body.request()))


@router.patch("/api/offer")
async def trickle(served: Served, body: Candidates) -> Done:
    """Add candidates that were found after the offer was sent."""
    found = [candidate.model_dump() for candidate in body.candidates]
    await served.sessions.add_candidates(body.pc_id, found)
    return Done()


@router.get("/api/ice", response_model_exclude_none=True)
async def ice(served: Served, response: Response) -> IceServers:
    """Whom a client may ask to reach this server, for its peer connection."""
    response.headers["cache-control"] = "no-store"  # it may hold a password
    return ice_servers(served)


@router.get("/api/views/{view_id}", response_model_exclude_none=True)
async def viewed(served: Served, view_id: str) -> Viewed:
    """What a page that watches a session has to know of its picture."""
    session = served.sessions.viewed(view_id)
    view = session.view
    width, height = (session.size, session.size) if view is None else (view.width, view.height)
    return Viewed(
        iceServers=ice_servers(served).iceServers,
        live=session.live,
        transparent=view is not None and view.transparent,
        width=width,
        height=height,
    )


@router.get("/api/sessions")
async def list_sessions(served: Served) -> Sessions:
    """Every live session with its figures."""
    return Sessions.model_validate(
        {
            "sessions": served.sessions.describe(),
            "capacity": served.admission.capacity,
            "worker_restarts": served.supervisor.restarts,
            "frame_ms": served.supervisor.frame_ms,
            "effort": served.supervisor.effort,
        }
    )


@router.delete("/api/sessions/{pc_id}", status_code=204, response_class=Response)
async def hang_up(served: Served, pc_id: str) -> Response:
    """End a session."""
    await served.sessions.end(pc_id, "The viewer hung up.")
    return Response(status_code=204)


@router.get(
    "/api/sessions/{pc_id}/trace",
    response_class=Response,
    responses={200: {"description": "Events for ui.perfetto.dev.", "content": {_JSON: {}}}},
)
async def trace(
    served: Served, pc_id: str, seconds: Annotated[float, Query(gt=0, le=MAX_SECONDS)] = 10.0
) -> Response:
    """The way of every frame of the next seconds through the server, for ui.perfetto.dev."""
    text = await served.sessions.record(pc_id, seconds)
    name = 'attachment; filename="visavis-trace.json"'
    return Response(text, media_type=_JSON, headers={"content-disposition": name})
