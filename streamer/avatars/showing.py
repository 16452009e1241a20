"""Photos that a browser cannot open, made into ones that it can, before anybody agrees to them."""

from __future__ import annotations

import asyncio
from typing import Final

from visavis.models.appearance.photo.errors import EnrolmentRefused
from visavis.models.appearance.photo.upload import is_bundle
from visavis.streamer.avatars.enrolment import EnrolmentFailed, PhotoJob, read_photo
from visavis.streamer.avatars.sandbox import demanded
from visavis.streamer.config import LimitsConfig
from visavis.streamer.errors import Unprocessable

_OPEN_S: Final = 30.0


class PhotoOpener:
    """Opens one photo at a time, in the same confined child as an enrolment; nothing is kept.

    Args:
        limits: on a photo.
    """

    def __init__(self, limits: LimitsConfig) -> None:
        self._limits = limits
        self._turn = asyncio.Semaphore(1)

    async def open(self, data: bytes) -> bytes:
        """Return a photo as a JPEG that any browser shows: upright, scaled down, only pixels.

        Raises:
            Unprocessable: it cannot be opened, or is no photo; the sentence says why.
        """
        if is_bundle(data):
            raise Unprocessable("A saved avatar is no photo.", code="not-picture")
        try:
            async with self._turn:
                job = PhotoJob(
                    size=0,
                    timeout_s=_OPEN_S,
                    max_bytes=self._limits.photo_bytes,
                    max_pixels=self._limits.photo_pixels,
                    demand=demanded(self._limits.photo_sandbox),
                    show=True,
                )
                read = await read_photo(data, job)
        except EnrolmentRefused as refusal:
            raise Unprocessable(str(refusal), code=refusal.code) from None
        except EnrolmentFailed as failure:
            raise Unprocessable(str(failure), code="broken") from None
        return read.result.preview
