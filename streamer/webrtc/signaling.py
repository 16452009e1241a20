"""Offers in, answers out: what is checked before aiortc sees an offer, what is added after."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from aiortc import RTCIceCandidate, RTCPeerConnection
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters
from aiortc.sdp import SessionDescription, candidate_from_sdp

from visavis.streamer.config import LimitsConfig
from visavis.streamer.errors import BadRequest, TooLarge
from visavis.streamer.webrtc.ice import acceptable_candidate
from visavis.streamer.webrtc.rtcp import PLAYOUT_DELAY_URI

MAX_SECTIONS = 8
PTIME_MS = 10  # of Opus, both ways
_LINE = re.compile(r"^[a-z]=[^\x00\r\n]*$")
_UNREADABLE = "The offer is not a session description that can be read."
AUDIO_CODECS = ("opus", "pcmu", "pcma", "g722")
VIDEO_CODECS = ("vp8", "h264")


@dataclass(frozen=True)
class Offer:
    """An offer that aiortc may be given.

    Attributes:
        sdp: without candidates that may not be contacted.
        playout_delay_id: id of that header extension in the video section, if offered.
    """

    sdp: str
    playout_delay_id: int | None


def check_offer(sdp: object, kind: object, limits: LimitsConfig) -> Offer:
    """Check an offer and take out what must not reach the ICE agent.

    Raises:
        TooLarge: it exceeds the limit.
        BadRequest: it is no offer, or has no audio or no video section that can be served.
    """
    if not isinstance(sdp, str) or not isinstance(kind, str):
        raise BadRequest("The offer must have the fields sdp and type.")
    if kind != "offer":
        raise BadRequest("The type of the description must be offer.")
    if len(sdp.encode("utf-8", "surrogatepass")) > limits.offer_bytes:
        raise TooLarge(f"The offer is larger than {limits.offer_bytes // 1024} KB.")
    lines = _clean(sdp.splitlines(), limits.candidates)
    text = "\r\n".join(lines) + "\r\n"
    try:
        description = SessionDescription.parse(text)
    except Exception as error:  # a parser of strangers' text raises whatever it likes
        raise BadRequest(_UNREADABLE) from error
    _check_sections(description)
    return Offer(text, _playout_delay_id(description))


def _clean(lines: Iterable[str], most_candidates: int) -> list[str]:
    out, candidates, sections = [], 0, 0
    for line in lines:
        if not line:
            continue
        if not _LINE.match(line):
            raise BadRequest(_UNREADABLE)
        if line.startswith("m="):
            sections += 1
            candidates = 0  # the limit is for each transport; unbundled offers have several
        if line.startswith("a=candidate:"):
            candidates += 1
            if candidates > most_candidates:
                raise BadRequest(f"A section has more than {most_candidates} candidates.")
            if parse_candidate(line[2:]) is None:
                continue
        if line.startswith(("a=end-of-candidates", "a=ice-lite")):
            continue  # a viewer whose candidates were left out may still speak first
        out.append(line)
    if not sections:
        raise BadRequest(_UNREADABLE)
    if sections > MAX_SECTIONS:
        raise BadRequest(f"The offer has more than {MAX_SECTIONS} media sections.")
    return _with_ports(out)


def _with_ports(lines: list[str]) -> list[str]:
    """Give sections that exist only in a bundle a port, as aiortc takes port 0 for a refusal.

    Firefox offers all sections but the first that way (RFC 8843, 7.2.1).
    """
    out, media = [], -1
    for line in lines:
        if line.startswith("m="):
            media = len(out)
        elif line == "a=bundle-only" and media >= 0:
            out[media] = re.sub(r"^(m=\S+) 0 ", r"\1 9 ", out[media])
            continue
        out.append(line)
    return out


def _check_sections(description: SessionDescription) -> None:
    sections = description.media
    for kind, codecs, purpose in (
        ("audio", AUDIO_CODECS, "for the microphone"),
        ("video", VIDEO_CODECS, "to show the avatar in"),
    ):
        found = [m for m in sections if m.kind == kind and m.port != 0]
        if not found:
            raise BadRequest(f"The offer has no {kind} section {purpose}.")
        names = {c.mimeType.lower().split("/")[-1] for c in found[0].rtp.codecs}
        if not names & set(codecs):
            wanted = ", ".join(c.upper() if c != "opus" else "Opus" for c in codecs)
            raise BadRequest(f"The offer has no {kind} codec in common; {wanted} can be served.")
    mids = [m.rtp.muxId for m in sections]
    if "" in mids or len(set(mids)) != len(mids):
        raise BadRequest("The offer's media sections need an identification (a=mid) each.")
    for media in sections:
        if media.kind not in ("audio", "video", "application"):
            raise BadRequest(f"The offer has a media section of unknown kind {media.kind!r}.")
        if not media.ice.usernameFragment or not media.ice.password:
            raise BadRequest("The offer has no ICE credentials.")
        if media.dtls is None or not media.dtls.fingerprints:
            raise BadRequest("The offer has no DTLS fingerprint.")
        if media.kind != "application" and not media.rtcp_mux:
            raise BadRequest("The offer must multiplex RTCP with RTP.")


def _playout_delay_id(description: SessionDescription) -> int | None:
    for media in description.media:
        if media.kind == "video":
            for extension in media.rtp.headerExtensions:
                if extension.uri == PLAYOUT_DELAY_URI and 1 <= extension.id <= 14:
                    return extension.id
            return None
    return None


def parse_candidate(text: object) -> RTCIceCandidate | None:
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
        and acceptable_candidate(candidate.ip)
    )
    return candidate if usable else None


def negotiate_extensions(peer: RTCPeerConnection, offer: Offer) -> None:
    """Accept ``playout-delay``; between setting the offer and making the answer."""
    if offer.playout_delay_id is None:
        return
    for transceiver in peer.getTransceivers():
        if transceiver.kind == "video":
            transceiver._headerExtensions.append(
                RTCRtpHeaderExtensionParameters(id=offer.playout_delay_id, uri=PLAYOUT_DELAY_URI)
            )
            return


def finish_answer(sdp: str) -> str:
    """Ask for 10 ms Opus packets with in-band redundancy in an answer."""
    lines = sdp.splitlines()
    opus = next((m.group(1) for ln in lines if (m := re.match(r"a=rtpmap:(\d+) opus/", ln))), None)
    if opus is None:
        return sdp
    out = []
    for line in lines:
        if line.startswith(f"a=fmtp:{opus} "):
            continue
        out.append(line)
        if line.startswith(f"a=rtpmap:{opus} "):
            out.append(f"a=fmtp:{opus} minptime={PTIME_MS};useinbandfec=1;stereo=0;usedtx=0")
            out.append(f"a=ptime:{PTIME_MS}")
            out.append(f"a=maxptime:{2 * PTIME_MS}")
    return "\r\n".join(out) + "\r\n"
