"""Offers in: what is checked before aiortc sees any of it, section by section."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from aiortc import RTCIceCandidate
from aiortc.codecs import CODECS, is_rtx
from aiortc.rtcpeerconnection import find_common_codecs
from aiortc.sdp import MediaDescription, SessionDescription, candidate_from_sdp

from visavis.streamer.config import LimitsConfig
from visavis.streamer.errors import BadRequest, TooLarge
from visavis.streamer.webrtc.ice.sockets import acceptable_candidate
from visavis.streamer.webrtc.rtp.rtcp import PLAYOUT_DELAY_URI

MAX_SECTIONS = 32
KINDS = ("audio", "video")
NEEDS = {"audio": "for the microphone", "video": "to show the avatar in"}
_LINE = re.compile(r"^[a-z]=[^\x00\r\n]*$")
_UNREADABLE = "The offer is not a session description that can be read."
_SERVED = {"audio": "Opus, PCMU, PCMA, G722", "video": "VP8, H264"}
_H264 = (
    "The offer has no video codec in common: H.264 is sent as (constrained) baseline profile with "
    "packetization-mode=1, and VP8 would do as well."
)


@dataclass(frozen=True)
class Section:
    """One media section of an offer.

    Attributes:
        mid: its identification.
        kind: ``audio``, ``video``, ``application`` or something that is not served.
        lines: its text without candidates.
        direction: as the client sees it.
        credentials: ICE user name fragment and password.
        fingerprints: of the client's certificate.
        codecs: names of those in common, lower case, in the offer's order.
        candidates: distinct ones that may be contacted.
        playout_delay_id: id of that header extension, if offered.
        problem: why it is not served: a sentence, or "" for one that the client has refused
            itself; None if it is served.
    """

    mid: str
    kind: str
    lines: tuple[str, ...]
    direction: str
    credentials: tuple[str, str]
    fingerprints: frozenset[str]
    codecs: tuple[str, ...]
    candidates: tuple[RTCIceCandidate, ...]
    playout_delay_id: int | None
    problem: str | None

    @property
    def served(self) -> bool:
        """Whether it can be answered."""
        return self.problem is None


@dataclass(frozen=True)
class Offer:
    """An offer that has been checked.

    Attributes:
        head: the lines above the first section.
        sections: in the client's order.
        bundle: mids that share one transport, the first one's.
    """

    head: tuple[str, ...]
    sections: tuple[Section, ...]
    bundle: tuple[str, ...]

    def served(self, kind: str) -> list[Section]:
        """Return the sections of a kind that can be answered."""
        return [section for section in self.sections if section.kind == kind and section.served]

    @property
    def fingerprints(self) -> frozenset[str]:
        """The client's certificates."""
        return frozenset[str]().union(*(section.fingerprints for section in self.sections))


def check_offer(
    sdp: object, kind: object, limits: LimitsConfig, *, anywhere: bool = False
) -> Offer:
    """Check an offer and take out what must not reach the ICE agent.

    Args:
        sdp: what the client sent.
        kind: the description's type, which must be "offer".
        limits: what one client may cost.
        anywhere: keep candidates beyond the local network too.

    Raises:
        TooLarge: it exceeds the limit.
        BadRequest: it is no offer that can be read.
    """
    if not isinstance(sdp, str) or not isinstance(kind, str):
        raise BadRequest("The offer must have the fields sdp and type.")
    if kind != "offer":
        raise BadRequest("The type of the description must be offer.")
    if len(sdp.encode("utf-8", "surrogatepass")) > limits.offer_bytes:
        raise TooLarge(f"The offer is larger than {limits.offer_bytes // 1024} KB.")
    head, blocks, candidates = _split(sdp.splitlines(), limits.candidates, anywhere)
    try:
        text = "\r\n".join([*head, *(line for block in blocks for line in block)]) + "\r\n"
        description = SessionDescription.parse(text)
        none: list[str] = []
        bundle = next((g.items for g in description.group if g.semantic == "BUNDLE"), none)
        sections = tuple(
            _section(media, tuple(block), tuple(named))
            for media, block, named in zip(description.media, blocks, candidates, strict=True)
        )
    except BadRequest:
        raise
    except Exception as error:  # a parser of strangers' text raises whatever it likes
        raise BadRequest(_UNREADABLE) from error
    mids = [section.mid for section in sections]
    if "" in mids or len(set(mids)) != len(mids):
        raise BadRequest("The offer's media sections need an identification (a=mid) each.")
    return Offer(tuple(head), sections, tuple(str(mid) for mid in bundle if mid in mids))


def need(offer: Offer, *kinds: str) -> None:
    """Insist on a section of each kind that can be served.

    Raises:
        BadRequest: there is none; the sentence says why.
    """
    for kind in kinds:
        if not offer.served(kind):
            reasons = [s.problem for s in offer.sections if s.kind == kind and s.problem]
            raise BadRequest(
                reasons[0] if reasons else f"The offer has no {kind} section {NEEDS[kind]}."
            )


