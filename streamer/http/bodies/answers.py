"""Errors as answers: one sentence and one code, whatever went wrong."""

from __future__ import annotations

import html
import logging
from collections.abc import Callable, MutableMapping
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from visavis.streamer.errors import (
    AtCapacity,
    BadRequest,
    NotFound,
    TooManyTries,
    TooSlow,
    Unauthorized,
    UnsupportedMedia,
    VisavisError,
)
from visavis.streamer.http.bodies.schemas import ErrorAnswer
from visavis.streamer.sentences import sentence

logger = logging.getLogger(__name__)
_BY_STATUS: Final = {
    400: ("bad-request", "The request cannot be read."),
    404: ("not-found", "There is nothing at this address."),
    405: ("method-not-allowed", "This address does not take that."),
    413: ("too-large", "The request is too large."),
}
# Without styles or scripts: an address of any depth can be wrong, and they are named relatively.
_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>{words} - Vis-\u00e0-vis</title>
</head>
<body>
<h1>{words}</h1>
<p>{links}</p>
</body>
</html>
"""
_PARSED: Final = {"int": "a whole number", "float": "a number", "bool": "true or false"}
_API: Final = "/api/"
_NEVER_SENT: Final = 400  # to a client that has gone
DESCRIBED: Final[dict[int | str, dict[str, Any]]] = {
    "4XX": {"model": ErrorAnswer, "description": "It cannot be done; the sentence says why."},
    "5XX": {"model": ErrorAnswer, "description": "Not now, or something is broken here."},
}


def error_answer(error: VisavisError) -> JSONResponse:
    """Return an error as it is served."""
    headers: dict[str, str] = {}
    if isinstance(error, AtCapacity | TooManyTries):
        headers["Retry-After"] = str(error.retry_after_s)
    elif isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    elif isinstance(error, TooSlow):
        headers["Connection"] = "close"  # the rest of the body would be taken for a request
    return _json(error.status, error.code, str(error), headers)


def _json(
    status: int, code: str, words: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    body = ErrorAnswer(code=code, error=words)
    return JSONResponse(body.model_dump(), status, headers)


def handle_errors(app: FastAPI, count: Callable[[int], None]) -> None:
    """Answer every error of an application in the same form.

    Args:
        app: gets the handlers.
        count: told the status of every refusal.
    """

    @app.exception_handler(VisavisError)
    async def known(request: Request, error: VisavisError) -> Response:
        count(error.status)
        path = str(request.scope["path"]).removeprefix(_root(request.scope))
        if isinstance(error, NotFound) and _is_opened(request) and not path.startswith(_API):
            return _page(request.scope, 404, str(error))
        return error_answer(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        refusal = _about_body(request, error)
        count(refusal.status)
        return error_answer(refusal)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        count(error.status_code)
        if error.status_code == 404 and _is_opened(request):
            return _page(request.scope, 404, _BY_STATUS[404][1])
        if isinstance(error.__cause__, VisavisError):  # FastAPI wraps what reading a body raises
            return error_answer(error.__cause__)
        usual = ("http-error", str(error.detail))
        return _json(error.status_code, *_BY_STATUS.get(error.status_code, usual))

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=_NEVER_SENT)  # nobody is there to read more, or to be logged

    @app.exception_handler(Exception)
    async def unknown(request: Request, error: Exception) -> JSONResponse:
        count(500)
        logger.error("request failed", exc_info=error)
        return _json(500, "internal", "Something went wrong on the server.")


def _is_opened(request: Request) -> bool:
    """Whether a browser opens an address as a page."""
    return request.method == "GET" and "text/html" in request.headers.get("accept", "")


def refusal_for(
    error: VisavisError, scope: MutableMapping[str, Any], accept: str
) -> JSONResponse | HTMLResponse:
    """Return an error as a program takes it or, where a browser asks for a page, as one.

    A browser that opens an address sends no token, so what it is refused for that is no page of
    ours, and the way on is to sign in or to go home.
    """
    opens = scope.get("method") == "GET" and "text/html" in accept
    if isinstance(error, Unauthorized) and opens:
        return _page(scope, error.status, str(error), sign_in=True)
    return error_answer(error)


def _root(scope: MutableMapping[str, Any]) -> str:
    """Return below what path this server lies; what is mounted in it has a root of its own."""
    return str(scope.get("app_root_path", scope.get("root_path", ""))).rstrip("/")


def _page(
    scope: MutableMapping[str, Any], status: int, words: str, *, sign_in: bool = False
) -> HTMLResponse:
    home = html.escape(_root(scope) + "/")  # behind a proxy's path
    ways = [("", "All avatars"), ("call/", "Calls")]
    links = " \u00b7 ".join(
        f'<a href="{home}{path}">{name}</a>'
        for path, name in ([("login", "Sign in")] if sign_in else []) + ways
    )
    return HTMLResponse(_PAGE.format(words=html.escape(words), links=links), status)


def _about_body(request: Request, error: RequestValidationError) -> VisavisError:
    first = error.errors()[0]
    place = tuple(first["loc"])
    if first["type"] == "json_invalid":
        return BadRequest("The body is not valid JSON.", code="not-json")
    if place[:1] != ("body",):
        name = ".".join(str(part) for part in place[1:])
        parsed, _, problem = str(first["type"]).partition("_")
        if parsed in _PARSED and problem.startswith(("parsing", "from", "type")):
            return BadRequest(f"The parameter {name} must be {_PARSED[parsed]}.")
        return BadRequest(f"The parameter {name} is not what it must be: {first['msg'].lower()}.")
    if not _is_json(request.headers.get("content-type", "")):
        return UnsupportedMedia("The body must be JSON, sent as application/json.")
    model = _body_model(request)
    if model is None or len(place) == 1:
        return BadRequest("The body must be a JSON object.")
    return BadRequest(sentence(first["type"], place[1:], first["msg"], model, "field"))


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (
        kind.startswith("application/") and kind.endswith("+json")
    )


def _body_model(request: Request) -> type[BaseModel] | None:
    """Return the model of the route's body, which knows what may stand in each field."""
    field = getattr(request.scope.get("route"), "body_field", None)
    model = getattr(getattr(field, "field_info", None), "annotation", None)
    return model if isinstance(model, type) and issubclass(model, BaseModel) else None
