"""The pages and the embeddable client; browsers ask each time, so two versions never meet."""

from __future__ import annotations

import os

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.types import Scope

from visavis.streamer.errors import NotFound
from visavis.web import STATIC_DIR

router = APIRouter(include_in_schema=False)
_FRESH = {"cache-control": "no-cache"}


class Static(StaticFiles):
    """The pages' parts."""

    def __init__(self) -> None:
        super().__init__(directory=STATIC_DIR)

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """Return a file that is asked for anew each time."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(_FRESH)
        return response


@router.get("/")
async def index() -> FileResponse:
    """The page."""
    return _page("index.html")


@router.get("/client.js")
async def client() -> FileResponse:
    """The embeddable client."""
    return _page("client.js")


def _page(name: str) -> FileResponse:
    path = STATIC_DIR / name
    if not path.is_file():
        raise NotFound("This page does not exist.")
    return FileResponse(path, headers=_FRESH)
