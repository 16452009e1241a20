"""``visavis serve``: the application behind uvicorn, until somebody stops it."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys

import uvicorn

from visavis.streamer.config import Config
from visavis.streamer.errors import BadRequest
from visavis.streamer.http.app import create_app
from visavis.streamer.webrtc.connection import self_test
from visavis.streamer.worker.memory import limit_arenas


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
    settings = uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="asyncio",  # aioice's sockets do not work under uvloop, which others install
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
        h11_max_incomplete_event_size=32 * 1024,
    )
    if not os.environ.get("VISAVIS_DEBUG"):  # a start that fails is told in one sentence
        logging.getLogger("uvicorn.error").addFilter(_not_about_starting)
    try:
        sock = settings.bind_socket()
    except SystemExit as error:  # uvicorn's way to say that the address is taken
        raise BadRequest(f"The address {host}:{port} cannot be used; is it taken?") from error
    name = f"[{host}]" if ":" in host else host
    address = f"http://{name}:{sock.getsockname()[1]}"

    class Announcing(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                sys.stdout.write(f"Vis-à-vis is on {address}\n")
                sys.stdout.flush()

    server = Announcing(settings)
    with contextlib.suppress(SystemExit):
        server.run(sockets=[sock])
    if not server.started:
        raise BadRequest(app.state.failure or "The server could not start; run visavis doctor.")


def _not_about_starting(record: logging.LogRecord) -> bool:
    text = record.getMessage()
    return not any(word in text for word in ("Traceback", "startup failed", "[Errno"))
