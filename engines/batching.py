"""One run for all sessions that want one: what waits while a run is under way goes together next.

Nobody waits for company: a request that finds the engine idle runs at once and alone. Batches grow
only as far as the engine is the bottleneck, which is when they pay ("continuous batching": Yu et
al., Orca, OSDI 2022).
"""

from __future__ import annotations

import threading
from collections import deque

import numpy as np
from numpy.typing import NDArray

from visavis.engines.base import Engine, EngineError, Tensors

Arrays = dict[str, NDArray[np.generic]]
_Key = tuple[tuple[str, str, tuple[int, ...]], ...]


class _Request:
    """One caller's inputs and what became of them."""

    def __init__(self, inputs: Tensors) -> None:
        self.inputs = {name: np.asarray(value) for name, value in inputs.items()}
        self.outputs: Arrays | None = None
        self.error: EngineError | None = None

    @property
    def done(self) -> bool:
        return self.outputs is not None or self.error is not None

    @property
    def rows(self) -> int:
        """The batch, or 0 when the inputs do not agree on one; such a request runs alone."""
        sizes = {value.shape[0] if value.ndim else 0 for value in self.inputs.values()}
        return sizes.pop() if len(sizes) == 1 else 0

    @property
    def key(self) -> _Key:
        """What has to be the same in one run: names, dtypes and all axes but the first."""
        return tuple(sorted((n, str(v.dtype), v.shape[1:]) for n, v in self.inputs.items()))


class BatchingEngine:
    """An engine for several threads; requests that meet are run as one batch.

    Args:
        engine: takes any batch on the first axis of every input and output.
        most: rows of one run.
    """

    def __init__(self, engine: Engine, *, most: int = 8) -> None:
        if most < 1:
            raise ValueError(f"A run has at least one row, not {most}.")
        self._engine = engine
        self._most = most
        self._turn = threading.Condition()
        self._waiting: deque[_Request] = deque()
        self._running = False

    @property
    def provider(self) -> str:
        """Return what runs the graph, for people."""
        return self._engine.provider

    @property
    def waiting(self) -> int:
        """How many inputs wait for their run."""
        return len(self._waiting)

    def warm_up(self) -> None:
        """Warm the engine up."""
        self._engine.warm_up()

    def run(self, inputs: Tensors) -> Arrays:
        """Run, maybe in company.

        Raises:
            EngineError: these inputs cannot be run; others of the same batch are not concerned.
        """
        request, batch = _Request(inputs), None
        with self._turn:
            self._waiting.append(request)
            self._turn.wait_for(lambda: request.done or not self._running)
            if not request.done:
                self._running = True
                batch = self._gather(request)
        if batch is not None:
            try:
                self._serve(batch)
            finally:
                with self._turn:
                    self._running = False
                    self._turn.notify_all()
        if request.error is not None:
            raise request.error
        assert request.outputs is not None
        return request.outputs

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()

    def _gather(self, first: _Request) -> list[_Request]:
        """Take a request and those who can go with it, the longest waiting first."""
        self._waiting.remove(first)
        batch, rows, key = [first], first.rows, first.key
        if not rows:
            return batch
        for other in list(self._waiting):
            if other.rows and other.key == key and rows + other.rows <= self._most:
                self._waiting.remove(other)
                batch.append(other)
                rows += other.rows
        return batch

    def _serve(self, batch: list[_Request]) -> None:
        if len(batch) > 1:
            try:
                self._serve_together(batch)
            except EngineError:  # one of them is at fault, or there is no room for all
                pass
            else:
                return
        for request in batch:
            try:
                request.outputs = self._engine.run(request.inputs)
            except EngineError as error:
                request.error = error
            except BaseException as error:
                _fail(batch, error)
                raise

    def _serve_together(self, batch: list[_Request]) -> None:
        names = batch[0].inputs
        try:
            outputs = self._engine.run(
                {name: np.concatenate([r.inputs[name] for r in batch]) for name in names}
            )
        except EngineError:
            raise
        except BaseException as error:
            _fail(batch, error)
            raise
        ends = np.cumsum([request.rows for request in batch])
        pieces = {name: np.split(value, ends[:-1]) for name, value in outputs.items()}
        for i, request in enumerate(batch):
            request.outputs = {name: parts[i] for name, parts in pieces.items()}


def _fail(batch: list[_Request], error: BaseException) -> None:
    """Nobody may wait for ever: what broke this run breaks it for all that were in it."""
    for request in batch:
        if not request.done:
            request.error = EngineError(f"The engine broke off: {error}.")
