"""The only file here that imports the product: when modules move, this is what to adapt."""

from __future__ import annotations

from dataclasses import fields
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from visavis.models.appearance.enrol import enrol
from visavis.models.appearance.identity import Identity
from visavis.models.appearance.photo.photo import sanitise
from visavis.models.appearance.portrait import synthetic_portrait
from visavis.models.appearance.tracker.provider import open_tracker
from visavis.models.coefficients import COUNT, INDEX
from visavis.models.motion.stream import MotionStream
from visavis.streamer.worker.pipeline.motion_models import MotionModels, load_motion
from visavis.streamer.worker.pipeline.picture_models import PictureModels, load_pictures

Networks = Literal["bare", "shade", "light"]
RATE = MotionStream.SAMPLE_RATE
# No other engine computes the same bits; one thread a graph is what the worker gives them.
_ENGINE, _THREADS = "cpu", 1

__all__ = ["COUNT", "INDEX", "RATE", "Networks", "Product", "drawn_portrait", "parts"]


class Draws(Protocol):
    """A renderer of one identity."""

    def render(self, coefficients: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return a picture that is valid until the next call."""
        ...


def drawn_portrait() -> NDArray[np.uint8]:
    """Return the product's own drawn person, read as an upload is."""
    return sanitise(synthetic_portrait())


def parts(identity: Identity) -> dict[str, bytes]:
    """Return the bytes of every field of an identity; arrays with their shape and type."""
    found = {}
    for field in fields(identity):
        value = getattr(identity, field.name)
        if isinstance(value, np.ndarray):
            found[field.name] = f"{value.dtype.str}{value.shape}".encode() + value.tobytes()
        else:
            found[field.name] = repr(value).encode()
    return found


class Product:
    """The graphs, loaded once as the worker does, and the tracker of enrolment."""

    def __init__(self) -> None:
        self._tracker = open_tracker()
        self._motion: MotionModels = load_motion(_ENGINE, _THREADS)
        # Live pictures of 384 and more take the large network only where it is fast enough, which
        # no golden may depend on: asked for as a file is, it is always there.
        full = load_pictures(_ENGINE, _THREADS)
        self._pictures: dict[Networks, PictureModels] = {
            "bare": PictureModels(None, None),
            "shade": PictureModels(None, full.shade),
            "light": full,
        }

    def close(self) -> None:
        """Let the tracker go."""
        self._tracker.close()

    def enrol(self, photo: NDArray[np.uint8]) -> Identity:
        """Enrol a photo, and read the bundle back as the worker does."""
        made = enrol(photo, tracker=self._tracker)
        return Identity.from_bytes(made.to_bytes())

    def renderer(self, identity: Identity, size: int, networks: Networks) -> Draws:
        """Return what draws an identity in live pictures."""
        return self._pictures[networks].renderer(identity, size)

    def stream(
        self, *, fps: int, look_ahead_ms: int, seed: int, mood: str, style: float
    ) -> MotionStream:
        """Return a session's fresh motion stream."""
        return self._motion.stream(
            fps=fps, look_ahead_ms=look_ahead_ms, seed=seed, mood=mood, style=style
        )
