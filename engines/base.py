"""What every engine offers: load once, run many times, close."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Tensors = Mapping[str, NDArray[np.generic]]


class EngineError(RuntimeError):
    """An engine could not load or run a graph; the message is one sentence for the user."""


class InputError(EngineError):
    """What the caller passed does not fit the graph; another engine would refuse it too."""


class OutOfMemory(EngineError):
    """The device has no room for the graph."""


class Engine(Protocol):
    """Runs one graph on static shapes."""

    @property
    def provider(self) -> str:
        """Return what runs the graph, for people."""
        ...

    def warm_up(self) -> None:
        """Run once on zeros so that the first real call is not the slow one."""
        ...

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.generic]]:
        """Run the graph; names and shapes as in the graph's own signature.

        Raises:
            EngineError: a name, shape or dtype does not fit, or the provider failed.
        """
        ...

    def close(self) -> None:
        """Give back memory; the engine cannot be used afterwards."""
        ...
