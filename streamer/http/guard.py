"""What every HTTP request passes before a route sees it.

The order is: is this our host name (DNS rebinding), may this origin write, is the token right, is
the body small enough. Answers carry the security headers.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from visavis.streamer.config import Config, ServerConfig
from visavis.streamer.errors import BadRequest, Forbidden, TooLarge, VisavisError

JSON_SLACK = 16 * 1024  # JSON around an offer
FORM_SLACK = 64 * 1024  # multipart around a photo
SMALL_BODY = 64 * 1024
_SAFE = ("GET", "HEAD", "OPTIONS")
_METHODS = "GET, POST, PATCH, DELETE, OPTIONS"
_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob: mediastream:; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(self), microphone=(self), geolocation=()",
    "cross-origin-opener-policy": "same-origin",
}


class Unauthorized(VisavisError):
    """The token is missing or wrong."""

    status = 401


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
                await _answer(send_safely, 204 if allowed else 403)
                return
            if scope["method"] not in _SAFE:
                self._check_origin(scope, headers, origin, bool(allowed))
            self._check_token(scope, headers)
            limit = self._body_limit(scope)
            _check_length(headers, limit)
        except VisavisError as error:
            self._refused(error.status)
            await _answer(send_safely, error.status, {"error": str(error)})
            return
        await self._app(scope, _limited(receive, limit), send_safely)

    def _decorate(self, headers: MutableHeaders, allowed: str) -> None:
        for name, value in _HEADERS.items():
            headers.setdefault(name, value)
        if allowed:
            headers["access-control-allow-origin"] = allowed
            headers["access-control-allow-methods"] = _METHODS
            headers["access-control-allow-headers"] = "authorization, content-type"
            headers["access-control-expose-headers"] = "retry-after"
            headers["vary"] = "Origin"

    def _check_host(self, headers: Headers) -> None:
        name = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        try:
            ipaddress.ip_address(name)
        except ValueError:
            if name.lower() not in self._hosts:
                raise Forbidden("This server does not answer to that host name.") from None

    def _check_origin(self, scope: Scope, headers: Headers, origin: str, allowed: bool) -> None:
        own = f"{scope.get('scheme', 'http')}://{headers.get('host', '')}"
        if origin:
            if origin != own and not allowed:
                raise Forbidden("Requests from this web page's origin are not allowed.")
        elif headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise Forbidden("Requests from other web pages are not allowed.")

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


async def _answer(send: Send, status: int, body: dict[str, str] | None = None) -> None:
    data = json.dumps(body).encode() if body else b""
    headers = [(b"content-length", str(len(data)).encode())]
    if data:
        headers.append((b"content-type", b"application/json"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})
