"""Drawing one film on several cores: frames are drawn beside each other and come back in order."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from visavis.streamer.worker.pipeline.pipeline import Drawer

MOST = 4  # drawers: beyond, the encoder's one thread is what a film waits for
_AHEAD = 3  # frames begun for each drawer, so that hearing the next sound stops none of them


def draw_film(
    values: Iterator[NDArray[np.float32]], drawers: Sequence[Drawer]
) -> Iterator[NDArray[np.uint8]]:
    """Draw every coefficient vector by whichever drawer is free.

    A drawer keeps nothing between frames that a picture would show, so the film is the same bit by
    bit whoever drew what.

    Args:
        values: ``(COUNT,)`` float32 vectors; taken on the caller's thread, a few ahead.
        drawers: of the same avatar and size; each is used by one thread at a time.

    Yields:
        ``(height, width, 3)`` uint8 RGB in the order of ``values``; the caller's own where there
        are several drawers, else valid until the next.
    """
    if len(drawers) == 1:
        yield from map(drawers[0].render, values)
        return
    free: queue.SimpleQueue[Drawer] = queue.SimpleQueue()
    for drawer in drawers:
        free.put(drawer)

    def draw(vector: NDArray[np.float32]) -> NDArray[np.uint8]:
        drawer = free.get_nowait()  # as many as there are threads
        try:
            return drawer.render(vector).copy()
        finally:
            free.put(drawer)

    begun: deque[Future[NDArray[np.uint8]]] = deque()
    pool = ThreadPoolExecutor(len(drawers), "draw")
    try:
        for vector in values:
            begun.append(pool.submit(draw, vector))
            if len(begun) > _AHEAD * len(drawers):
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:  # broken off: what nobody will see is not drawn
        pool.shutdown(cancel_futures=True)
