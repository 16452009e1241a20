"""Sessions over HTTP: offers, candidates, WHEP, figures, hanging up."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from visavis.streamer.http.answers import DESCRIBED
from visavis.streamer.http.schemas import Answer, Candidates, Done, Offer, Sessions, Viewed
from visavis.streamer.http.services import Served
from visavis.streamer.session.trace import MAX_SECONDS

router = APIRouter(tags=["sessions"], responses=DESCRIBED)
_JSON, _SDP = "application/json", "application/sdp"
_FRAGMENT = "application/trickle-ice-sdpfrag"


def _text(media: str) -> dict[str, Any]:
    """Describe a body that is text, so that ``/openapi.json`` knows it too."""
    content = {media: {"schema": {"type": "string"}}}
    return {"requestBody": {"required": True, "content": content}}


def _answers_sdp(status: int, words: str) -> dict[int | str, dict[str, Any]]:
    return {status: {"description": words, "content": {_SDP: {"schema": {"type": "string"}}}}}


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


@router.post(
    "/api/whep/{pc_id}",
    status_code=201,
    response_class=Response,
    openapi_extra=_text(_SDP),
    responses=_answers_sdp(201, "The answer; Location says where to hang up."),
)
async def whep(served: Served, request: Request, pc_id: str) -> Response:
    """Watch a session as WHEP has it: an offer's SDP to an answer's, and where to hang up."""
    sdp = (await request.body()).decode("utf-8", "replace")
    viewer, answer = await served.sessions.watch(pc_id, sdp)
    return Response(answer, 201, {"location": viewer.id}, media_type=_SDP)


@router.patch(
    "/api/whep/{pc_id}",
    status_code=204,
    response_class=Response,
    openapi_extra=_text(_FRAGMENT),
)
async def whep_trickle(served: Served, request: Request, pc_id: str) -> Response:
    """Add candidates: an SDP fragment with ``a=candidate`` lines."""
    lines = (await request.body()).decode("utf-8", "replace").splitlines()
    found = [{"candidate": ln[2:].strip()} for ln in lines if ln.startswith("a=candidate:")]
    await served.sessions.add_candidates(pc_id, found)
    return Response(status_code=204)


@router.delete("/api/whep/{pc_id}", status_code=204, response_class=Response)
async def whep_hang_up(served: Served, pc_id: str) -> Response:
    """Stop watching."""
    await served.sessions.end(pc_id, "The viewer hung up.")
    return Response(status_code=204)


@router.get("/api/views/{view_id}")
async def viewed(served: Served, view_id: str) -> Viewed:
    """What a page that watches a session has to know of its picture."""
    session = served.sessions.viewed(view_id)
    view = session.view
    width, height = (session.size, session.size) if view is None else (view.width, view.height)
    return Viewed(
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
