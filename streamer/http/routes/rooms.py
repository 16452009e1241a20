"""Calls over HTTP: rooms, invitations, seats, offers, avatars of guests, recordings.

These addresses guard themselves: a request carries as its bearer the server's access token, an
invitation or a seat, so that a guest needs no more than the link that somebody sent.
"""

from __future__ import annotations

import hmac
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import FileResponse, RedirectResponse
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from visavis.streamer.errors import AtCapacity, Forbidden, NotFound
from visavis.streamer.http.bodies.answers import DESCRIBED
from visavis.streamer.http.bodies.forms import describe_form, read_photo
from visavis.streamer.http.bodies.permitted import with_refusal
from visavis.streamer.http.bodies.schemas import Avatar, Candidates, Done, IceServer, Id, Mood
from visavis.streamer.http.routes.recordings import FRESH, Recordings, send_file
from visavis.streamer.http.routes.services import Served, ice_servers
from visavis.streamer.http.security.guard import bearer_of, host_of
from visavis.streamer.rooms.access.credentials import Credentials, Entry
from visavis.streamer.rooms.access.people import Part
from visavis.streamer.rooms.access.tickets import Purpose
from visavis.streamer.rooms.service import Rooms
from visavis.streamer.session.manager import OfferRequest
from visavis.streamer.session.options import MOST_STYLE, Wishes
from visavis.streamer.trust.callers import WORDS
from visavis.streamer.trust.tokens import PREFIX
from visavis.web import STATIC_DIR

router = APIRouter(prefix="/api/rooms", tags=["calls"], responses=DESCRIBED)
page = APIRouter(include_in_schema=False)
_SDP: Final = "application/sdp"
_LONG: Final = 100_000  # characters; what is shorter and still too long gets its own sentence
_TICKET: Final = 2048
_NAME: Final = Field(max_length=_LONG, json_schema_extra={"example": "Ada"})


