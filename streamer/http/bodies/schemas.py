"""Every body that comes in and every one that goes out; the limits stand where they are enforced.

``/openapi.json`` is made from these models, and so are the sentences about what is wrong.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
)
from pydantic_core import PydanticCustomError

from visavis.models.motion.flow import MANNERS
from visavis.streamer.avatars.record import NAME_LENGTH, STATEMENT_LENGTH, Status
from visavis.streamer.session.manager import OfferRequest
from visavis.streamer.session.options import MOST_STYLE, Wishes
from visavis.streamer.trust.consent import MOST_PRESENCE, MOST_WHO, Terms, read_terms
from visavis.streamer.values import LookAhead, Size
from visavis.streamer.worker.pipeline.view import CANVASES, FRAMINGS, View, read_view

_ID = 256  # characters of any id that a client may send
_CANDIDATE = 1024
_CANDIDATES = 256  # in one request; how many of them count is a setting


def _mood(value: str) -> str:
    if value not in MANNERS:
        raise PydanticCustomError("enum", "it is none of the moods")
    return value


Mood = Annotated[
    str, AfterValidator(_mood), Field(json_schema_extra={"enum": list(MANNERS)}, max_length=32)
]
Id = Annotated[str, Field(max_length=_ID)]


class Incoming(BaseModel):
    """What clients send; they are free to send more than we read."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Outgoing(BaseModel):
    """What is answered."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class IceServer(Outgoing):
    """STUN or TURN servers, as ``RTCConfiguration.iceServers`` has them."""

    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = None


class IceServers(Outgoing):
    """Whom a client may ask to reach this server; nobody unless the settings name one."""

    iceServers: tuple[IceServer, ...] = ()
    ttl: int = Field(description="Seconds for which the answer is good.")


class Viewed(Outgoing):
    """What a page that watches has to know of the picture, and of the way to it."""

    iceServers: tuple[IceServer, ...] = ()
    live: bool
    transparent: bool = Field(description="The opacity stands on the right of the colour.")
    width: int
    height: int


# ---------------------------------------------------------------------- what comes in


class SessionOptions(Incoming):
    """``request_data`` of an offer: what a viewer wants of its session."""

    avatar_id: Id | None = Field(default=None, description="The newest avatar if left out.")
    size: Size | None = Field(default=None, description="Width and height in pixels.")
    probe: StrictBool = Field(default=False, description="Burn measuring marks into the picture.")
    watch: Id | None = Field(
        default=None, description="A view_id to watch instead of beginning one."
    )
    look_ahead_ms: LookAhead | None = Field(default=None, description="Of sound the lips wait for.")
    mood: Mood = "neutral"
    style: float = Field(
        default=1.0,
        strict=True,
        ge=0,
        le=MOST_STYLE,
        description="How strongly head, brows and cheeks move; 1 is as learnt.",
    )
    canvas: Annotated[str, Field(max_length=16, json_schema_extra={"enum": list(CANVASES)})] = ""
    framing: Annotated[str, Field(max_length=16, json_schema_extra={"enum": list(FRAMINGS)})] = (
        "bust"
    )
    background: Annotated[str, Field(max_length=16)] = Field(
        default="own",
        description="Of a canvas: own, blur, transparent, or a colour such as #3366aa.",
    )
    stage: Annotated[str, Field(pattern=r"^([A-Za-z0-9_-]{1,64})?$")] = Field(
        default="", description="A name of one's own under which /stage/NAME shows it."
    )

    def view(self) -> View | None:
        """Return the canvas, None for the avatar's own square.

        Raises:
            BadRequest: a word for it is none.
        """
        if not self.canvas:
            return None
        return read_view(self.canvas, self.framing, self.background, files=False)


class Offer(Incoming):
    """An offer, in the shape of Pipecat's SmallWebRTC."""

    sdp: str
    type: Literal["offer"]
    pc_id: Id | None = Field(
        default=None, description="The connection that this offer goes on with."
    )
    restart_pc: StrictBool | None = Field(
        default=None, description="Start that session over instead."
    )
    request_data: SessionOptions | None = Field(
        default=None, validation_alias=AliasChoices("request_data", "requestData")
    )

    def request(self) -> OfferRequest:
        """Return what the session manager is asked for."""
        options = self.request_data or SessionOptions()
        return OfferRequest(
            sdp=self.sdp,
            pc_id=self.pc_id or "",
            restart_pc=self.restart_pc or False,
            avatar_id=options.avatar_id or "",
            size=options.size or 0,
            probe=options.probe,
            watch=options.watch,
            wishes=Wishes(
                options.look_ahead_ms,
                options.mood,
                options.style,
                options.view(),
                options.stage,
            ),
        )


class Candidate(Incoming):
    """One ICE candidate, as browsers write it."""

    candidate: str = Field(default="", max_length=_CANDIDATE)
    sdpMid: str | None = Field(
        default=None, max_length=_ID, validation_alias=AliasChoices("sdpMid", "sdp_mid")
    )
    sdpMLineIndex: int | None = Field(
        default=None, validation_alias=AliasChoices("sdpMLineIndex", "sdp_mline_index")
    )


class Candidates(Incoming):
    """Candidates that were found after the offer was sent."""

    pc_id: Id
    candidates: Annotated[list[Candidate], Field(max_length=_CANDIDATES)]


