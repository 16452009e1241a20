"""``visavis serve``: the application behind uvicorn, until somebody stops it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import time
from functools import partial
from types import FrameType
from typing import Any, Final, cast

import uvicorn
from fastapi import FastAPI

from visavis.streamer.addresses import reachable_addresses
from visavis.streamer.config import Config
from visavis.streamer.errors import BadRequest
from visavis.streamer.hosts import is_loopback
from visavis.streamer.http.app import create_app
from visavis.streamer.http.security.connections import (
    BoundedProtocol,
    Connections,
    affordable_connections,
)
from visavis.streamer.http.security.tls import certificate
from visavis.streamer.webrtc.connection import self_test
from visavis.streamer.worker.memory import limit_arenas, settle

_GRACE_S: Final = 5
_HEADER_BYTES: Final = 32 * 1024
_MESSAGE_BYTES: Final = 8 << 20  # a minute of sound as base64
_BACKLOG: Final = 128  # asyncio accepts as many at a time before it looks at any of them


def uvicorn_config(app: FastAPI, config: Config) -> uvicorn.Config:
    """Return how uvicorn is to serve an application: where, and what a client may cost.

    Raises:
        BadRequest: the certificate cannot be used.
    """
    server = config.server
    encrypted = certificate(config, time.monotonic)
    most = affordable_connections(server.max_connections)
    bounds = Connections(most, server.header_timeout_s)
    return uvicorn.Config(
        app,
        host=server.host,
        port=server.port,
        loop="asyncio",  # aioice's sockets do not work under uvloop, which others install
        http=cast(Any, partial(BoundedProtocol, bounds, encrypted)),
        backlog=min(_BACKLOG, most),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(server.trusted_proxies),
        forwarded_allow_ips=list(server.trusted_proxies),
        timeout_keep_alive=server.keep_alive_s,
        timeout_graceful_shutdown=_GRACE_S,
        h11_max_incomplete_event_size=_HEADER_BYTES,
        ws_max_size=_MESSAGE_BYTES,
        ws_per_message_deflate=False,  # what comes is sound; inflating it keeps pictures waiting
    )


def run_server(config: Config) -> None:
    """Serve until interrupted, and print the address.

    Raises:
        BadRequest: the address cannot be used, or a library is not the one this was made for.
    """
    if fault := self_test():
        raise BadRequest(fault)
    limit_arenas()
    app = create_app(config)
    host, port = config.server.host, config.server.port
    settings = uvicorn_config(app, config)
    if not os.environ.get("VISAVIS_DEBUG"):  # a start that fails is told in one sentence
        logging.getLogger("uvicorn.error").addFilter(_not_about_starting)
    try:
        sock = settings.bind_socket()
    except SystemExit as error:  # uvicorn's way to say that the address is taken
        raise BadRequest(f"The address {host}:{port} cannot be used; is it taken?") from error
    addresses = public_addresses(config, sock.getsockname()[1])

    class Announcing(uvicorn.Server):
        told: int | None = None  # to stop, by which signal

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            super().handle_exit(sig, frame)
            self.told = sig
            if not self.started:  # uvicorn waits for a start, however long it takes
                app.state.services.supervisor.give_up()

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                settle()
                sys.stdout.write(announcement(config, addresses))
                sys.stdout.flush()

    server = Announcing(settings)
    with contextlib.suppress(SystemExit):
        server.run(sockets=[sock])
    if not server.started:
        if server.told is not None:
            signal.raise_signal(server.told)  # its handler is the one from before again
        raise BadRequest(app.state.failure or "The server could not start; run visavis doctor.")


def public_addresses(config: Config, port: int) -> list[str]:
    """Return the addresses to type into a browser, the best one first."""
    server = config.server
    hosts = [server.host]
    if server.host in ("0.0.0.0", "::"):
        hosts = [*server.host_names, *reachable_addresses(), "localhost"]
    scheme = "https" if server.tls else "http"
    named = (f"[{host}]" if ":" in host else host for host in hosts)
    return [f"{scheme}://{name}:{port}{server.root_path}" for name in named]


def announcement(config: Config, addresses: list[str]) -> str:
    """Return what is said once the server is there."""
    words = f"Vis-à-vis is on {addresses[0]}\n"
    words += "".join(f"            and {address}\n" for address in addresses[1:])
    if config.server.tls_self_signed:
        words += "Devices have to trust it first: visavis certificate says how.\n"
    elif not config.server.tls and not is_loopback(config.server.host):
        words += (
            "Browsers on other devices give no microphone to a page without TLS: "
            "--tls-self-signed, or docs/deploy.md.\n"
        )
    return words


def _not_about_starting(record: logging.LogRecord) -> bool:
    text = record.getMessage()
    return not any(word in text for word in ("Traceback", "startup failed", "[Errno"))
