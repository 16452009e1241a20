"""The graphs that light mouths, loaded once and shared by every renderer of a process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engines.base import Engine

if TYPE_CHECKING:
    from models.appearance.identity import Identity
    from models.renderer.renderer import Renderer


@dataclass(frozen=True)
class PictureModels:
    """What turns coefficients into pictures.

    Attributes:
        light: the graph of the mouth's light in large pictures; None draws without it.
        shade: the same of small ones.
    """

    light: Engine | None
    shade: Engine | None

    def renderer(self, identity: Identity, size: int) -> Renderer:
        """Return a renderer of one identity.

        Raises:
            IdentityError: the identity does not fit the installed face basis.
        """
        from models.renderer.refine.light import SMALLEST, MouthLight
        from models.renderer.refine.shade import MouthShade
        from models.renderer.refiner import Refiner
        from models.renderer.renderer import Renderer

        refiner: Refiner | None = None
        if size >= SMALLEST and self.light is not None:
            refiner = MouthLight(self.light, own_teeth=identity.teeth.size > 0)
        elif self.shade is not None:
            refiner = MouthShade(self.shade)
        return Renderer(identity, size=size, refiner=refiner)


def load_pictures(
    engine: str, threads: int = 1, callers: int = 1, *, refine: bool = True
) -> PictureModels:
    """Load the shipped graphs, checked against their manifests.

    Args:
        engine: the engine to run graphs on.
        threads: threads per graph.
        callers: threads that will draw; what several want at the same time is one batch.
        refine: False draws the warp as it is.

    Raises:
        FileNotFoundError: the weights are not there.
        ValueError: a file is not the one its manifest describes.
        EngineError: a graph cannot be run here.
    """
    if not refine:
        return PictureModels(None, None)
    from engines import select
    from engines.batching import BatchingEngine
    from models.renderer.refine.light import light_graph
    from models.renderer.refine.shade import shade_graph

    graphs: list[Engine] = [
        select.load(graph, engine, threads=threads) for graph in (light_graph(), shade_graph())
    ]
    if callers > 1:
        graphs = [BatchingEngine(graph) for graph in graphs]
    return PictureModels(*graphs)
