"""However often something is logged, the log grows at a bounded rate and says what is missing."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from visavis.streamer.logs import MOST, PER_S, RateLimit


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def log() -> Iterator[tuple[logging.Logger, io.StringIO, Time]]:
    written, time = io.StringIO(), Time()
    handler = logging.StreamHandler(written)
    handler.addFilter(RateLimit(time))
    logger = logging.getLogger("tests.rate")
    logger.propagate = False
    logger.addHandler(handler)
    yield logger, written, time
    logger.removeHandler(handler)


def test_a_flood_is_cut_and_counted(log: tuple[logging.Logger, io.StringIO, Time]) -> None:
    logger, written, time = log
    for n in range(1000):
        logger.warning("request %d was odd", n)
    logger.warning("something else")
    assert written.getvalue().count("\n") == MOST + 1
    time.now += PER_S
    logger.warning("request %d was odd", 1000)
    last = written.getvalue().splitlines()[-1]
    assert last == f"request 1000 was odd ({1000 - MOST} more like this were not written)"


def test_tracebacks_put_together_beforehand_are_one_kind(
    log: tuple[logging.Logger, io.StringIO, Time],
) -> None:
    logger, written, _ = log
    for n in range(100):  # as asyncio does it: one text, the details behind the first line
        logger.error(
            "socket.accept() out of system resource\nsocket: <asyncio.TransportSocket "
            + "x" * 60
            + str(n)
        )
    assert written.getvalue().count("out of system resource") == MOST


def test_kinds_that_never_end_do_not_fill_the_memory(
    log: tuple[logging.Logger, io.StringIO, Time],
) -> None:
    logger, _, _ = log
    for n in range(5000):
        logger.error(f"{n} {n}")
    (limit,) = logger.handlers[0].filters
    assert isinstance(limit, RateLimit) and len(limit._kinds) <= 256