class _In(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Out(BaseModel):
    model_config = ConfigDict(frozen=True)


class NewRoom(_In):
    """A call to be opened; its address is made of its title."""

    title: str = _NAME


class Opened(_Out):
    """A call that is open."""

    name: str
    title: str


class BeforeTheDoor(_Out):
    """What somebody may know before they join."""

    name: str
    title: str
    open: bool
    people: list[str]
    seats: int
    locked: bool
    recording: bool
    watch_only: bool
    owner: bool


class Invite(_In):
    """An invitation to be made."""

    purpose: Literal["join", "watch"] = "join"
    lasts_s: float | None = Field(None, ge=60, allow_inf_nan=False)
    avatar_id: Id = Field("", description="The only avatar that may be worn by it.")


class Invitation(_Out):
    """An invitation, and the page it opens below the server's address."""

    ticket: str
    expires: float
    path: str


class Enter(_In):
    """Somebody who wants to come in, or to come back to the seat they had."""

    name: str = _NAME
    part: Literal["avatar", "listener"] = "avatar"
    agrees: StrictBool = Field(False, description="To being recorded.")
    seat: str = Field("", max_length=_TICKET)


class Seat(_Out):
    """A seat: the ticket is the bearer of everything that its holder does."""

    id: str
    seat: str
    host: bool
    part: str
    title: str
    iceServers: tuple[IceServer, ...] = Field(
        (), description="Whom its peer connection may ask for a way to this server."
    )


class RoomOffer(_In):
    """An offer of somebody who has a seat."""

    sdp: str
    type: Literal["offer"] = "offer"
    pc_id: Id | None = Field(None, description="The connection that this offer goes on with.")
    avatar_id: Id = ""
    size: Literal[256, 384, 512] = 256
    probe: StrictBool = False
    mood: Mood = "neutral"
    style: float = Field(1.0, ge=0, le=MOST_STYLE, allow_inf_nan=False)

    def request(self) -> OfferRequest:
        """Return what the session manager is asked for."""
        return OfferRequest(
            sdp=self.sdp,
            pc_id=self.pc_id or "",
            avatar_id=self.avatar_id,
            size=self.size,
            probe=self.probe,
            wishes=Wishes(None, self.mood, self.style),
        )


class RoomAnswer(_Out):
    """The answer to an offer."""

    sdp: str
    type: Literal["answer"] = "answer"
    pc_id: str


class Made(Avatar):
    """An avatar made on the way in, and what erases it."""

    key: str = Field(description="The bearer of its DELETE; told once, to who made it.")


def _hall(served: Served) -> Rooms:
    return served.rooms


async def _credentials(served: Served, request: Request) -> Credentials:
    """Read the bearer: the server's token, or a ticket; wrong ones are counted."""
    given = bearer_of(request.headers)
    with served.attempts.checking(host_of(request.scope), given):
        return _read(served, given)


def _read(served: Served, given: str) -> Credentials:
    token = served.config.server.token
    if token and hmac.compare_digest(given.encode(), token.encode()):
        return Credentials(True)
    tokens = getattr(served.avatars, "tokens", None)
    if tokens is not None and given.startswith(PREFIX):
        caller = tokens.read(given).caller
        if caller.scope == "administer":
            return Credentials(True)
        if caller.scope == "enrol":
            words = f"This token is for {WORDS[caller.scope]}, and does not allow that."
            raise Forbidden(words, code="token-scope")
        return served.rooms.credentials(False, "", caller)
    return served.rooms.credentials(not token, given)


Hall = Annotated[Rooms, Depends(_hall)]
Shown = Annotated[Credentials, Depends(_credentials)]


@router.post("", status_code=201)
async def open_room(rooms: Hall, shown: Shown, body: NewRoom) -> Opened:
    """Open a call; the answer says what stands in its address."""
    rooms.check_owner(shown)
    return Opened(**rooms.create(body.title))


@router.get("/{room}")
async def show_room(rooms: Hall, shown: Shown, room: str) -> BeforeTheDoor:
    """What somebody may know who stands before the door."""
    return BeforeTheDoor(**rooms.info(room, shown))


@router.post("/{room}/invitations", status_code=201)
async def invite(rooms: Hall, shown: Shown, room: str, body: Invite) -> Invitation:
    """Make an invitation: to join, or only to watch."""
    lasts = body.lasts_s or rooms.limits.invitation_s
    made = rooms.invite(room, shown, Purpose(body.purpose), lasts, body.avatar_id)
    return Invitation(**made, path=f"call/{room}?invite={made['ticket']}")


@router.post("/{room}/people", status_code=201, response_model_exclude_none=True)
async def enter(
    served: Served, rooms: Hall, shown: Shown, room: str, body: Enter, response: Response
) -> Seat:
    """Take a seat, or the one back that one had."""
    entry = Entry(body.name, Part(body.part), body.agrees, body.seat)
    given = rooms.enter(room, shown, entry)
    response.headers.update(FRESH)  # it is a key, and may hold a password
    return Seat(**given, iceServers=ice_servers(served).iceServers)


@router.delete("/{room}/people/me", status_code=204, response_class=Response)
async def leave(rooms: Hall, shown: Shown, room: str) -> Response:
    """Leave for good."""
    await rooms.leave(room, shown)
    return Response(status_code=204)


@router.post("/{room}/people/me/away", status_code=204, response_class=Response)
async def away(rooms: Hall, shown: Shown, room: str) -> Response:
    """Hang up, and perhaps come back: the page is closed or loaded anew."""
    await rooms.away(room, shown)
    return Response(status_code=204)


@router.post("/{room}/offer")
async def offer(rooms: Hall, shown: Shown, room: str, body: RoomOffer) -> RoomAnswer:
    """Connect, or go on with a connection: its ``pc_id`` is answered in place."""
    answer = await rooms.offer(room, shown, body.request())
    return RoomAnswer(sdp=answer["sdp"], pc_id=answer["pc_id"])


@router.patch("/{room}/offer")
async def trickle(rooms: Hall, shown: Shown, room: str, body: Candidates) -> Done:
    """Add candidates."""
    found = [candidate.model_dump() for candidate in body.candidates]
    await rooms.add_candidates(room, shown, body.pc_id, found)
    return Done()


@router.post(
    "/{room}/whep/{person}",
    status_code=201,
    response_class=Response,
    openapi_extra={
        "requestBody": {"required": True, "content": {_SDP: {"schema": {"type": "string"}}}}
    },
    responses={
        201: {"description": "The answer.", "content": {_SDP: {"schema": {"type": "string"}}}}
    },
)
async def whep(rooms: Hall, shown: Shown, request: Request, room: str, person: str) -> Response:
    """Watch one person with a stock player; the bearer is an invitation to watch."""
    sdp = (await request.body()).decode("utf-8", "replace")
    answer = await rooms.watch(room, shown, person, sdp)
    headers = {"location": f"{person}/{answer['pc_id']}"}
    return Response(answer["sdp"], 201, headers, media_type=_SDP)


@router.delete("/{room}/whep/{person}/{pc_id}", status_code=204, response_class=Response)
async def whep_hang_up(rooms: Hall, room: str, person: str, pc_id: str) -> Response:
    """Stop watching; who knows the id is who began."""
    await rooms.stop_watching(pc_id)
    return Response(status_code=204)


# ---------------------------------------------------------------------- avatars of guests


@router.post("/{room}/avatars", status_code=202, openapi_extra=describe_form())
async def make_avatar(
    served: Served, rooms: Hall, shown: Shown, request: Request, room: str
) -> Made:
    """Make an avatar on the way in; whoever knows its id can wear it."""
    rooms.check_may_join(room, shown, makes=True)
    if served.uploads.locked():
        words = "Too many photos are being sent to this server; try again soon."
        raise AtCapacity(words, code="enrolment-full")
    async with served.uploads:
        photo, fields = await read_photo(request, served.config.limits.photo_bytes)
    record = await served.avatars.start_enrolment(
        photo, fields.name, fields.statement, True, fields.terms()
    )
    shown_as = Avatar.model_validate(record).model_dump()
    return Made(**shown_as, key=rooms.keys.to(record.id))


@router.get("/{room}/avatars/{avatar_id}")
async def show_avatar(
    served: Served, rooms: Hall, shown: Shown, room: str, avatar_id: str
) -> Avatar:
    """One avatar, with its progress while it is made."""
    rooms.check_may_join(room, shown, avatar_id)
    return with_refusal(served.avatars.get(avatar_id), served.avatars.consents)


@router.delete("/{room}/avatars/{avatar_id}", status_code=204, response_class=Response)
async def erase_avatar(
    served: Served, rooms: Hall, request: Request, room: str, avatar_id: str
) -> Response:
    """Erase an avatar that was made on the way in; the bearer is its key."""
    given = bearer_of(request.headers)
    with served.attempts.checking(host_of(request.scope), given):
        rooms.keys.check(avatar_id, given)
    await served.avatars.retire(avatar_id, served.sessions.end_avatar)
    return Response(status_code=204)


@router.get(
    "/{room}/avatars/{avatar_id}/preview.jpg",
    response_class=Response,
    responses={200: {"description": "The picture.", "content": {"image/jpeg": {}}}},
)
async def preview(served: Served, rooms: Hall, shown: Shown, room: str, avatar_id: str) -> Response:
    """An avatar's picture."""
    rooms.check_may_join(room, shown, avatar_id)
    return Response(served.avatars.preview(avatar_id), media_type="image/jpeg", headers=FRESH)


# ---------------------------------------------------------------------- recordings


@router.get("/{room}/recordings")
async def recordings(rooms: Hall, shown: Shown, room: str) -> Recordings:
    """The recordings of a call that this bearer may fetch."""
    return Recordings(recordings=rooms.recorded(room, shown))


@router.get(
    "/{room}/recordings/{recording}/{file}",
    response_class=Response,
    responses={200: {"description": "The film.", "content": {"video/mp4": {}, "video/webm": {}}}},
)
async def recorded_file(
    request: Request, rooms: Hall, shown: Shown, room: str, recording: str, file: str
) -> Response:
    """One file of a recording."""
    return send_file(request, rooms.file(room, shown, recording, file))


@router.delete("/{room}/recordings/{recording}", status_code=204, response_class=Response)
async def erase_recording(rooms: Hall, shown: Shown, room: str, recording: str) -> Response:
    """Erase a recording."""
    rooms.erase(room, shown, recording)
    return Response(status_code=204)


# ---------------------------------------------------------------------- the page


@page.get("/call")
async def call() -> RedirectResponse:
    """The page finds its parts from below a folder."""
    return RedirectResponse("call/")


@page.get("/call/")
@page.get("/call/{room}")
async def call_page(room: str = "") -> FileResponse:
    """The page of a call, or of one to be begun."""
    path = STATIC_DIR / "call" / "index.html"
    if not path.is_file():
        raise NotFound("This page does not exist.")
    return FileResponse(path, headers={"cache-control": "no-cache"})
