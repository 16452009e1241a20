"""What the routes work with."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Depends, Request

from visavis.streamer.avatars.detector.verifying import Detector
from visavis.streamer.avatars.guidance import Guide
from visavis.streamer.avatars.showing import PhotoOpener
from visavis.streamer.config import Config
from visavis.streamer.errors import NotFound
from visavis.streamer.http.bodies.schemas import IceServers as IceServersAnswer
from visavis.streamer.http.security.attempts import Attempts
from visavis.streamer.metrics import Metrics
from visavis.streamer.rooms.archive import Archive
from visavis.streamer.rooms.service import Rooms
from visavis.streamer.session.admission import Admission
from visavis.streamer.session.context import Avatar
from visavis.streamer.session.manager import SessionManager
from visavis.streamer.session.quotas import Meter
from visavis.streamer.webrtc.ice.servers import IceServers
from visavis.streamer.worker.edge.supervisor import Supervisor

if TYPE_CHECKING:
    from visavis.streamer.avatars.store import AvatarStore


UPLOADS: Final = 8


@dataclass(frozen=True)
class Services:
    """Everything one server is made of."""

    config: Config
    metrics: Metrics
    supervisor: Supervisor
    admission: Admission
    sessions: SessionManager
    avatars: AvatarStore
    rooms: Rooms
    archive: Archive
    guide: Guide  # looks at the camera's pictures before a photo is taken
    scribe: ThreadPoolExecutor  # writes the audit log, whose every entry waits for the disk
    ice_servers: IceServers
    opener: PhotoOpener
    meter: Meter
    detector: Detector
    attempts: Attempts  # wrong tokens
    # Photos stay in memory while they come in, so only so many may come in at a time.
    uploads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(UPLOADS))


def _of(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Served = Annotated[Services, Depends(_of)]


def ice_servers(served: Services) -> IceServersAnswer:
    """Return what clients are told of STUN and TURN servers."""
    servers = served.ice_servers
    return IceServersAnswer.model_validate(
        {"iceServers": servers.described(), "ttl": servers.lasts_s}
    )


def find_avatar(store: AvatarStore, avatar_id: str) -> Avatar:
    """Return an avatar that can go live; the newest one for an empty id.

    Raises:
        NotFound: there is none.
        Conflict: it is not ready.
    """
    if not avatar_id:
        ready = [record for record in store.list() if record.status == "ready"]
        if not ready:
            raise NotFound("There is no avatar yet; make one from a photo first.", code="no-avatar")
        avatar_id = max(ready, key=lambda record: record.created or "").id
    return Avatar(avatar_id, store.bundle(avatar_id))
