"""The graph that lights mouths, loaded once and shared by every renderer of a process."""

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
        shade: the graph of the mouth's light; None draws without it.
    """

    shade: Engine | None

    def renderer(self, identity: Identity, size: int) -> Renderer:
        """Return a renderer of one identity.

        Raises:
            IdentityError: the identity does not fit the installed face basis.
        """
        from models.renderer.refine.shade import MouthShade
        from models.renderer.renderer import Renderer

        refiner = None if self.shade is None else MouthShade(self.shade)
        return Renderer(identity, size=size, refiner=refiner)


def load_pictures(
    engine: str, threads: int = 1, callers: int = 1, *, refine: bool = True
) -> PictureModels:
    """Load the shipped graph, checked against its manifest.

    Args:
        engine: the engine to run graphs on.
        threads: threads per graph.
        callers: threads that will draw; what several want at the same time is one batch.
        refine: False draws the warp as it is.

    Raises:
        FileNotFoundError: the weights are not there.
        ValueError: the file is not the one its manifest describes.
        EngineError: the graph cannot be run here.
    """
    if not refine:
        return PictureModels(None)
    from engines import select
    from models.renderer.refine.shade import shade_graph

    shade = select.load(shade_graph(), engine, threads=threads)
    if callers > 1:
        from engines.batching import BatchingEngine

        return PictureModels(BatchingEngine(shade))
    return PictureModels(shade)
