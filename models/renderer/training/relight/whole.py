"""The refiner of whole frames, for a GPU: hair, edges, neck and skin of a turned head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from visavis.models.renderer.refiner import CELL
from visavis.models.renderer.training.relight.gates import open_cells

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]


class Graph(Protocol):
    """The part of an engine that is needed here."""

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        """Map a frame to a better one.

        Takes ``frame`` and ``photo`` (B, S, S, 3) in 0-255, ``shift`` (B, S/4, S/4, 2),
        ``inside`` and ``gate`` (B, S/4, S/4, 1), all float32; returns ``picture`` like ``frame``.
        """
        ...


class FrameRefiner:
    """Repairs whole frames of one session; keeps nothing between them.

    Where nothing has moved from its place in the photo, every bit stays.
    """

    def __init__(self, graph: Graph) -> None:
        """Use a loaded graph, which sessions may share."""
        self._graph = graph
        self._photo: Floats | None = None

    def refine_whole(
        self, out: Image, photo: Image, moved: Floats, hole: Image, unit: float
    ) -> None:
        """Change a frame in place.

        Args:
            out: ``(S, S, 3)`` uint8, S a multiple of 4.
            photo: ``(S, S, 3)`` uint8, the same in every call.
            moved: ``(S/4, S/4, 2)`` float32, how many pixels from its own place a cell shows.
            hole: ``(S/4, S/4)`` uint8, 255 where a cell has some inside of the mouth.
            unit: inter-ocular distance in pixels.

        Raises:
            ValueError: the graph answers with another shape than it was asked.
        """
        if self._photo is None:
            self._photo = photo.astype(np.float32)[None]
        shift = np.clip(moved * np.float32(1 / unit), -1, 1)
        gate = open_cells(shift, hole)
        if gate.max() <= 0:
            return
        inputs = {
            "frame": out.astype(np.float32)[None], "photo": self._photo, "shift": shift[None],
            "inside": (hole * np.float32(1 / 255))[None, ..., None],
            "gate": gate[None, ..., None],
        }  # fmt: skip
        picture = np.asarray(self._graph.run(inputs)["picture"])[0]
        if picture.shape != out.shape:
            raise ValueError(f"The frame's graph answers with the shape {picture.shape}.")
        rows, columns = np.flatnonzero(gate.any(1)), np.flatnonzero(gate.any(0))
        box = np.s_[
            CELL * max(0, rows[0] - 1) : CELL * (rows[-1] + 2),
            CELL * max(0, columns[0] - 1) : CELL * (columns[-1] + 2),
        ]
        out[box] = np.rint(np.clip(picture[box], 0, 255)).astype(np.uint8)
