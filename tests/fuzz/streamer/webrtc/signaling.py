"""Offers and candidates: typed errors only, whatever is sent."""

from __future__ import annotations

from visavis.streamer.config import LimitsConfig
from visavis.streamer.errors import VisavisError
from visavis.streamer.webrtc.sdp.negotiation import Negotiation
from visavis.streamer.webrtc.sdp.signaling import check_offer, parse_candidate

LIMITS = LimitsConfig()


def target(data: bytes) -> None:
    """Check an offer as the server does, twice: the second one changes the first."""
    text = data.decode("utf-8", "replace")
    for line in text.splitlines()[:50]:
        parse_candidate(line.removeprefix("a="))
    negotiation = Negotiation()
    for part in (text, *text.split("\0")[1:3]):
        try:
            offer = check_offer(part, "offer", LIMITS)
            negotiation.fresh(offer)
            negotiation.for_client(negotiation.for_aiortc(offer), offer)
        except VisavisError as error:
            assert str(error).endswith(".") and "\n" not in str(error)
