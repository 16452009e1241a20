"""A photo and its fields out of a form, in memory from the first byte to the last."""

from __future__ import annotations

from typing import Any, Final

from fastapi import Request
from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from visavis.streamer.errors import BadRequest, TooLarge
from visavis.streamer.http.bodies.schemas import PhotoForm
from visavis.streamer.sentences import first_sentence

FORM_SLACK: Final = 64 * 1024  # bytes of multipart around a photo
_FIELDS, _FIELD_BYTES = 8, 16 * 1024
_CONSENT: Final = "The person in the photo must have agreed: consent must be true."


async def read_photo(request: Request, most: int) -> tuple[bytes, PhotoForm]:
    """Return the bytes of a photo, and the fields beside it.

    Nothing is written to a disk, as photos are promised never to be: what a part holds stays in
    memory up to the size that the whole body may have.

    Args:
        request: ``multipart/form-data``.
        most: bytes that the photo may have.

    Raises:
        BadRequest: it is no such form, or a field is missing or wrong.
        TooLarge: the photo is larger.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise BadRequest("The body is not a form with a photo.", code="no-photo")
    parser = MultiPartParser(
        request.headers,
        request.stream(),
        max_files=1,
        max_fields=_FIELDS,
        max_part_size=_FIELD_BYTES,
    )
    parser.spool_max_size = most + FORM_SLACK + 1  # more never comes in: the guard counts
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise BadRequest(f"The form cannot be read: {error.message.rstrip('.')}.") from error
    try:
        photo = form.get("photo")
        if not isinstance(photo, UploadFile):
            raise BadRequest("The photo is missing.", code="no-photo")
        data = await photo.read()
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
    finally:
        await form.close()
    if len(data) > most:
        raise TooLarge(f"The photo is larger than {most / 1e6:g} MB.", code="photo-too-large")
    return data, _fields(fields)


def _fields(values: dict[str, str]) -> PhotoForm:
    try:
        return PhotoForm.model_validate(values)
    except ValidationError as error:
        if error.errors()[0]["loc"] == ("consent",):
            raise BadRequest(_CONSENT, code="no-consent") from None
        raise BadRequest(first_sentence(error, PhotoForm, "field")) from None


def describe_form() -> dict[str, Any]:
    """Return the form as ``/openapi.json`` describes it."""
    schema = PhotoForm.model_json_schema()
    schema["properties"] = {
        "photo": {
            "type": "string",
            "format": "binary",
            "description": "JPEG, PNG, WEBP, HEIC, AVIF, GIF or BMP.",
        },
        **schema["properties"],
    }
    schema["required"] = ["photo", *schema["required"]]
    content = {"multipart/form-data": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}
