"""WHIP in and WHEP out (RFC 9725 and the WHEP draft): offers, candidates, restarts, hanging up."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import BeforeValidator

from visavis.streamer.errors import BadRequest, NotFound, PreconditionFailed, UnsupportedMedia
from visavis.streamer.http.bodies.answers import DESCRIBED
from visavis.streamer.http.bodies.schemas import Id, Mood
from visavis.streamer.http.routes.services import Served
from visavis.streamer.session.manager import OfferRequest
from visavis.streamer.session.options import Wishes
from visavis.streamer.values import Size
from visavis.streamer.webrtc.peer import Peer
from visavis.streamer.webrtc.sdp import fragment
from visavis.streamer.webrtc.sdp.fragment import Fragment

router = APIRouter(tags=["WHIP and WHEP"], responses=DESCRIBED)
_SDP: Final = "application/sdp"
_TAKES: Final = {
    "accept-post": _SDP,
    "accept-patch": fragment.MEDIA_TYPE,
    "allow": "POST, PATCH, DELETE, OPTIONS",
}


def _number(value: object) -> object:
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _text(media: str) -> dict[str, Any]:
    """Describe a body that is text, so that ``/openapi.json`` knows it too."""
    content = {media: {"schema": {"type": "string"}}}
    return {"requestBody": {"required": True, "content": content}}


def _created(words: str) -> dict[int | str, dict[str, Any]]:
    return {201: {"description": words, "content": {_SDP: {"schema": {"type": "string"}}}}}


async def _read(request: Request, media: str) -> str:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != media:
        raise UnsupportedMedia(f"The body must be {media}.")
    return (await request.body()).decode("utf-8", "replace")


@router.options("/api/whip", include_in_schema=False)
@router.options("/api/whip/{pc_id}", include_in_schema=False)
@router.options("/api/whep/{view_id}", include_in_schema=False)
async def what_is_taken(served: Served, view_id: str = "") -> Response:
    """Say what may be posted and patched, and name the ICE servers to whom may use them."""
    if view_id:
        with contextlib.suppress(NotFound):
            served.sessions.viewed(view_id)
            view_id = ""
    links = "" if view_id else ", ".join(served.ice_servers.links())
    return Response(status_code=204, headers=_TAKES | ({"link": links} if links else {}))


@router.post(
    "/api/whip",
    status_code=201,
    response_class=Response,
    openapi_extra=_text(_SDP),
    responses=_created("The answer; Location hangs up, Link is where it can be watched."),
)
async def whip(
    served: Served,
    request: Request,
    avatar: Annotated[Id, Query()] = "",
    size: Annotated[Size | None, BeforeValidator(_number), Query()] = None,
    mood: Annotated[Mood, Query()] = "neutral",
) -> Response:
    """Speak as an avatar: sound alone, or with a picture that is dropped."""
    wanted = OfferRequest(
        sdp=await _read(request, _SDP),
        avatar_id=avatar,
        size=size or 0,
        wishes=Wishes(mood=mood),
    )
    session, answer = await served.sessions.publish(wanted)
    headers = {
        "location": f"whip/{session.id}",
        "link": f'<whep/{session.view_id}>; rel="alternate"; type="{_SDP}"; title="WHEP"',
    }
    return _answered(served, session, answer, headers)


@router.post(
    "/api/whep/{view_id}",
    status_code=201,
    response_class=Response,
    openapi_extra=_text(_SDP),
    responses=_created("The answer; Location says where to hang up."),
)
async def whep(served: Served, request: Request, view_id: str) -> Response:
    """Watch a session: picture and sound, or one of them."""
    viewer, answer = await served.sessions.watch(view_id, await _read(request, _SDP))
    return _answered(served, viewer, answer, {"location": viewer.id})


def _answered(served: Served, peer: Peer, answer: str, headers: dict[str, str]) -> Response:
    if links := [*filter(None, [headers.get("link")]), *served.ice_servers.links()]:
        headers["link"] = ", ".join(links)
    headers |= {"etag": f'"{peer.etag}"', "accept-patch": fragment.MEDIA_TYPE}
    return Response(answer, 201, headers, media_type=_SDP)


_TEXT: Final = {"schema": {"type": "string"}}
_FRAGMENT: Final[dict[str, Any]] = {
    "response_class": Response,
    "openapi_extra": _text(fragment.MEDIA_TYPE),
    "responses": {
        200: {"description": "ICE restarts.", "content": {fragment.MEDIA_TYPE: _TEXT}},
        204: {"description": "The candidates were taken."},
    },
}
_OVER: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "It is over.", "content": {"text/plain": _TEXT}}
}


@router.patch("/api/whip/{pc_id}", **_FRAGMENT)
@router.patch("/api/whep/{pc_id}", **_FRAGMENT)
async def patch(served: Served, request: Request, pc_id: str) -> Response:
    """Add candidates (204), or restart ICE in place (200) for a fragment with new credentials."""
    said = Fragment.parse(await _read(request, fragment.MEDIA_TYPE))
    peer = served.sessions.peer(pc_id)
    wanted = request.headers.get("if-match", "*").strip()
    restarts = bool(said.username) and said.username != peer.remote_username
    if wanted != "*" and wanted.removeprefix("W/").strip('"') != peer.etag:
        raise PreconditionFailed("This connection has been restarted since; take its new ETag.")
    if not restarts:
        await peer.add_candidates(list(said.candidates))
        return Response(status_code=204)
    if not said.password:
        raise BadRequest("A restart needs a=ice-ufrag and a=ice-pwd.")
    username, password, mid, candidates = await peer.restart(said.username, said.password)
    await peer.add_candidates(list(said.candidates))
    body = fragment.write(username, password, mid, candidates)
    return Response(body, 200, {"etag": f'"{peer.etag}"'}, media_type=fragment.MEDIA_TYPE)


@router.delete("/api/whip/{pc_id}", response_class=Response, responses=_OVER)
@router.delete("/api/whep/{pc_id}", response_class=Response, responses=_OVER)
async def hang_up(served: Served, pc_id: str) -> Response:
    """Stop speaking or watching."""
    await served.sessions.end(pc_id, "The client hung up.")
    return Response(status_code=200)
