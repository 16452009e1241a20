"""Bodies of requests: refused by pydantic or read, and then usable."""

from __future__ import annotations

from pydantic import ValidationError

from visavis.streamer.errors import VisavisError
from visavis.streamer.http.bodies.schemas import Candidates, Offer, PhotoForm
from visavis.streamer.sentences import first_sentence


def target(data: bytes) -> None:
    """Read the bytes as each body there is."""
    for body in (Offer, Candidates, PhotoForm):
        try:
            body.model_validate_json(data)
        except ValidationError as error:
            assert first_sentence(error, body, "field").endswith(".")
        except VisavisError as error:
            assert str(error).endswith(".")
