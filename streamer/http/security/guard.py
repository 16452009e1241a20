"""What every HTTP request passes before a route sees it.

The order is: is this our host name (DNS rebinding), may this origin write, is the token right, is
the body small enough and sent fast enough. Answers carry the security headers.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import socket
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from visavis.streamer.config import Config, ServerConfig
from visavis.streamer.errors import (
    BadRequest,
    Forbidden,
    TooLarge,
    TooSlow,
    Unauthorized,
    VisavisError,
)
from visavis.streamer.hosts import is_loopback
from visavis.streamer.http.bodies.answers import refusal_for
from visavis.streamer.http.bodies.forms import FORM_SLACK
from visavis.streamer.http.security.attempts import Attempts
from visavis.streamer.trust.callers import CALLER, OWNER
from visavis.streamer.trust.tokens import PREFIX, Tokens

JSON_SLACK: Final = 16 * 1024  # JSON around an offer
SMALL_BODY: Final = 64 * 1024
# What a browser loads before it can know a token; everything else asks for it.
OPEN_PATHS: Final = frozenset(
    {"/", "/call", "/client.js", "/healthz", "/login", "/verify", "/visavis-ca.crt"}
)
# A view id is what lets one watch, and nothing else: whoever is given one needs no token. Who
# brings one all the same watches by it, and for as long as it holds.
WHEP: Final = "/api/whep/"
OPEN_FOLDERS: Final = ("/static/", "/stage/", "/call/", WHEP)
SELF_GUARDED: Final = "/api/rooms/"  # an invitation or a seat opens these; see room_routes
VERIFY: Final = "/api/verify"
_PHOTOS: Final = ("/api/avatars", "/api/avatars/photo")
_SAFE: Final = ("GET", "HEAD", "OPTIONS")
_POLICY_VIOLATION: Final = 1008  # RFC 6455, 7.4.1
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


def check_exposure(server: ServerConfig) -> None:
    """Refuse to serve others without a token.

    Raises:
        BadRequest: the host is not loopback and there is no token.
    """
    if not is_loopback(server.host) and not server.token:
        raise BadRequest(
            f"Serving on {server.host} lets others in, so set a token first: VISAVIS_TOKEN=..."
        )


def own_names(server: ServerConfig) -> set[str]:
    """Return the host names, in lower case, that a server answers to besides addresses."""
    name = socket.gethostname()
    names = {"localhost", server.host, name, f"{name}.local", *server.host_names}
    names |= {urlsplit(o).hostname or "" for o in server.allowed_origins}
    return {name.lower() for name in names if name}


class Guard:
    """ASGI middleware.

    Args:
        app: what is guarded.
        config: origins, token and limits.
        refused: told the status of every refusal.
        tokens: for others than the owner.
        attempts: counts wrong tokens.
    """

    def __init__(
        self,
        app: ASGIApp,
        config: Config,
        refused: Callable[[int], None],
        tokens: Tokens | None = None,
        attempts: Attempts | None = None,
    ) -> None:
        self._attempts = attempts or Attempts(lambda: 0.0)
        self._app = app
        self._config = config
        self._refused = refused
        self._tokens = tokens
        self._hosts = own_names(config.server)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, then pass on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        prefix = self._config.server.root_path
        if prefix and scope["type"] == "http" and scope["path"] == prefix:
            # Without the slash the page would look for its parts beside the prefix.
            await RedirectResponse(f"{prefix}/", 308)(scope, receive, send)
            return
        scope = _below(scope, prefix)
        headers = Headers(scope=scope)
        origin = headers.get("origin", "")
        allowed = origin if origin in self._config.server.allowed_origins else ""
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send, bool(allowed))
            return

        send_safely = self._decorating(send, allowed)
        try:
            self._check_host(headers)
            if scope["method"] == "OPTIONS" and origin:
                if not allowed:
                    raise Forbidden(_OTHER_ORIGIN, code="origin")
                await Response(status_code=204)(scope, receive, send_safely)
                return
            if scope["method"] not in _SAFE:
                self._check_origin(scope, headers, bool(allowed))
            self._check_token(scope, headers)
            limit, path = self._body_limit(scope), _route_path(scope)
            _check_length(headers, limit, path)
        except VisavisError as error:
            self._refused(error.status)
            answer = refusal_for(error, scope, headers.get("accept", ""))
            await answer(scope, receive, send_safely)
            return
        if scope["method"] == "HEAD":  # what GET answers, without the body
            scope = {**scope, "method": "GET"}
            send_safely = _without_body(send_safely)
        within_s = self._config.server.body_timeout_s
        await self._app(scope, _limited(receive, limit, within_s, path), send_safely)

    async def _socket(self, scope: Scope, receive: Receive, send: Send, allowed: bool) -> None:
        """Check a WebSocket, which every page may open wherever it comes from."""
        headers = Headers(scope=scope)
        scheme = {"ws": "http", "wss": "https"}.get(scope.get("scheme", "ws"), "http")
        try:
            self._check_host(headers)
            self._check_origin({**scope, "scheme": scheme}, headers, allowed)
            self._check_token(scope, headers)
        except VisavisError as error:
            self._refused(error.status)
            await receive()  # the client's wish to connect
            reason = {"code": _POLICY_VIOLATION, "reason": str(error)}
            await send({"type": "websocket.close", **reason})
            return
        await self._app(scope, receive, send)

    def _decorating(self, send: Send, allowed: str) -> Send:
        """Give every answer the security headers, and an allowed origin what it may read."""

        async def decorated(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if allowed:
                    headers["access-control-allow-origin"] = allowed
                    headers.update(_CORS)
            await send(message)

        return decorated

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

    def _check_origin(self, scope: Scope, headers: Headers, allowed: bool) -> None:
        origin = headers.get("origin", "")
        own = f"{scope.get('scheme', 'http')}://{headers.get('host', '')}"
        if origin:
            if origin != own and not allowed:
                raise Forbidden(_OTHER_ORIGIN, code="origin")
        elif headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise Forbidden(_OTHER_ORIGIN, code="origin")

    def _check_token(self, scope: Scope, headers: Headers) -> None:
        """Find out who asks, and whether they may; routes read it from ``CALLER``."""
        CALLER.set(OWNER)
        path, given = _route_path(scope), bearer_of(headers)
        if path == VERIFY and self._config.trust.open_detector:
            return
        named = self._tokens is not None and given.startswith(PREFIX)
        if not (named and path.startswith(WHEP)) and (
            path in OPEN_PATHS or path.startswith((*OPEN_FOLDERS, SELF_GUARDED))
        ):
            return
        if named:
            with self._attempts.checking(host_of(scope), given):
                caller = self._tokens.read(given).caller  # type: ignore[union-attr]
            caller.check_route(str(scope.get("method", "GET")), path)
            CALLER.set(caller)
        elif token := self._config.server.token:
            with self._attempts.checking(host_of(scope), given):
                if not hmac.compare_digest(given.encode(), token.encode()):
                    wrong, missing = "This token is not one of this server's.", "an access token."
                    raise Unauthorized(wrong if given else f"This server asks for {missing}")

    def _body_limit(self, scope: Scope) -> int:
        limits, path = self._config.limits, _route_path(scope)
        in_room = path.startswith(SELF_GUARDED)
        if path in ("/api/avatars", "/api/avatars/photo") or (
            in_room and path.endswith("/avatars")
        ):
            return limits.photo_bytes + FORM_SLACK
        if path == VERIFY:
            return limits.verify_bytes
        in_room = in_room and (path.endswith("/offer") or "/whep/" in path)
        offered = path in ("/api/offer", "/offer", "/api/whip")
        if offered or path.startswith(("/api/whep/", "/sessions/")) or in_room:
            return 2 * limits.offer_bytes + JSON_SLACK  # escapes can double a text
        return SMALL_BODY


def _below(scope: Scope, prefix: str) -> Scope:
    """Take a request that came below a prefix, whether or not the proxy has left it there."""
    path = scope["path"]
    if not prefix:
        return scope
    if not path.startswith(f"{prefix}/"):
        path = prefix + path
    return {**scope, "root_path": prefix, "path": path}


def bearer_of(headers: Headers) -> str:
    """Return the token that a request carries; empty where it carries none."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""


