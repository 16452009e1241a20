"""The edge process: HTTP, WebRTC and the worker's keeper in one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from visavis.streamer import __version__
from visavis.streamer.avatars.enrolment import compile_once
from visavis.streamer.clock import Clock, MonotonicClock
from visavis.streamer.config import Config
from visavis.streamer.errors import AtCapacity, BadRequest, NotFound, VisavisError
from visavis.streamer.http.guard import Guard, check_exposure
from visavis.streamer.http.routes import router
from visavis.streamer.metrics import Metrics
from visavis.streamer.session import admission
from visavis.streamer.session.admission import Admission
from visavis.streamer.session.context import Avatar, SessionContext
from visavis.streamer.session.manager import SessionManager
from visavis.streamer.webrtc.rtcp import WallClock
from visavis.streamer.worker.client import COMMAND
from visavis.streamer.worker.cores import usable_cores
from visavis.streamer.worker.memory import limit_arenas
from visavis.streamer.worker.pipeline import SlotSpec, WorkerSettings
from visavis.streamer.worker.supervisor import Supervisor
from visavis.web import STATIC_DIR

if TYPE_CHECKING:
    from visavis.streamer.avatars.store import AvatarStore

logger = logging.getLogger(__name__)
_CALIBRATE_AT_LAST_S = 60.0
_CALIBRATE_EVERY_S = 0.5  # looks for a first avatar to measure with
_SENTENCES = {404: "There is nothing at this address.", 405: "This address does not take that."}


@dataclass(frozen=True)
class Services:
    """What the routes work with."""

    config: Config
    metrics: Metrics
    supervisor: Supervisor
    admission: Admission
    sessions: SessionManager
    avatars: AvatarStore
    scribe: ThreadPoolExecutor  # writes the audit log, whose every entry waits for the disk


class _Pages(StaticFiles):
    """The page's files; browsers ask each time, so modules of two versions never meet."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["cache-control"] = "no-cache"
        return response


def create_app(
    config: Config,
    *,
    clock: Clock | None = None,
    avatars: AvatarStore | None = None,
    worker_command: Sequence[str] = COMMAND,
) -> FastAPI:
    """Return the application; its lifespan starts and stops the worker.

    Args:
        config: decided once.
        clock: monotonic time; the machine's by default.
        avatars: where avatars live; below ``config.data_dir`` by default.
        worker_command: how a worker process is started.

    Raises:
        BadRequest: the configuration would let strangers in.
    """
    check_exposure(config.server)
    services = _services(config, clock or MonotonicClock(), avatars, worker_command)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            await services.supervisor.start()
        except ConnectionError as error:
            app.state.failure = str(error)
            raise
        background = (
            asyncio.create_task(_calibrate(services, clock or MonotonicClock())),
            asyncio.create_task(compile_once()),  # or the first enrolment would wait for it
        )
        try:
            yield
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            await services.sessions.close()
            if close := getattr(services.avatars, "close", None):
                await close()
            await services.supervisor.close()
            await asyncio.to_thread(services.scribe.shutdown)

    app = FastAPI(
        title="Vis-à-vis",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # both load scripts from elsewhere
        redoc_url=None,
    )
    app.state.services = services
    app.state.failure = ""
    app.include_router(router)
    app.mount("/static", _Pages(directory=STATIC_DIR), name="static")
    _handle_errors(app, services.metrics)
    app.add_middleware(Guard, config=config, refused=_count_refusals(services.metrics))
    return app


