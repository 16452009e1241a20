"""Every recording of the server, for whoever may do what its owner may."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict

from visavis.streamer.http.bodies.answers import DESCRIBED
from visavis.streamer.http.routes.services import Served

router = APIRouter(prefix="/api/recordings", tags=["recordings"], responses=DESCRIBED)
FRESH: Final = {"cache-control": "no-store"}


class Recordings(BaseModel):
    """Recordings that this bearer may fetch, the newest first."""

    model_config = ConfigDict(frozen=True)

    recordings: list[dict[str, Any]]


@router.get("")
async def list_recordings(served: Served) -> Recordings:
    """The recordings of all sessions and calls."""
    return Recordings(recordings=served.archive.all())


@router.get(
    "/{recording}/{file}",
    response_class=FileResponse,
    responses={200: {"description": "The film.", "content": {"video/mp4": {}, "video/webm": {}}}},
)
async def recorded_file(served: Served, recording: str, file: str) -> FileResponse:
    """One file of a recording."""
    return FileResponse(served.archive.any_file(recording, file), headers=FRESH)


@router.delete("/{recording}", status_code=204, response_class=Response)
async def erase_recording(served: Served, recording: str) -> Response:
    """Erase a recording."""
    served.archive.erase_any(recording)
    return Response(status_code=204)