def _agreed(value: str) -> str:
    if value.lower() != "true":
        raise ValueError("must be true: the person in the photo must have agreed")
    return value


class PhotoForm(Incoming):
    """The fields beside the photo of ``POST /api/avatars``."""

    model_config = ConfigDict(str_strip_whitespace=True)

    name: str = Field(min_length=1, max_length=NAME_LENGTH)
    consent: Annotated[str, AfterValidator(_agreed)] = Field(
        json_schema_extra={"const": "true"},
        description="The person in the photo has agreed to this avatar.",
    )
    # Kept to the letter, spaces at its ends included: this is what was agreed to.
    statement: Annotated[str, StringConstraints(strip_whitespace=False)] = Field(
        default="", max_length=STATEMENT_LENGTH, description="The text that was agreed to."
    )
    who: str = Field(default="", max_length=MOST_WHO, description="The person in the photo.")
    purposes: str = Field(
        default="",
        max_length=64,
        description="call, present, dub, record, by commas; all if empty.",
    )
    expires: str = Field(
        default="", max_length=40, description="A date; empty is until it is withdrawn."
    )
    presence: str = Field(
        default="", max_length=MOST_PRESENCE, description="How the person's presence was shown."
    )

    def terms(self) -> Terms:
        """Return them as they are signed.

        Raises:
            BadRequest: a purpose or the date cannot be read.
        """
        return read_terms(self.who, self.purposes, self.expires, self.presence)


class Rename(Incoming):
    """Another name for an avatar."""

    name: str = Field(min_length=1, max_length=100_000)


class GiveConsent(Incoming):
    """A consent for an avatar that exists; it takes the place of the one before."""

    consent: StrictBool = Field(description="The person has agreed.")
    statement: str = Field("", max_length=STATEMENT_LENGTH, description="What was agreed to.")
    who: str = Field("", max_length=MOST_WHO, description="The avatar's name if empty.")
    purposes: str = Field("", max_length=64, description="With commas; all if empty.")
    expires: str = Field("", max_length=40, description="A date; empty is until it is withdrawn.")
    presence: str = Field("", max_length=MOST_PRESENCE)


# ---------------------------------------------------------------------- what is answered


class ErrorAnswer(Outgoing):
    """Every error: one sentence for a person, a code for programs."""

    code: str = Field(description="Words joined by hyphens; stays when the sentence changes.")
    error: str = Field(description="One sentence.")


class Stream(Outgoing):
    """Another participant, and the sections (mid) that show it; null while there is none."""

    id: str
    audio: str | None
    video: str | None


class Answer(Outgoing):
    """The answer to an offer."""

    sdp: str
    type: Literal["answer"]
    pc_id: str = Field(description="The connection, for candidates, offers and hanging up.")
    view_id: str | None = Field(
        default=None, description="Who knows it may watch, and nothing else."
    )
    streams: list[Stream] = Field(default=[], description="Whose feeds are in which sections.")


class Done(Outgoing):
    """Taken, with nothing more to say."""

    status: Literal["success"] = "success"


class Percentiles(Outgoing):
    """Of the last seconds; null before there are any."""

    p50: float | None
    p95: float | None


class SessionFigures(Outgoing):
    """One live session."""

    model_config = ConfigDict(extra="allow")

    pc_id: str
    view_id: str
    avatar_id: str
    state: str
    seconds: float
    bitrate_kbps: int
    watchers: int
    mouth_to_lip_ms: Percentiles
    fps: float
    sent: int
    late: int
    repeated: int
    dropped: int
    halved: int
    av_skew_ms: float | None
    look_ahead_ms: int
    delay_ms: int
    sound_lead_ms: int


class Sessions(Outgoing):
    """Every live session, and how many there can be."""

    sessions: list[SessionFigures]
    capacity: int
    worker_restarts: int
    frame_ms: float | None = Field(description="What a frame costs here, once measured.")
    effort: str


class Avatar(Outgoing):
    """One avatar; nothing of the consent but that it exists is told."""

    id: str
    name: str
    status: Status
    progress: float = Field(ge=0, le=1)
    stage: str
    reason: str = Field(description="Why it could not be made, one sentence; empty otherwise.")
    reason_code: str = Field(default="", description="The same for programs.")
    created: str
    notes: tuple[str, ...]
    refusal: str = Field(default="", description="Why it may not be shown in calls now; or empty.")
    refusal_code: str = Field(default="", description="The same for programs: `consent-expired`.")


class ConsentShown(Outgoing):
    """The consent that an avatar exists by."""

    id: str
    who: str
    purposes: tuple[str, ...]
    text: str
    text_version: str
    given: str
    expires: str = Field(description="Empty lasts until it is withdrawn.")
    presence: str
    withdrawn: str = Field(description="Empty while it stands.")


class Photos(Outgoing):
    """What a new avatar may be made from."""

    formats: tuple[str, ...] = Field(description="What this server can open: JPEG, HEIC, ...")
    max_bytes: int
    max_pixels: int


class Avatars(Outgoing):
    """Every avatar, newest first."""

    avatars: list[Avatar]
    photos: Photos


class Guidance(Outgoing):
    """What somebody in front of the camera should change."""

    code: str = Field(description="`good` if nothing.")
    sentence: str


class Health(Outgoing):
    """Whether sessions can begin."""

    status: Literal["ok", "starting"]
    version: str