def host_of(scope: Scope) -> str:
    """Return the client's address, behind a trusted proxy the one that it names."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def _route_path(scope: Scope) -> str:
    return str(scope["path"].removeprefix(scope.get("root_path", "")))


def _check_length(headers: Headers, limit: int, path: str) -> None:
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise BadRequest("The content length is not a number.")
    if len(length) > 18 or int(length) > limit:
        raise _too_large(limit, path)


def _too_large(limit: int, path: str) -> TooLarge:
    size = f"{limit // 1000} kB" if limit < 1_000_000 else f"{limit / 1e6:.3g} MB"
    if path == VERIFY:
        return TooLarge(
            f"This video is larger than {size}, the most that is looked at here; "
            "the command visavis verify has no such limit."
        )
    return TooLarge(f"What was sent is larger than {size}, the most that is taken here.")


def _limited(receive: Receive, limit: int, within_s: float, path: str) -> Receive:
    """Stop reading a body that turns out longer, or slower, than it may be."""
    read, whole = 0, False
    deadline = asyncio.get_running_loop().time() + within_s

    async def limited() -> Message:
        nonlocal read, whole
        if whole:
            return await receive()  # waits for the client to leave, for as long as it stays
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            raise TooSlow(f"The request did not arrive within {within_s:g} s.") from None
        if message["type"] == "http.request":
            whole = not message.get("more_body", False)
            read += len(message.get("body", b""))
            if read > limit:
                raise _too_large(limit, path)
        return message

    return limited


def _without_body(send: Send) -> Send:
    async def headers_only(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return headers_only
