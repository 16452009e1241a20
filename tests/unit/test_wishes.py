"""What a viewer may wish of a session, and what is refused in one sentence."""

from __future__ import annotations

import pytest

from visavis.streamer.errors import BadRequest
from visavis.streamer.session.manager import OfferRequest
from visavis.streamer.session.options import Wishes, read_wishes


def test_nothing_said_is_the_servers_way() -> None:
    assert read_wishes({}) == Wishes(None, "neutral", 1.0)


def test_wishes_are_taken_from_the_offer() -> None:
    data = {"look_ahead_ms": 40, "mood": "warm", "style": 0.5, "size": 256}
    request = OfferRequest.from_json({"sdp": "v=0", "type": "offer", "request_data": data})
    assert request.wishes == Wishes(40, "warm", 0.5)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"look_ahead_ms": 50}, "look_ahead_ms must be 0, 40, 80 or 120"),
        ({"look_ahead_ms": False}, "look_ahead_ms"),
        ({"mood": "furious"}, "mood must be one of neutral, warm, serious, lively"),
        ({"mood": ["warm"]}, "mood"),
        ({"style": 2.5}, "style must be a number from 0 to 2"),
        ({"style": float("nan")}, "style"),
        ({"style": True}, "style"),
        ({"style": "1"}, "style"),
    ],
)
def test_what_cannot_be_granted_is_refused(data: dict[str, object], sentence: str) -> None:
    with pytest.raises(BadRequest, match=sentence):
        read_wishes(data)
