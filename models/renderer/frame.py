"""One picture on its way through the renderer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from visavis.models.arrays import Floats, Image
from visavis.models.renderer.geometry.expression import Expression
from visavis.models.renderer.geometry.pose import HeadPose

Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels, the latter two beyond


class Skin(NamedTuple):
    """The skin in a box of the picture, as compiled loops take it.

    Attributes:
        source: ``(S, S, 2)`` float32, the photo's pixel that each pixel of the picture shows.
        coverage: ``(h, w)`` uint8, samples of each pixel of the box that are skin, 0-16.
        left: first column of the box.
        top: first row of the box.
    """

    source: Floats
    coverage: Image
    left: int
    top: int


class Lit(NamedTuple):
    """The inside of a mouth, lit.

    Attributes:
        vertices: ``(N, 3)`` in pixels.
        values: ``(N, 3)`` colours 0-255, or ``(N, 6)`` with the place in the photo's teeth behind.
        thin: ``(3,)`` the lips' inside, in shadow.
    """

    vertices: Floats
    values: Floats
    thin: Floats


@dataclass(frozen=True)
class Opening:
    """Where the skin has a hole, or may have one: the mouth or an eye.

    Attributes:
        box: around it.
        coverage: ``(h, w)`` uint8, samples of each pixel of the box that are skin, 0-16.
    """

    box: Box
    coverage: Image


@dataclass(frozen=True)
class FacePatch:
    """The face mesh as it was drawn, in the box around it.

    Attributes:
        depth: ``(h, w)`` float32, towards the viewer; ``FAR`` where there is no face.
        flow: ``(h, w, 3)`` float32: the photo's pixel, and how far the mesh shows there.
        left: first column.
        top: first row.
    """

    depth: Floats
    flow: Floats
    left: int
    top: int


@dataclass(frozen=True)
class Frame:
    """What is known of a picture while it is drawn; every painter takes it whole.

    Attributes:
        out: ``(S, S, 3)`` uint8 RGB, drawn into.
        source: ``(S, S, 2)`` float32, the photo's pixel that each pixel of ``out`` shows.
        expression: what the face does.
        pose: motion of head and torso.
        model: ``(V, 3)`` vertices in model cm, before ``pose``.
        points: ``(V, 3)`` the same in pixels, after it.
        face: the face mesh, drawn.
    """

    out: Image
    source: Floats
    expression: Expression
    pose: HeadPose
    model: Floats
    points: Floats
    face: FacePatch
