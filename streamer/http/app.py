"""The edge process: HTTP, WebRTC and the worker's keeper in one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig

from visavis.streamer import __version__
from visavis.streamer.avatars.compiled import compile_once
from visavis.streamer.avatars.detector.verifying import Detector
from visavis.streamer.avatars.guidance import Guide
from visavis.streamer.avatars.sandbox import demanded
from visavis.streamer.avatars.showing import PhotoOpener
from visavis.streamer.clock import Clock, MonotonicClock
from visavis.streamer.config import Config
from visavis.streamer.hosts import is_loopback
from visavis.streamer.http.bodies.answers import handle_errors
from visavis.streamer.http.routes import access as access_routes
from visavis.streamer.http.routes import agent as agent_routes
from visavis.streamer.http.routes import avatars as avatar_routes
from visavis.streamer.http.routes import pages, sessions, status
from visavis.streamer.http.routes import pipecat as pipecat_routes
from visavis.streamer.http.routes import push as push_routes
from visavis.streamer.http.routes import recordings as recording_routes
from visavis.streamer.http.routes import rooms as room_routes
from visavis.streamer.http.routes import whip as whip_routes
from visavis.streamer.http.routes.services import Services, find_avatar
from visavis.streamer.http.security.attempts import Attempts
from visavis.streamer.http.security.guard import Guard, check_exposure
from visavis.streamer.metrics import Metrics
from visavis.streamer.rooms.access.limits import RoomLimits
from visavis.streamer.rooms.access.tickets import TicketOffice, load_key
from visavis.streamer.rooms.archive import Archive
from visavis.streamer.rooms.service import Rooms
from visavis.streamer.session import admission
from visavis.streamer.session.admission import Admission
from visavis.streamer.session.context import SessionContext
from visavis.streamer.session.manager import SessionManager
from visavis.streamer.session.quotas import Meter, Quotas, Usage
from visavis.streamer.tasks import in_daemon
from visavis.streamer.trust.consents import trust_folder
from visavis.streamer.trust.marks.deployment import payloads
from visavis.streamer.trust.marks.mark import decide
from visavis.streamer.trust.wall import WallTime
from visavis.streamer.webrtc.ice.servers import IceServers
from visavis.streamer.webrtc.ice.sockets import Binding
from visavis.streamer.webrtc.rtp.rtcp import WallClock
from visavis.streamer.worker.edge.client import COMMAND
from visavis.streamer.worker.edge.supervisor import Supervisor
from visavis.streamer.worker.pipeline.cores import usable_cores
from visavis.streamer.worker.pipeline.pipeline import DRAWN, SlotSpec, WorkerSettings

if TYPE_CHECKING:
    from visavis.streamer.avatars.store import AvatarStore

logger = logging.getLogger(__name__)
_CALIBRATE_AT_LAST_S: Final = 60.0
_CALIBRATE_EVERY_S: Final = 0.5  # first; each try waits twice as long
_LOOK_FOR_ERASED_S: Final = 0.5  # what may not be shown any more ends within a second
_RECOVER_EVERY_S: Final = 5.0  # first; each try waits twice as long
_RECOVER_AT_LAST_S: Final = 600.0
_CLOSE_S: Final = 10.0  # that any one part may take to close
_NO_TELEMETRY: Final[
    TelemetryConfig
] = {  # FastAPI exports to wherever OpenTelemetry's variables point
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}


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
    clock = clock or MonotonicClock()
    services = _services(config, clock, avatars, worker_command)
    app = FastAPI(
        title="Vis-à-vis",
        version=__version__,
        lifespan=lambda app: _lifespan(app, services, clock),
        docs_url=None,  # both load scripts from elsewhere
        redoc_url=None,
        telemetry=_NO_TELEMETRY,
    )
    app.state.services = services
    app.state.failure = ""
    app.state.starts = pipecat_routes.Starts()
    for part in (
        sessions,
        whip_routes,
        push_routes,
        pipecat_routes,
        agent_routes,
        avatar_routes,
        recording_routes,
        room_routes,
        status,
        access_routes,
        pages,
    ):
        app.include_router(part.router)
    app.include_router(room_routes.page)
    app.mount("/static", pages.Static(), name="static")
    count = _count_refusals(services.metrics)
    handle_errors(app, count)
    tokens, attempts = getattr(services.avatars, "tokens", None), services.attempts
    app.add_middleware(Guard, config=config, refused=count, tokens=tokens, attempts=attempts)
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI, services: Services, clock: Clock) -> AsyncGenerator[None, None]:
    """Start the worker; close every part in the end, whatever the others do."""
    async with contextlib.AsyncExitStack() as stack:

        def closes(what: str, close: Callable[[], Awaitable[object]]) -> None:
            stack.push_async_callback(_close, what, close)

        closes("audit log", lambda: asyncio.to_thread(services.scribe.shutdown))
        closes("worker", services.supervisor.close)  # also one that is still starting
        try:
            await services.supervisor.start()
        except ConnectionError as error:
            app.state.failure = str(error)
            raise
        closes("avatars", services.avatars.close)
        if (sweep := getattr(services.avatars, "sweep_films", None)) is not None:
            await asyncio.to_thread(sweep)
        closes("guidance", services.guide.close)
        closes("usage", services.meter.keep)
        closes("sessions", services.sessions.close)
        services.rooms.start()
        closes("rooms", services.rooms.close)
        background = (
            asyncio.create_task(_calibrate(services, clock)),
            asyncio.create_task(compile_once()),  # or the first enrolment would wait for it
            asyncio.create_task(_end_erased(services, clock)),
            asyncio.create_task(finish_cut_off(services, clock)),
        )
        closes("background", lambda: _cancel(background))
        yield


async def _close(what: str, close: Callable[[], Awaitable[object]]) -> None:
    try:
        async with asyncio.timeout(_CLOSE_S):
            await close()
    except Exception:
        logger.exception("%s did not close cleanly", what)


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _worker_settings(config: Config) -> WorkerSettings:
    return WorkerSettings(
        slots=admission.slots(config.limits),
        engine=config.engine.engine,
        threads=config.engine.threads,
        compute=config.engine.compute,
        size=config.media.size,
        refine=config.media.refine,
        label=decide(config.trust, config.data_dir, "server").label,
    )


def _admission(config: Config, supervisor: Supervisor, metrics: Metrics) -> Admission:
    lanes = admission.lanes(usable_cores(), config.engine.compute)
    limits, media = config.limits, config.media
    return Admission(limits, media.fps, supervisor, metrics, size=media.size, lanes=lanes)


def _store(config: Config) -> AvatarStore:
    from visavis.streamer.avatars.store import AvatarStore

    return AvatarStore(config.data_dir, config.limits, config.media.size)


def _payloads(config: Config) -> Callable[[str], str]:
    """Return what tells what the watermark of a session says, hexadecimal."""
    if not config.trust.watermark:
        return lambda session: ""
    tell = payloads(config.data_dir)
    return lambda session: tell(session).hex()


def _services(
    config: Config,
    clock: Clock,
    avatars: AvatarStore | None,
    worker_command: Sequence[str],
) -> Services:
    store = avatars or _store(config)
    metrics = Metrics()
    supervisor = Supervisor(_worker_settings(config), clock, command=worker_command)
    admitted = _admission(config, supervisor, metrics)
    scribe = ThreadPoolExecutor(1, "audit")

    def note(event: str, subject: str) -> None:
        scribe.submit(store.note, event, subject)

    wall = WallTime(trust_folder(config.data_dir) / "latest").seconds
    store.quotas = quotas = Quotas(config.quotas, note)
    meter = _meter(config, quotas, wall, clock)
    archive = _archive(config, store, clock, note)
    ice_servers = IceServers(config.ice, clock, time.time)
    context = _context(config, clock, store, metrics, supervisor, ice_servers, archive)
    manager = SessionManager(context, admitted, _journal(store, scribe), meter)
    office = TicketOffice(load_key(config.data_dir / "rooms.key"), wall)
    rooms = Rooms(
        context,
        manager,
        office,
        archive,
        config.data_dir,
        limits=RoomLimits(**config.rooms.model_dump()),
        wall=wall,
        note=note,
    )
    return Services(
        config,
        metrics,
        supervisor,
        admitted,
        manager,
        store,
        rooms,
        archive,
        Guide(demanded(config.limits.photo_sandbox), config.limits.face_tracker),
        scribe,
        ice_servers,
        PhotoOpener(config.limits),
        meter,
        Detector(config.data_dir, demanded(config.limits.photo_sandbox)),
        Attempts(clock.now, config.server.trusted_proxies, note),
    )


def _context(
    config: Config,
    clock: Clock,
    store: AvatarStore,
    metrics: Metrics,
    supervisor: Supervisor,
    ice_servers: IceServers,
    archive: Archive,
) -> SessionContext:
    return SessionContext(
        config=config,
        clock=clock,
        wall=WallClock(clock.now()),
        metrics=metrics,
        supervisor=supervisor,
        find_avatar=lambda avatar_id: find_avatar(store, avatar_id),
        refusal=store.refusal,
        payload=_payloads(config),
        admit=store.admit,
        binding=_binding(config, ice_servers),
        record=archive.begin_alone,
        tokens=getattr(store, "tokens", None),
        consent_id=_consent_ids(store),
    )


def _meter(config: Config, quotas: Quotas, wall: Callable[[], float], clock: Clock) -> Meter:
    usage = Usage(trust_folder(config.data_dir) / "usage.json", wall)
    return Meter(quotas, usage, clock.now)


def _archive(
    config: Config, store: AvatarStore, clock: Clock, note: Callable[[str, str], None]
) -> Archive:
    consents = getattr(store, "consents", None)
    return Archive(
        config.data_dir,
        config.media.fps,
        clock.now,
        note,
        photo_sha256=getattr(store, "photo_sha256", lambda avatar_id: ""),
        quotas=store.quotas,
        withdrawn=consents.was_withdrawn if consents is not None else lambda avatar_id: False,
    )


def _consent_ids(store: AvatarStore) -> Callable[[str], str]:
    consents = getattr(store, "consents", None)
    if consents is None:
        return lambda avatar_id: ""
    return lambda avatar_id: str(consents.check(avatar_id, "call").id)


def _journal(store: AvatarStore, scribe: ThreadPoolExecutor) -> Callable[[str, str, str], object]:
    def journal(event: str, avatar_id: str, session_id: str) -> None:
        scribe.submit(store.note, event, avatar_id, session=session_id)

    return journal


async def _calibrate(services: Services, clock: Clock) -> None:
    """Measure what a frame of the drawn person costs, as soon as nobody is live."""
    media, wait_s = services.config.media, _CALIBRATE_EVERY_S
    spec = SlotSpec(DRAWN, media.size, media.fps, media.look_ahead_ms)
    while services.supervisor.frame_ms is None:
        if services.supervisor.up and not len(services.sessions):
            services.supervisor.calibrate(spec)
            wait_s = min(2 * wait_s, _CALIBRATE_AT_LAST_S)
        await clock.sleep_until(clock.now() + wait_s)


async def _end_erased(services: Services, clock: Clock) -> None:
    """End the sessions of avatars that were erased or withdrawn, by this process or another."""
    while True:
        await clock.sleep_until(clock.now() + _LOOK_FOR_ERASED_S)
        try:
            await services.sessions.end_erased(services.avatars.missing)
            if (tokens := getattr(services.avatars, "tokens", None)) is not None:
                await services.sessions.end_revoked(tokens.ended)
            await services.meter.look(services.sessions)
        except Exception:  # a disk that does not answer this time is asked again
            logger.exception("looking for erased avatars failed")


async def finish_cut_off(services: Services, clock: Clock) -> None:
    """Finish the recordings of a server that died; again while one runs, or the vault is shut."""
    wait_s = _RECOVER_EVERY_S
    while True:
        try:
            if not await in_daemon(services.archive.recover, "recover"):
                return
        except Exception:
            logger.exception("recordings that were cut off could not be finished")
        await clock.sleep_until(clock.now() + wait_s)
        wait_s = min(2 * wait_s, _RECOVER_AT_LAST_S)


def _binding(config: Config, servers: IceServers) -> Binding:
    """Return where media is bound: as far as the HTTP server is reachable, itself or by a proxy."""
    server, ice = config.server, config.ice
    asks = bool(ice.servers) and ice.relay
    elsewhere = bool(server.host_names or server.root_path or ice.advertise or asks)
    return Binding(
        loopback_only=is_loopback(server.host) and not elsewhere,
        ports=(ice.udp_port_min, ice.udp_port_max),
        advertise=ice.advertise,
        servers=servers if asks else None,
    )


def _count_refusals(metrics: Metrics) -> Callable[[int], None]:
    return lambda status: metrics.refusals.labels(str(status)).inc()
