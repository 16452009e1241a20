"""An engine that does not stop: when one provider fails, the next one goes on with the same inputs.

State tensors are inputs and outputs, so nothing is lost when the provider changes between two
steps, or within one. May be used from several threads.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.engines.base import Engine, EngineError, InputError, Tensors

_log = logging.getLogger(__name__)
_NOTES_MOST = 20


@dataclass(frozen=True)
class Candidate:
    """One way to run the graph.

    Attributes:
        name: what ``--engine`` calls it.
        load: returns an engine that is warm and has passed its parity check, or raises
            :class:`EngineError` with the reason.
    """

    name: str
    load: Callable[[], Engine]


class FallbackEngine:
    """Runs a graph on the first candidate that can, and on the next one when that fails.

    Args:
        graph: its name, for messages.
        candidates: best first; the last one should be ONNX Runtime on the CPU.
        required: whether the first candidate must load; what it raises then goes to the caller.

    Raises:
        EngineError: no candidate can run the graph, or the required one cannot.
    """

    def __init__(
        self,
        graph: str,
        candidates: Sequence[Candidate],
        *,
        required: bool = False,
    ) -> None:
        self._graph = graph
        self._left = deque(candidates)
        self._required = required
        self._lock = threading.Lock()
        self._better: tuple[str, Engine] | None = None
        self._closed = False
        self._closes: list[Callable[[], None]] = []
        self.notes: deque[str] = deque(maxlen=_NOTES_MOST)
        """What happened, one sentence each, newest last."""
        self.name = ""
        """What ``--engine`` calls the provider in use."""
        self._engine = self._next("")

    @property
    def provider(self) -> str:
        """Return the provider in use."""
        return self._engine.provider

    def warm_up(self) -> None:
        """Run the provider in use once on zeros."""
        self._engine.warm_up()

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.generic]]:
        """Run the graph; moves on to the next provider until one succeeds.

        Raises:
            InputError: the inputs do not fit the graph.
            EngineError: the last provider failed as well.
        """
        if self._closed:
            raise EngineError("The engine is closed.")
        if self._better is not None:
            self._take_better()
        while True:
            engine = self._engine
            try:
                outputs = engine.run(inputs)
                if self._left and not _finite(outputs) and _finite(inputs):
                    raise EngineError("it returned values that are no numbers")
            except InputError:
                raise
            except Exception as error:  # a provider may fail in any way it likes
                with self._lock:
                    if self._engine is not engine:
                        continue  # another thread met it first and has moved on
                    if not self._left:
                        raise
                    self._move_on(error)
            else:
                return outputs

    def offer(self, name: str, engine: Engine) -> bool:
        """Hand over a better engine, warm and checked; the next run uses it.

        The one in use stays as what comes next. May be called from any thread.

        Returns:
            False if this engine is closed already; the caller keeps what it offered.
        """
        with self._lock:
            if self._closed:
                return False
            self._better = (name, engine)
            return True

    def ends(self, what: Callable[[], None]) -> None:
        """Have something ended with this engine, at once if it is closed already."""
        with self._lock:
            if not self._closed:
                self._closes.append(what)
                return
        what()

    def close(self) -> None:
        """Close what is in use, what was offered, and what was to end with it."""
        with self._lock:
            self._closed = True
            better, self._better = self._better, None
            ending, self._closes = self._closes, []
        for end in ending:
            end()
        if better is not None:
            better[1].close()
        self._engine.close()

    def note(self, sentence: str) -> None:
        """Keep a sentence for ``notes`` and the log."""
        self.notes.append(sentence)
        _log.warning("%s", sentence)

    def _take_better(self) -> None:
        with self._lock:
            if self._better is None:
                return
            name, engine = self._better
            self._better = None
            before, before_name = self._engine, self.name
            self._left.appendleft(Candidate(before_name, lambda: before))
            self._engine, self.name = engine, name
        self.note(f"{self._graph} runs on {engine.provider} from now on.")

    def _move_on(self, error: Exception) -> None:
        failed, reason = self._engine.provider, str(error).rstrip(".") or type(error).__name__
        try:
            self._engine.close()
        except Exception:  # it is broken; all that matters is the next one
            _log.debug("closing %s failed", failed, exc_info=True)
        self._engine = self._next(f"{failed} failed while running {self._graph}: {reason}")

    def _next(self, why: str) -> Engine:
        """Return the next candidate that loads."""
        problems = [why] if why else []
        first = not self.name and not why
        while self._left:
            candidate = self._left.popleft()
            try:
                engine = candidate.load()
            except Exception as error:
                if first and self._required:
                    raise
                first = False
                problems.append(str(error).rstrip(".") or type(error).__name__)
                continue
            self.name = candidate.name
            for problem in problems:
                self.note(f"{problem}; {engine.provider} is used.")
            return engine
        raise EngineError(f"Nothing can run {self._graph}: {'; '.join(problems)}.")


def _finite(tensors: Tensors) -> bool:
    """A sum is NaN or infinite if one of its terms is; far cheaper than looking at each."""
    return all(
        bool(np.isfinite(value.sum(dtype=np.float64)))
        for value in tensors.values()
        if np.issubdtype(value.dtype, np.floating)
    )
