"""``visavis enroll``: the avatar store driven from a terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from visavis.streamer.avatars.store import AvatarRecord, AvatarStore
from visavis.streamer.config import Config
from visavis.streamer.errors import Unprocessable
from visavis.streamer.trust.consent import Terms

_POLL_S = 0.1  # how often the progress bar is told

STATEMENT = "The person in the photo agrees to this avatar."


def enrol_into_store(
    config: Config,
    photo: bytes,
    name: str,
    consent: bool,
    progress: Callable[[float, str], None],
    terms: Terms = Terms(),  # noqa: B008  frozen
) -> AvatarRecord:
    """Enrol a photo into the store and return the ready record.

    Raises:
        VisavisError: without consent, or the photo was refused; the sentence says why.
    """
    return asyncio.run(_enrol(config, photo, name, consent, progress, terms))


async def _enrol(
    config: Config,
    photo: bytes,
    name: str,
    consent: bool,
    progress: Callable[[float, str], None],
    terms: Terms = Terms(),  # noqa: B008  frozen
) -> AvatarRecord:
    store, left = AvatarStore(config.data_dir, config.limits, config.media.size), ""
    waiting: asyncio.Future[AvatarRecord] | None = None
    try:
        started = await store.start_enrolment(photo, name, STATEMENT, consent, terms)
        left = started.id
        waiting = asyncio.ensure_future(store.wait(started.id))
        while not waiting.done():
            record = store.get(started.id)
            progress(record.progress, record.stage)
            await asyncio.wait([waiting], timeout=_POLL_S)
        record = waiting.result()
        if record.status != "ready":
            raise Unprocessable(record.reason or "The photo could not be used.")
        progress(1.0, "Ready")
        left = ""
        return record
    finally:
        if left:  # refused, or stopped by Ctrl-C: a list of failures would help nobody
            if waiting is not None:
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
            await asyncio.to_thread(store.erase, left)
        await store.close()
