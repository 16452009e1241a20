"""The server itself over HTTP: is it there, and what it counts."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Response

from visavis.streamer import __version__
from visavis.streamer.http.bodies.answers import DESCRIBED
from visavis.streamer.http.bodies.schemas import Health
from visavis.streamer.http.routes.services import Served
from visavis.streamer.worker.overload import Effort

router = APIRouter(tags=["server"], responses=DESCRIBED)
_METRICS = "text/plain; version=0.0.4"


@router.get(
    "/healthz", responses={503: {"model": Health, "description": "Not yet, or not any more."}}
)
async def healthz(served: Served, response: Response) -> Health:
    """Whether sessions can begin."""
    up = served.supervisor.up
    response.status_code = 200 if up else 503
    return Health(status="ok" if up else "starting", version=__version__)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"description": "Prometheus text.", "content": {_METRICS: {}}}},
)
async def metrics(served: Served) -> Response:
    """Prometheus metrics."""
    shown = served.metrics
    shown.restarts.set(served.supervisor.restarts)
    shown.capacity.set(served.admission.capacity)
    shown.tasks.set(len(asyncio.all_tasks()))
    shown.effort.set(Effort[served.supervisor.effort])
    return Response(shown.render(), media_type=_METRICS)
