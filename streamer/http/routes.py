"""The HTTP interface; every error is a JSON object with one sentence."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response, UploadFile
from fastapi.responses import FileResponse, JSONResponse

from visavis.models.motion.flow import MOODS
from visavis.streamer import __version__
from visavis.streamer.errors import BadRequest, NotFound, TooLarge, Unprocessable
from visavis.streamer.session.manager import OfferRequest, SessionManager
from visavis.streamer.session.options import LOOK_AHEADS_MS, MOST_STYLE
from visavis.streamer.worker.overload import Effort
from visavis.web import STATIC_DIR

if TYPE_CHECKING:
    from visavis.streamer.avatars.store import AvatarRecord, AvatarStore
    from visavis.streamer.http.app import Services

MAX_NAME = 80
MAX_STATEMENT = 4000
router = APIRouter()


def _body(schema: dict[str, Any], media: str = "application/json") -> dict[str, Any]:
    """Describe a body that is read by hand, so that ``/openapi.json`` knows it too."""
    return {"requestBody": {"required": True, "content": {media: {"schema": schema}}}}


def _object(required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


_TEXT = {"type": "string"}
_OFFER = _object(
    ("sdp", "type"),
    sdp=_TEXT,
    type={"const": "offer"},
    pc_id=_TEXT,
    restart_pc={"type": "boolean"},
    request_data=_object(
        (),
        avatar_id=_TEXT,
        size={"enum": [256, 384, 512]},
        probe={"type": "boolean"},
        watch=_TEXT,
        look_ahead_ms={"enum": list(LOOK_AHEADS_MS)},
        mood={"enum": list(MOODS)},
        style={"type": "number", "minimum": 0, "maximum": MOST_STYLE},
    ),
)
_CANDIDATE = _object(
    ("candidate",), candidate=_TEXT, sdpMid=_TEXT, sdpMLineIndex={"type": "integer"}
)
_CANDIDATES = _object(
    ("pc_id", "candidates"), pc_id=_TEXT, candidates={"type": "array", "items": _CANDIDATE}
)
_PHOTO = _object(
    ("photo", "name", "consent"),
    photo={"type": "string", "format": "binary"},
    name=_TEXT,
    consent={"const": "true"},
    statement=_TEXT,
)


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


def _sessions(request: Request) -> SessionManager:
    return _services(request).sessions


def _avatars(request: Request) -> AvatarStore:
    return _services(request).avatars


async def _json(request: Request) -> Any:
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise BadRequest("The body is not valid JSON.") from error


def describe(record: AvatarRecord) -> dict[str, Any]:
    """Return a record as the interface shows it: nothing that is not set."""
    hidden = ("consent",)
    return {k: v for k, v in asdict(record).items() if v is not None and k not in hidden}


# ---------------------------------------------------------------------- sessions


@router.post("/api/offer", openapi_extra=_body(_OFFER))
@router.post("/offer", include_in_schema=False)
async def offer(request: Request) -> dict[str, str]:
    """Begin a session: ``{sdp, type, pc_id?, restart_pc?, request_data?}`` to an answer."""
    return await _sessions(request).offer(OfferRequest.from_json(await _json(request)))


@router.patch("/api/offer", openapi_extra=_body(_CANDIDATES))
async def trickle(request: Request) -> dict[str, str]:
    """Add candidates: ``{pc_id, candidates: [{candidate, sdpMid, sdpMLineIndex}]}``."""
    body = await _json(request)
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object with pc_id and candidates.")
    await _sessions(request).add_candidates(body.get("pc_id"), body.get("candidates"))
    return {"status": "success"}


@router.post("/api/whep/{pc_id}", status_code=201, openapi_extra=_body(_TEXT, "application/sdp"))
async def whep(request: Request, pc_id: str) -> Response:
    """Watch a session as WHEP has it: an offer's SDP to an answer's, and where to hang up."""
    sdp = (await request.body()).decode("utf-8", "replace")
    answer = await _sessions(request).watch(pc_id, sdp, "offer")
    headers = {"location": f"/api/whep/{answer['pc_id']}"}
    return Response(answer["sdp"], 201, headers, media_type="application/sdp")


@router.patch("/api/whep/{pc_id}", status_code=204)
async def whep_trickle(request: Request, pc_id: str) -> Response:
    """Add candidates: an SDP fragment with ``a=candidate`` lines."""
    lines = (await request.body()).decode("utf-8", "replace").splitlines()
    found = [{"candidate": ln[2:].strip()} for ln in lines if ln.startswith("a=candidate:")]
    await _sessions(request).add_candidates(pc_id, found)
    return Response(status_code=204)


@router.delete("/api/whep/{pc_id}", status_code=204)
async def whep_hang_up(request: Request, pc_id: str) -> Response:
    """Stop watching."""
    await _sessions(request).end(pc_id, "The viewer hung up.")
    return Response(status_code=204)


@router.get("/api/sessions")
async def list_sessions(request: Request) -> dict[str, Any]:
    """Every live session with its figures."""
    services = _services(request)
    return {
        "sessions": services.sessions.describe(),
        "capacity": services.admission.capacity,
        "worker_restarts": services.supervisor.restarts,
        "frame_ms": services.supervisor.frame_ms,
        "effort": services.supervisor.effort,
    }


@router.delete("/api/sessions/{pc_id}", status_code=204)
async def hang_up(request: Request, pc_id: str) -> Response:
    """End a session."""
    await _sessions(request).end(pc_id, "The viewer hung up.")
    return Response(status_code=204)


@router.get("/api/sessions/{pc_id}/trace")
async def trace(request: Request, pc_id: str, seconds: float = 10.0) -> Response:
    """The way of every frame of the next seconds through the server, for ui.perfetto.dev."""
    text = await _sessions(request).record(pc_id, seconds)
    name = 'attachment; filename="visavis-trace.json"'
    return Response(text, media_type="application/json", headers={"content-disposition": name})


# ---------------------------------------------------------------------- avatars


@router.get("/api/avatars")
async def list_avatars(request: Request) -> dict[str, Any]:
    """Every avatar."""
    return {"avatars": [describe(record) for record in _avatars(request).list()]}


@router.post("/api/avatars", status_code=202, openapi_extra=_body(_PHOTO, "multipart/form-data"))
async def make_avatar(request: Request, wait: bool = False) -> JSONResponse:
    """Make an avatar from one photo: multipart ``photo``, ``name``, ``consent``, ``statement``."""
    limits = _services(request).config.limits
    try:
        async with request.form(max_files=1, max_fields=8) as form:
            photo = form.get("photo")
            if isinstance(photo, str) or photo is None:
                raise BadRequest("The photo is missing.")
            assert isinstance(photo, UploadFile) or hasattr(photo, "read")
            data = await photo.read(limits.photo_bytes + 1)
            name = str(form.get("name", "")).strip()
            consent = str(form.get("consent", "")).lower() == "true"
            statement = str(form.get("statement", "")).strip()
    except (AssertionError, KeyError) as error:
        raise BadRequest("The body is not a form with a photo.") from error
    if len(data) > limits.photo_bytes:
        raise TooLarge(f"The photo is larger than {limits.photo_bytes // 1_000_000} MB.")
    if not name or len(name) > MAX_NAME:
        raise BadRequest(f"The avatar needs a name of at most {MAX_NAME} characters.")
    if len(statement) > MAX_STATEMENT:
        raise BadRequest(f"The statement is longer than {MAX_STATEMENT} characters.")
    if not consent:
        raise BadRequest("The person in the photo must have agreed: consent must be true.")
    store = _avatars(request)
    record = await store.start_enrolment(data, name, statement, consent)
    if wait:
        record = await store.wait(record.id)
        if record.status != "ready":
            raise Unprocessable(record.reason or "The photo could not be used.")
    return JSONResponse(describe(record), status_code=201 if wait else 202)


@router.get("/api/avatars/{avatar_id}")
async def show_avatar(request: Request, avatar_id: str) -> dict[str, Any]:
    """One avatar, with its progress while it is made."""
    return describe(_avatars(request).get(avatar_id))


@router.delete("/api/avatars/{avatar_id}", status_code=204)
async def erase_avatar(request: Request, avatar_id: str) -> Response:
    """Erase an avatar and everything kept of it; live sessions on it end."""
    store = _avatars(request)
    store.get(avatar_id)
    await _sessions(request).end_avatar(avatar_id)
    store.erase(avatar_id)
    return Response(status_code=204)


@router.get("/api/avatars/{avatar_id}/preview.jpg")
async def preview(request: Request, avatar_id: str) -> Response:
    """The avatar's picture."""
    data = _avatars(request).preview(avatar_id)
    return Response(data, media_type="image/jpeg", headers={"cache-control": "no-store"})


# ---------------------------------------------------------------------- the server itself


@router.get("/healthz")
async def healthz(request: Request) -> JSONResponse:
    """Whether sessions can begin."""
    services = _services(request)
    up = services.supervisor.up
    body = {"status": "ok" if up else "starting", "version": __version__}
    return JSONResponse(body, status_code=200 if up else 503)


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Prometheus metrics."""
    services = _services(request)
    services.metrics.restarts.set(services.supervisor.restarts)
    services.metrics.capacity.set(services.admission.capacity)
    services.metrics.tasks.set(len(asyncio.all_tasks()))
    services.metrics.effort.set(Effort[services.supervisor.effort])
    return Response(services.metrics.render(), media_type="text/plain; version=0.0.4")


@router.get("/", include_in_schema=False)
async def index() -> FileResponse:
    """The page."""
    return _page("index.html")


@router.get("/client.js", include_in_schema=False)
async def client() -> FileResponse:
    """The embeddable client."""
    return _page("client.js")


def _page(name: str) -> FileResponse:
    path = STATIC_DIR / name
    if not path.is_file():
        raise NotFound("This page does not exist.")
    return FileResponse(path, headers={"cache-control": "no-cache"})