def _split(
    lines: Iterable[str], most: int, anywhere: bool
) -> tuple[list[str], list[list[str]], list[list[RTCIceCandidate]]]:
    """Return the lines above the sections, those of each, and each one's usable candidates.

    A computer with many network adapters names many candidates: what is used is cut, not refused.
    """
    head: list[str] = []
    blocks: list[list[str]] = []
    candidates: list[list[RTCIceCandidate]] = []
    for line in lines:
        if not line:
            continue
        if not _LINE.match(line):
            raise BadRequest(_UNREADABLE)
        if line.startswith("m="):
            blocks.append([line])
            candidates.append([])
        elif not blocks:
            if line != "a=ice-lite":  # it may speak first as well
                head.append(line)
        elif line.startswith("a=candidate:"):
            keep_candidate(candidates[-1], parse_candidate(line[2:], anywhere=anywhere), most)
        elif line == "a=bundle-only":
            # Firefox offers all sections but the first with port 0 (RFC 8843, 7.2.1), which aiortc
            # takes for a refusal.
            blocks[-1][0] = re.sub(r"^(m=\S+) 0 ", r"\1 9 ", blocks[-1][0])
        elif not line.startswith(("a=end-of-candidates", "a=ice-lite")):
            blocks[-1].append(line)  # one whose candidates were left out may still speak first
    if not blocks:
        raise BadRequest(_UNREADABLE)
    if len(blocks) > MAX_SECTIONS:
        raise BadRequest(f"The offer has more than {MAX_SECTIONS} media sections.")
    return head, blocks, candidates


def keep_candidate(kept: list[RTCIceCandidate], found: RTCIceCandidate | None, most: int) -> bool:
    """Add a candidate that is usable, new and within the limit; return whether it was added."""
    if found is None or len(kept) >= most:
        return False
    if any((known.ip, known.port) == (found.ip, found.port) for known in kept):
        return False
    kept.append(found)
    return True


def _section(
    media: MediaDescription, lines: tuple[str, ...], candidates: tuple[RTCIceCandidate, ...]
) -> Section:
    dead = media.port == 0
    problem = "" if dead else _problem(media)
    common = [] if dead or media.kind not in KINDS else _common(media)
    if problem is None:
        _check_transport(media)
    dtls, ice = media.dtls, media.ice
    return Section(
        mid=str(media.rtp.muxId or ""),
        kind=str(media.kind),
        lines=lines,
        direction=media.direction or "sendrecv",
        credentials=(ice.usernameFragment or "", ice.password or ""),
        fingerprints=frozenset(f.value.upper() for f in dtls.fingerprints) if dtls else frozenset(),
        codecs=tuple(common),
        candidates=candidates,
        playout_delay_id=_playout_delay_id(media),
        problem=problem,
    )


def _common(media: MediaDescription) -> list[str]:
    codecs = find_common_codecs(CODECS[media.kind], media.rtp.codecs)
    return list(dict.fromkeys(codec.name.lower() for codec in codecs if not is_rtx(codec)))


def _problem(media: MediaDescription) -> str | None:
    if media.kind == "application":
        return None
    if media.kind not in KINDS:
        return f"The offer has a media section of unknown kind {media.kind!r}."
    if _common(media):
        return None
    if any(codec.name.lower() == "h264" for codec in media.rtp.codecs):
        return _H264
    served = _SERVED[media.kind]
    return f"The offer has no {media.kind} codec in common; {served} can be served."


def _check_transport(media: MediaDescription) -> None:
    if not media.ice.usernameFragment or not media.ice.password:
        raise BadRequest("The offer has no ICE credentials.")
    if media.dtls is None or not media.dtls.fingerprints:
        raise BadRequest("The offer has no DTLS fingerprint.")
    if media.kind != "application" and not media.rtcp_mux:
        raise BadRequest("The offer must multiplex RTCP with RTP.")


def _playout_delay_id(media: MediaDescription) -> int | None:
    for extension in media.rtp.headerExtensions if media.kind == "video" else ():
        if extension.uri == PLAYOUT_DELAY_URI and 1 <= extension.id <= 14:
            return int(extension.id)
    return None


def parse_candidate(text: object, *, anywhere: bool = False) -> RTCIceCandidate | None:
    """Return a candidate that may be contacted, or None."""
    if not isinstance(text, str) or len(text) > 512:
        return None
    try:
        candidate = candidate_from_sdp(text.removeprefix("candidate:"))
    except (ValueError, AssertionError, IndexError, KeyError):
        return None
    usable = (
        candidate.protocol.lower() == "udp"
        and candidate.component == 1
        and 0 < candidate.port < 65_536
        and candidate.type in ("host", "srflx", "relay")
        and acceptable_candidate(candidate.ip, anywhere=anywhere)
    )
    return candidate if usable else None
