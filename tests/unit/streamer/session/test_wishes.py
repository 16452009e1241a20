"""What a viewer may want of a session, and what is refused in one sentence."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from visavis.streamer.http.bodies.schemas import Offer
from visavis.streamer.sentences import first_sentence
from visavis.streamer.session.manager import OfferRequest
from visavis.streamer.session.options import Wishes


def offer(data: object, key: str = "request_data") -> OfferRequest:
    return Offer.model_validate({"sdp": "v=0", "type": "offer", key: data}).request()


@pytest.mark.parametrize("data", [{}, None, {"mood": "neutral", "later": "unknown"}])
def test_nothing_said_is_the_servers_way(data: object) -> None:
    assert offer(data) == OfferRequest("v=0", wishes=Wishes(None, "neutral", 1.0))


@pytest.mark.parametrize("key", ["request_data", "requestData"])
def test_wishes_are_taken_from_the_offer(key: str) -> None:
    data = {"look_ahead_ms": 40, "mood": "warm", "style": 0.5, "size": 256, "avatar_id": "a"}
    request = offer(data, key)
    assert request.wishes == Wishes(40, "warm", 0.5)
    assert (request.size, request.avatar_id, request.watch) == (256, "a", None)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"look_ahead_ms": 50}, "request_data.look_ahead_ms must be 0, 40, 80 or 120."),
        ({"look_ahead_ms": False}, "look_ahead_ms must not be true or false."),
        ({"size": True}, "size must not be true or false."),
        ({"look_ahead_ms": 10**400}, "look_ahead_ms must be"),
        ({"size": 500}, "size must be 256, 384 or 512."),
        ({"size": "256"}, "size must be 256, 384 or 512."),
        ({"mood": "furious"}, "mood must be neutral, warm, serious, lively or conversational."),
        ({"mood": "x" * 1000}, "mood must be neutral, warm, serious, lively or conversational."),
        ({"mood": ["warm"]}, "mood must be"),
        ({"style": 2.5}, "style must be a number between 0 and 2."),
        ({"style": float("nan")}, "style must be"),
        ({"style": True}, "style must be"),
        ({"style": "1"}, "style must be"),
        ({"probe": "yes"}, "probe must be true or false."),
        ({"avatar_id": 5}, "avatar_id must be text of at most 256 characters."),
        ([], "request_data must be an object."),
    ],
)
def test_what_cannot_be_granted_is_refused(data: Any, sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        offer(data)
    words = first_sentence(caught.value, Offer, "field")
    assert words.startswith("The field request_data") and sentence in words
