"""Avatars over HTTP: make, list, show, erase."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from visavis.models.appearance.photo.photo import formats
from visavis.streamer.errors import AtCapacity, BadRequest, NotFound, Unprocessable
from visavis.streamer.http.bodies.answers import DESCRIBED
from visavis.streamer.http.bodies.forms import describe_form, read_photo
from visavis.streamer.http.bodies.permitted import with_refusal
from visavis.streamer.http.bodies.schemas import (
    Avatar,
    Avatars,
    ConsentShown,
    GiveConsent,
    Guidance,
    Photos,
    Rename,
)
from visavis.streamer.http.routes.services import Served
from visavis.streamer.trust.callers import CALLER
from visavis.streamer.trust.consent import read_terms

_BUNDLE = "application/zip"


async def _theirs(served: Served, request: Request) -> None:
    """Show who holds a token no other avatars than those it is for, not that they exist either."""
    caller, avatar_id = CALLER.get(), request.path_params.get("avatar_id", "")
    if avatar_id and caller.id:
        owner = served.avatars.get(avatar_id).owner
        if not caller.sees(avatar_id, owner):
            raise NotFound("There is no such avatar.", code="unknown-avatar")


router = APIRouter(
    prefix="/api/avatars",
    tags=["avatars"],
    responses=DESCRIBED,
    dependencies=[Depends(_theirs)],
)


@router.get("")
async def list_avatars(served: Served) -> Avatars:
    """Every avatar, and what photos a new one may be made from."""
    limits = served.config.limits
    photos = Photos(formats=formats(), max_bytes=limits.photo_bytes, max_pixels=limits.photo_pixels)
    caller = CALLER.get()
    seen = [a for a in served.avatars.list() if not caller.id or caller.sees(a.id, a.owner)]
    shown = [with_refusal(record, served.avatars.consents) for record in seen]
    return Avatars(avatars=shown, photos=photos)


@router.post(
    "",
    status_code=202,
    openapi_extra=describe_form(),
    responses={201: {"model": Avatar, "description": "Made: it was waited for."}},
)
async def make_avatar(
    served: Served, request: Request, response: Response, wait: bool = False
) -> Avatar:
    """Make an avatar from one photo; ``wait`` answers when it is ready."""
    if served.uploads.locked():
        words = "Too many photos are being sent to this server; try again soon."
        raise AtCapacity(words, code="enrolment-full")
    async with served.uploads:
        photo, fields = await read_photo(request, served.config.limits.photo_bytes)
    if (caller := CALLER.get()).id:
        served.avatars.tokens.use_up(caller)
    record = await served.avatars.start_enrolment(
        photo, fields.name, fields.statement, True, fields.terms()
    )
    if wait:
        record = await served.avatars.wait(record.id)
        if record.status != "ready":
            words = record.reason or "The photo could not be used."
            raise Unprocessable(words, code=record.reason_code)
        response.status_code = 201
    return Avatar.model_validate(record)


@router.post(
    "/guidance",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string"}}},
        }
    },
)
async def guide(served: Served, request: Request) -> Guidance:
    """What to change before the photo is taken; the picture is looked at and kept nowhere.

    The body is 144 by 144 pixels of the camera, RGB, a byte each, not mirrored.
    """
    found = await served.guide.look(await request.body())
    return Guidance(code=found.code, sentence=found.sentence)


@router.post(
    "/photo",
    response_class=Response,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string"}}},
        }
    },
    responses={200: {"description": "The photo as JPEG.", "content": {"image/jpeg": {}}}},
)
async def open_photo(served: Served, request: Request) -> Response:
    """Open a photo that the browser cannot, to be looked at before anybody agrees to anything.

    What comes back is what to send: upright, at most 2048 pixels long. Nothing is kept.
    """
    if served.uploads.locked():
        words = "Too many photos are being sent to this server; try again soon."
        raise AtCapacity(words, code="enrolment-full")
    async with served.uploads:
        data = await served.opener.open(await request.body())
    return Response(data, media_type="image/jpeg", headers={"cache-control": "no-store"})


@router.get("/{avatar_id}")
async def show_avatar(served: Served, avatar_id: str) -> Avatar:
    """One avatar, with its progress while it is made."""
    return with_refusal(served.avatars.get(avatar_id), served.avatars.consents)


@router.patch("/{avatar_id}")
async def rename_avatar(served: Served, avatar_id: str, body: Rename) -> Avatar:
    """Call an avatar something else."""
    return Avatar.model_validate(await served.avatars.rename(avatar_id, body.name))


@router.get(
    "/{avatar_id}/avatar.vav",
    response_class=Response,
    responses={200: {"description": "The bundle.", "content": {_BUNDLE: {}}}},
)
async def export_avatar(served: Served, avatar_id: str) -> Response:
    """The avatar's bundle, to be kept; sent to ``POST /api/avatars``, it is an avatar again."""
    data = await served.avatars.export(avatar_id)
    headers = {
        "cache-control": "no-store",
        "content-disposition": 'attachment; filename="avatar.vav"',
    }
    return Response(data, media_type=_BUNDLE, headers=headers)


@router.get("/{avatar_id}/consent")
async def show_consent(served: Served, avatar_id: str) -> ConsentShown:
    """The consent that an avatar exists by."""
    served.avatars.get(avatar_id)
    return ConsentShown.model_validate(served.avatars.consents.of(avatar_id))


@router.post("/{avatar_id}/consent", status_code=201)
async def give_consent(served: Served, avatar_id: str, body: GiveConsent) -> ConsentShown:
    """Give a new one in place of the one before; tokens made under that one end."""
    if not body.consent:
        raise BadRequest("A new consent needs the person's agreement.", code="no-consent")
    terms = read_terms(body.who, body.purposes, body.expires, body.presence)
    return ConsentShown.model_validate(await served.avatars.renew(avatar_id, terms, body.statement))


@router.delete("/{avatar_id}/consent")
async def withdraw_consent(served: Served, avatar_id: str) -> ConsentShown:
    """Withdraw it: what shows the avatar ends at once, and nothing can show it again."""

    async def end(avatar_id: str) -> None:
        why = served.avatars.refusal(avatar_id, "call")
        await served.sessions.end_avatar(avatar_id, why, "consent")

    return ConsentShown.model_validate(await served.avatars.withdraw(avatar_id, end))


@router.delete("/{avatar_id}", status_code=204, response_class=Response)
async def erase_avatar(served: Served, avatar_id: str) -> Response:
    """Erase an avatar and everything kept of it; live sessions on it end."""
    await served.avatars.retire(avatar_id, served.sessions.end_avatar)
    return Response(status_code=204)


@router.get(
    "/{avatar_id}/preview.jpg",
    response_class=Response,
    responses={200: {"description": "The picture.", "content": {"image/jpeg": {}}}},
)
async def preview(served: Served, avatar_id: str) -> Response:
    """The avatar's picture."""
    data = served.avatars.preview(avatar_id)
    return Response(data, media_type="image/jpeg", headers={"cache-control": "no-store"})
