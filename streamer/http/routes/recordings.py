"""Recordings: every one for the server's owner, for a token those that were made with it."""

from __future__ import annotations

import re
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict
from starlette.concurrency import iterate_in_threadpool

from visavis.streamer.http.bodies.answers import DESCRIBED
from visavis.streamer.http.routes.services import Served
from visavis.streamer.rooms.recording.opened import Opened
from visavis.streamer.trust.callers import CALLER

router = APIRouter(prefix="/api/recordings", tags=["recordings"], responses=DESCRIBED)
_RANGE: Final = re.compile(r"bytes=(?=\d|-\d)(\d{0,18})-(\d{0,18})")
FRESH: Final = {"cache-control": "no-store"}


class Recordings(BaseModel):
    """Recordings that this bearer may fetch, the newest first."""

    model_config = ConfigDict(frozen=True)

    recordings: list[dict[str, Any]]


@router.get("")
async def list_recordings(served: Served) -> Recordings:
    """The recordings of all sessions and calls."""
    return Recordings(recordings=served.archive.all(CALLER.get()))


def send_file(request: Request, opened: Opened) -> Response:
    """Return a recorded file as it is served: sealed ones are decrypted on the way.

    One range of bytes is answered as a player asks for it (RFC 9110, 14.2), others with the whole.
    """
    if opened.stream is None:
        return FileResponse(opened.path, media_type=opened.media_type, headers=FRESH)
    start, end, status = 0, opened.size, 200
    headers = {**FRESH, "accept-ranges": "bytes"}
    if found := _RANGE.fullmatch(request.headers.get("range", "")):
        first, last = found.groups()
        if first:
            start, end = int(first), min(end, int(last) + 1 if last else end)
        else:
            start = max(0, end - int(last))
        if start >= end:
            opened.stream.close()
            headers["content-range"] = f"bytes */{opened.size}"
            return Response(status_code=416, headers=headers)
        status = 206
        headers["content-range"] = f"bytes {start}-{end - 1}/{opened.size}"
    headers["content-length"] = str(end - start)
    blocks = iterate_in_threadpool(opened.blocks(start, end))
    return StreamingResponse(blocks, status, headers, media_type=opened.media_type)


@router.get(
    "/{recording}/{file}",
    response_class=Response,
    responses={200: {"description": "The film.", "content": {"video/mp4": {}, "video/webm": {}}}},
)
async def recorded_file(served: Served, request: Request, recording: str, file: str) -> Response:
    """One file of a recording."""
    return send_file(request, served.archive.any_file(recording, file, CALLER.get()))


@router.delete("/{recording}", status_code=204, response_class=Response)
async def erase_recording(served: Served, recording: str) -> Response:
    """Erase a recording."""
    served.archive.erase_any(recording, CALLER.get())
    return Response(status_code=204)