def _services(
    config: Config,
    clock: Clock,
    avatars: AvatarStore | None,
    worker_command: Sequence[str],
) -> Services:
    if avatars is None:
        from visavis.streamer.avatars.store import AvatarStore

        avatars = AvatarStore(config.data_dir, config.limits, config.media.size)
    store = avatars
    metrics = Metrics()
    settings = WorkerSettings(
        slots=admission.slots(config.limits),
        engine=config.engine.engine,
        threads=config.engine.threads,
        compute=config.engine.compute,
        size=config.media.size,
        refine=config.media.refine,
    )
    supervisor = Supervisor(
        settings, clock, command=worker_command, warm=lambda: _newest_bundle(store)
    )
    admitted = Admission(
        config.limits,
        config.media.fps,
        supervisor,
        metrics,
        size=config.media.size,
        lanes=admission.lanes(usable_cores(), config.engine.compute),
    )
    context = SessionContext(
        config=config,
        clock=clock,
        wall=WallClock(clock.now()),
        metrics=metrics,
        supervisor=supervisor,
        find_avatar=lambda avatar_id: find_avatar(store, avatar_id),
    )
    scribe = ThreadPoolExecutor(1, "audit")

    def journal(event: str, avatar_id: str, session_id: str) -> None:
        scribe.submit(store.note, event, avatar_id, session=session_id)

    sessions = SessionManager(context, admitted, journal)
    return Services(config, metrics, supervisor, admitted, sessions, store, scribe)


def find_avatar(store: AvatarStore, avatar_id: str) -> Avatar:
    """Return an avatar that can go live; the newest one for an empty id.

    Raises:
        NotFound: there is none.
        Conflict: it is not ready.
    """
    if not avatar_id:
        ready = [record for record in store.list() if record.status == "ready"]
        if not ready:
            raise NotFound("There is no avatar yet; make one from a photo first.")
        avatar_id = max(ready, key=lambda record: record.created or "").id
    return Avatar(avatar_id, str(store.bundle_path(avatar_id)))


def _newest_bundle(store: AvatarStore) -> str:
    try:
        return find_avatar(store, "").bundle
    except VisavisError:
        return ""


async def _calibrate(services: Services, clock: Clock) -> None:
    """Measure what a frame costs as soon as there is an avatar and nobody is live."""
    tried, wait_s = "", _CALIBRATE_EVERY_S
    while services.supervisor.frame_ms is None:
        if services.supervisor.up and not len(services.sessions):
            bundle = await asyncio.to_thread(_newest_bundle, services.avatars)
            if bundle != tried:
                tried, wait_s = bundle, _CALIBRATE_EVERY_S
            if bundle:
                media = services.config.media
                spec = SlotSpec(bundle, media.size, media.fps, media.look_ahead_ms)
                services.supervisor.calibrate(spec)
                wait_s = min(2 * wait_s, _CALIBRATE_AT_LAST_S)  # a damaged one stays damaged
        await clock.sleep_until(clock.now() + wait_s)


def _count_refusals(metrics: Metrics) -> Any:
    return lambda status: metrics.refusals.labels(str(status)).inc()


def _handle_errors(app: FastAPI, metrics: Metrics) -> None:
    count = _count_refusals(metrics)

    @app.exception_handler(VisavisError)
    async def known(request: Request, error: VisavisError) -> JSONResponse:
        count(error.status)
        headers = {}
        if isinstance(error, AtCapacity):
            headers["Retry-After"] = str(error.retry_after_s)
        return JSONResponse({"error": str(error)}, error.status, headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        count(BadRequest.status)
        return JSONResponse({"error": "The request is not of the form it must have."}, 400)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        count(error.status_code)
        sentence = _SENTENCES.get(error.status_code, str(error.detail))
        return JSONResponse({"error": sentence}, error.status_code)

    @app.exception_handler(Exception)
    async def unknown(request: Request, error: Exception) -> JSONResponse:
        count(500)
        logger.error("request failed", exc_info=error)
        return JSONResponse({"error": "Something went wrong on the server."}, 500)


def run_server(config: Config) -> None:
    """Serve until interrupted, and print the address.

    Raises:
        BadRequest: the address cannot be used.
    """
    import uvicorn

    limit_arenas()
    app = create_app(config)
    host, port = config.server.host, config.server.port
    settings = uvicorn.Config(
        app,
        host=host,
        port=port,
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
