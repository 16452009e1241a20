"""What every HTTP request passes before a route sees it.

The order is: is this our host name (DNS rebinding), may this origin write, is the token right, is
the body small enough. Answers carry the security headers.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from visavis.streamer.config import Config, ServerConfig
from visavis.streamer.errors import (
    BadRequest,
    Forbidden,
    TooLarge,
    Unauthorized,
    VisavisError,
)
from visavis.streamer.http.answers import error_answer
from visavis.streamer.http.forms import FORM_SLACK

JSON_SLACK: Final = 16 * 1024  # JSON around an offer
SMALL_BODY: Final = 64 * 1024
_SAFE: Final = ("GET", "HEAD", "OPTIONS")
_CORS: Final = {
    "access-control-allow-methods": "GET, HEAD, POST, PATCH, DELETE, OPTIONS",
    # The last two are WHEP's, whose ICE restarts name the version they replace.
    "access-control-allow-headers": "authorization, content-type, if-match, if-none-match",
    "access-control-expose-headers": "location, link, etag, retry-after, accept-patch",
    "access-control-max-age": "600",
    "vary": "Origin",
}
_OTHER_HOST: Final = "This server does not answer to that host name."
_OTHER_ORIGIN: Final = "Requests from other web pages than those allowed are refused."
_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob: mediastream:; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(self), microphone=(self), geolocation=()",
    "cross-origin-opener-policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Whether a bind address is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_exposure(server: ServerConfig) -> None:
    """Refuse to serve others without a token.

    Raises:
        BadRequest: the host is not loopback and there is no token.
    """
    if not is_loopback(server.host) and not server.token:
        raise BadRequest(
            f"Serving on {server.host} lets others in, so set a token first: VISAVIS_TOKEN=..."
        )


class Guard:
    """ASGI middleware.

    Args:
        app: what is guarded.
        config: origins, token and limits.
        refused: told the status of every refusal.
    """

    def __init__(self, app: ASGIApp, config: Config, refused: Callable[[int], None]) -> None:
        self._app = app
        self._config = config
        self._refused = refused
        names = {"localhost", config.server.host, socket.gethostname()}
        names |= {urlsplit(o).hostname or "" for o in config.server.allowed_origins}
        self._hosts = {name.lower() for name in names if name}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, then pass on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin", "")
        allowed = origin if origin in self._config.server.allowed_origins else ""

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._decorate(MutableHeaders(scope=message), allowed)
            await send(message)

        try:
            self._check_host(headers)
            if scope["method"] == "OPTIONS" and origin:
                if not allowed:
                    raise Forbidden(_OTHER_ORIGIN, code="origin")
                await Response(status_code=204)(scope, receive, send_safely)
                return
            if scope["method"] not in _SAFE:
                self._check_origin(scope, headers, origin, bool(allowed))
            self._check_token(scope, headers)
            limit = self._body_limit(scope)
            _check_length(headers, limit)
        except VisavisError as error:
            self._refused(error.status)
            await error_answer(error)(scope, receive, send_safely)
            return
        if scope["method"] == "HEAD":  # what GET answers, without the body
            scope = {**scope, "method": "GET"}
            send_safely = _without_body(send_safely)
        await self._app(scope, _limited(receive, limit), send_safely)

    def _decorate(self, headers: MutableHeaders, allowed: str) -> None:
        for name, value in _HEADERS.items():
            headers.setdefault(name, value)
        if allowed:
            headers["access-control-allow-origin"] = allowed
            headers.update(_CORS)

    def _check_host(self, headers: Headers) -> None:
        try:
            name = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        except ValueError:
            raise BadRequest("The Host header cannot be read.", code="host") from None
        try:
            ipaddress.ip_address(name)
        except ValueError:
            if name.lower() not in self._hosts:
                raise Forbidden(_OTHER_HOST, code="host") from None

    def _check_origin(self, scope: Scope, headers: Headers, origin: str, allowed: bool) -> None:
        own = f"{scope.get('scheme', 'http')}://{headers.get('host', '')}"
        if origin:
            if origin != own and not allowed:
                raise Forbidden(_OTHER_ORIGIN, code="origin")
        elif headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise Forbidden(_OTHER_ORIGIN, code="origin")

    def _check_token(self, scope: Scope, headers: Headers) -> None:
        token = self._config.server.token
        path = scope["path"]
        needs = path.startswith(("/api/", "/offer", "/metrics", "/openapi.json"))
        if not token or not needs:
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        same = hmac.compare_digest(given.strip().encode(), token.encode())
        if scheme.lower() != "bearer" or not same:
            raise Unauthorized("This server asks for an access token.")

    def _body_limit(self, scope: Scope) -> int:
        limits = self._config.limits
        if scope["path"] == "/api/avatars":
            return limits.photo_bytes + FORM_SLACK
        if scope["path"] in ("/api/offer", "/offer") or scope["path"].startswith("/api/whep/"):
            return 2 * limits.offer_bytes + JSON_SLACK  # escapes can double a text
        return SMALL_BODY


def _check_length(headers: Headers, limit: int) -> None:
    length = headers.get("content-length", "0")
    if not length.isdigit():
        raise BadRequest("The content length is not a number.")
    if int(length) > limit:
        raise TooLarge(f"The request is larger than {limit // 1000} kB.")


def _limited(receive: Receive, limit: int) -> Receive:
    """Stop reading a body that turns out longer than it may be."""
    read = 0

    async def limited() -> Message:
        nonlocal read
        message = await receive()
        if message["type"] == "http.request":
            read += len(message.get("body", b""))
            if read > limit:
                raise TooLarge(f"The request is larger than {limit // 1000} kB.")
        return message

    return limited


def _without_body(send: Send) -> Send:
    async def headers_only(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return headers_only
