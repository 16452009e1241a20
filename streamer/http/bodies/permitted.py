"""An avatar as it is answered, with why it may not be shown now."""

from __future__ import annotations

from visavis.streamer.avatars.record import AvatarRecord
from visavis.streamer.errors import VisavisError
from visavis.streamer.http.bodies.schemas import Avatar
from visavis.streamer.trust.consents import Consents


def with_refusal(record: AvatarRecord, consents: Consents) -> Avatar:
    """Return an avatar; a ready one without a consent for calls says so.

    A page that showed it like any other would have people choose it and be refused afterwards.
    """
    shown = Avatar.model_validate(record)
    if record.status != "ready":
        return shown
    try:
        consents.check(record.id, "call")
    except VisavisError as error:
        return shown.model_copy(update={"refusal": str(error), "refusal_code": error.code})
    return shown
