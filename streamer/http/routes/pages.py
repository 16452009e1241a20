"""The pages and the embeddable client; browsers ask each time, so two versions never meet."""

from __future__ import annotations

import asyncio
import os

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.types import Scope

from visavis.streamer.errors import NotFound
from visavis.streamer.http.routes.services import Served
from visavis.streamer.http.security.tls import own_certificate
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


@router.get("/login")
async def login() -> FileResponse:
    """Where somebody says who they are."""
    return _page("login.html")


@router.get("/verify")
async def verify() -> FileResponse:
    """Where somebody has a video looked at."""
    return _page("verify.html")


@router.get("/stage/{view_id}")
async def stage(view_id: str) -> FileResponse:
    """A session's picture and nothing else, for a browser source; the page reads its address."""
    return _page("stage.html")


@router.get("/client.js")
async def client() -> FileResponse:
    """The embeddable client."""
    return _page("client.js")


@router.get("/visavis-ca.crt")
async def authority(served: Served) -> Response:
    """The authority behind a self-signed certificate, for a device to trust."""
    if not served.config.server.tls_self_signed:
        raise NotFound("This server has no authority of its own.", code="no-authority")
    data = await asyncio.to_thread(lambda: own_certificate(served.config).authority.read_bytes())
    named = 'attachment; filename="visavis-ca.crt"'
    headers = {"content-disposition": named, **_FRESH}
    return Response(data, media_type="application/x-x509-ca-cert", headers=headers)


def _page(name: str) -> FileResponse:
    path = STATIC_DIR / name
    if not path.is_file():
        raise NotFound("This page does not exist.")
    return FileResponse(path, headers=_FRESH)
