"""The graphs that light mouths, loaded once and shared by every renderer of a process."""

from __future__ import annotations

import logging
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from visavis.engines.base import Engine
from visavis.streamer.worker.pipeline.view import View, open_backdrop

if TYPE_CHECKING:
    from visavis.models.appearance.identity import Identity
    from visavis.models.renderer.canvas import Canvas
    from visavis.models.renderer.renderer import Renderer

logger = logging.getLogger(__name__)

AFFORDABLE_MS = 2.5
"""Of the 40 a frame has at 25 per second; drawing, encoding and hearing need the rest."""
_ROUNDS = 15


@dataclass(frozen=True)
class PictureModels:
    """What turns coefficients into pictures.

    Attributes:
        light: the graph of the mouth's light in large pictures; None takes the shade for them.
        shade: the graph of the mouth's light in small ones; None draws without it.
    """

    light: Engine | None
    shade: Engine | None

    def canvas(self, identity: Identity, view: View) -> Canvas:
        """Return an identity on a canvas.

        Raises:
            IdentityError: the identity does not fit the installed face basis.
            BadRequest: the background is a picture that cannot be read.
        """
        from visavis.models.renderer.canvas import Canvas

        return Canvas(
            identity,
            view.width,
            view.height,
            framing=view.framing,
            backdrop=open_backdrop(view.background),
            renderer=lambda person, size, held: self.renderer(
                person, size, cutout=True, held_sides=held
            ),
        )

    def renderer(
        self, identity: Identity, size: int, *, cutout: bool = False, held_sides: float = 0.0
    ) -> Renderer:
        """Return a renderer of one identity.

        Args:
            identity: the person.
            size: side in pixels, a multiple of 4.
            cutout: draw the person alone, with their opacity.
            held_sides: part of the side over which motion fades out at the left and right.

        Raises:
            IdentityError: the identity does not fit the installed face basis.
        """
        from visavis.models.renderer.refiner import Refiner
        from visavis.models.renderer.relight.light import SMALLEST, MouthLight
        from visavis.models.renderer.relight.shade import MouthShade
        from visavis.models.renderer.renderer import Renderer

        refiner: Refiner | None = None
        if size >= SMALLEST and self.light is not None:
            refiner = MouthLight(self.light, own_teeth=identity.teeth.size > 0)
        elif self.shade is not None:
            refiner = MouthShade(self.shade)
        return Renderer(identity, size=size, refiner=refiner, cutout=cutout, held_sides=held_sides)


def load_pictures(
    engine: str,
    threads: int = 1,
    callers: int = 1,
    *,
    refine: bool = True,
    live: bool = False,
    light: bool | None = None,
) -> PictureModels:
    """Load the shipped graphs, checked against their manifests.

    The light costs four times what the shade does. A file can wait for it; a live picture cannot,
    so for those it is timed here, once, and left out where it is too slow.

    Args:
        engine: the engine to run graphs on.
        threads: threads per graph.
        callers: threads that will draw; what several want at the same time is one batch.
        refine: False draws the warp as it is.
        live: pictures have to be there in time.
        light: what was decided before: whether the large network is used; None decides here.

    Raises:
        FileNotFoundError: the weights are not there.
        ValueError: a file is not the one its manifest describes.
        EngineError: a graph cannot be run here.
    """
    if not refine:
        return PictureModels(None, None)
    from visavis.engines import select
    from visavis.engines.batching import BatchingEngine
    from visavis.models.renderer.relight.light import light_graph
    from visavis.models.renderer.relight.shade import shade_graph

    shade: Engine = select.load(shade_graph(), engine, threads=threads)
    large: Engine | None = None
    if light is not False:
        large = select.load(light_graph(), engine, threads=threads)
    if light is None and live and large is not None and (spent := step_ms(large)) > AFFORDABLE_MS:
        logger.info("mouths are lit by the small network; the large one takes %.1f ms", spent)
        large.close()
        large = None
    if callers > 1:
        shade = BatchingEngine(shade)
        large = None if large is None else BatchingEngine(large)
    return PictureModels(large, shade)


def step_ms(light: Engine) -> float:
    """Return the median milliseconds that one mouth takes on the light's graph."""
    from visavis.models.renderer.relight.crop import SEEN, SIDE
    from visavis.models.renderer.relight.light import LIGHT_ROWS

    x = np.zeros((1, SEEN.stop - SEEN.start, LIGHT_ROWS, SIDE), np.float32)
    spent: list[float] = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        light.run({"x": x})
        spent.append(1e3 * (time.perf_counter() - began))
    return statistics.median(spent)
