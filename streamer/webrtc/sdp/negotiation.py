"""Between the client's view of the sections and aiortc's, over any number of offers.

aiortc finds sections by their place, knows no refusal and cannot take a section away again. So it
is shown sections in an order of our own that only grows: those served, in the order in which they
first came; one that the client has stopped stays in it as inactive. Refused ones it never sees.
Answers are put back into the client's order, refusals and recycled sections included.
"""

from __future__ import annotations

import re
from dataclasses import replace

from visavis.streamer.errors import BadRequest
from visavis.streamer.webrtc.sdp.signaling import Offer, Section

PTIME_MS = 10  # of Opus, both ways
_DIRECTIONS = ("a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive")


class Negotiation:
    """The sections of one connection."""

    def __init__(self) -> None:
        self._served: dict[str, Section] = {}  # the last of each, in aiortc's order
        self._bundle: list[str] | None = None  # as aiortc has it; None before the first offer

    def fresh(self, offer: Offer) -> list[Section]:
        """Return the sections that are served for the first time."""
        return [s for s in offer.sections if s.served and s.mid not in self._served]

    def for_aiortc(self, offer: Offer) -> str:
        """Return the offer as aiortc is to see it.

        Raises:
            BadRequest: a section has become one of another kind.
        """
        now = {section.mid: section for section in offer.sections if section.served}
        for mid, section in now.items():
            if mid in self._served and self._served[mid].kind != section.kind:
                raise BadRequest("A media section of the offer has changed its kind.")
        served = {mid: now.get(mid) or _stopped(old) for mid, old in self._served.items()}
        served.update((mid, section) for mid, section in now.items() if mid not in served)
        self._served = served
        if self._bundle is None:
            self._bundle = [mid for mid in offer.bundle if mid in now]
        else:
            # The first one carries the transport, which must not be taken for a follower's.
            self._bundle += [m for m in offer.bundle if m in now and m not in self._bundle]
        head = [line for line in offer.head if not line.startswith("a=group:")]
        if self._bundle:
            head.append("a=group:BUNDLE " + " ".join(self._bundle))
        lines = [*head, *(line for section in served.values() for line in section.lines)]
        return "\r\n".join(lines) + "\r\n"

    def for_client(self, answer: str, offer: Offer) -> str:
        """Return aiortc's answer in the order of the offer."""
        head, *blocks = re.split(r"^(?=m=)", answer, flags=re.MULTILINE)
        by_mid = {_mid(block): block for block in blocks}
        taken = [s for s in offer.sections if s.served and s.mid in by_mid]
        bundle = [s.mid for s in taken if s.mid in offer.bundle]
        lines = [line for line in head.splitlines() if not line.startswith("a=group:")]
        if bundle:
            lines.append("a=group:BUNDLE " + " ".join(bundle))
        for section in offer.sections:
            if section in taken:
                lines += _short_packets(by_mid[section.mid].splitlines())
            else:
                lines += _refused(section)
        return "\r\n".join(lines) + "\r\n"


def _mid(block: str) -> str:
    found = re.search(r"^a=mid:(\S+)", block, re.MULTILINE)
    return found[1] if found else ""


def _stopped(section: Section) -> Section:
    lines = [line for line in section.lines if line not in _DIRECTIONS]
    return replace(section, lines=(*lines, "a=inactive"), direction="inactive")


def _refused(section: Section) -> list[str]:
    """Return a section with port 0 (RFC 3264, section 6)."""
    kind, _, rest = section.lines[0].removeprefix("m=").split(" ", 2)
    return [f"m={kind} 0 {rest}", "c=IN IP4 0.0.0.0", f"a=mid:{section.mid}", "a=inactive"]


def _short_packets(lines: list[str]) -> list[str]:
    """Ask for 10 ms Opus packets in one section of an answer.

    In-band redundancy is not asked for: FFmpeg's decoder, which is ours, cannot read it, and it
    would cost the client's line a third of the sound's bits.
    """
    found = (re.match(r"a=rtpmap:(\d+) opus/", line) for line in lines)
    opus = next((match[1] for match in found if match), None)
    if opus is None:
        return lines
    out: list[str] = []
    for line in lines:
        if line.startswith(f"a=fmtp:{opus} "):
            continue
        out.append(line)
        if line.startswith(f"a=rtpmap:{opus} "):
            out.append(f"a=fmtp:{opus} minptime={PTIME_MS};useinbandfec=0;stereo=0;usedtx=0")
            out.append(f"a=ptime:{PTIME_MS}")
            out.append(f"a=maxptime:{2 * PTIME_MS}")
    return out
