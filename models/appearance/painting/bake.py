"""From an identity to one whose mouth is painted: draw it wide open, paint, keep as texture."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.models.appearance.basis import FaceBasis, load_basis
from visavis.models.appearance.identity import Identity
from visavis.models.appearance.layers import push_pull
from visavis.models.appearance.painting.canvas import (
    EYE_POINTS,
    GUM,
    HEIGHT,
    MOUTH_POINTS,
    UPPER,
    WIDTH,
    Canvas,
    Labels,
    cut,
    draw_maps,
    labels,
    on_canvas,
    placement,
)
from visavis.models.appearance.painting.painter import Graph, choose, paint, settle
from visavis.models.coefficients import INDEX, neutral
from visavis.models.renderer.renderer import InsideView, Renderer
from visavis.models.renderer.throat import TONGUE_ACROSS, TONGUE_ALONG

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]

# The widest mouth that still looks like one in a portrait: both rows and some tongue show.
WIDEST = {
    "jawOpen": 0.22, "mouthSmileLeft": 0.6, "mouthSmileRight": 0.6, "mouthUpperUpLeft": 0.5,
    "mouthUpperUpRight": 0.5, "mouthLowerDownLeft": 0.5, "mouthLowerDownRight": 0.5,
    "mouthStretchLeft": 0.2, "mouthStretchRight": 0.2,
}  # fmt: skip
_ENLARGED = 2  # texture pixels per pixel of the canvas
# Parts that share a band of the texture: what is painted at a place stays there. The lower row is
# too little seen in portraits to be painted well; it is drawn in the colour of the upper one.
_BANDS = ((UPPER, GUM),)
_DIMMED = 0.9  # calm photos are painted brighter than portraits with these teeth are
_DETAIL = 0.85  # of the painting's: a wrong edge is worse than a soft one
_SEEN = 0.75
_LEAST_SHOWN = 30  # pixels from which a band is painted at all


def paint_mouth(identity: Identity, graph: Graph, *, seed: int = 0) -> Identity:
    """Return the identity with the inside of its mouth painted.

    A person whose photo shows their own teeth keeps them; a mouth that does not open in the
    picture is left as it is.

    Args:
        identity: the enrolled person.
        graph: the painting network.
        seed: of the noise; the same photo gets the same teeth.
    """
    if identity.teeth.size:
        return identity
    view = Renderer(identity, size=identity.size).look_inside(widest())
    if view is None:
        return identity
    basis = load_basis()
    canvas, points = prepare(basis, labels(basis), view)
    if (canvas.hole > 0.5).sum() < 60:
        return identity
    paintings = paint(graph, canvas, seed=seed)
    best = settle(paintings, choose(paintings, canvas, identity.colours.teeth), canvas)
    if identity.colours.grey > 0.5:
        best = np.repeat(best.mean(2, keepdims=True), 3, 2)
    return bake(identity, canvas, best, view, points)


def widest() -> Floats:
    """Return the coefficients ``(COUNT,)`` of the mouth that is painted."""
    values = neutral()
    for name, value in WIDEST.items():
        values[INDEX[name]] = value
    return values


def prepare(basis: FaceBasis, known: Labels, view: InsideView) -> tuple[Canvas, Floats]:
    """Return the canvas of a drawn frame, and every labelled vertex on it ``(V + T, 3)``."""
    marks = view.points[basis.landmarks[list((*EYE_POINTS, *MOUTH_POINTS))], :2]
    place = placement(marks[:2], marks[2:].mean(0))
    tongue = view.inside.vertices[len(view.inside.used) :][: TONGUE_ACROSS * TONGUE_ALONG]
    points = np.concatenate([view.points, tongue])
    points = on_canvas(points, place)
    hole = np.clip(cut(view.hole, place), 0, 1)
    return Canvas(cut(view.frame, place), hole, draw_maps(known, points)), points


def bake(
    identity: Identity, canvas: Canvas, painting: Floats, view: InsideView, points: Floats
) -> Identity:
    """Return the identity with a painting as texture of teeth and gums.

    Each part has its own band of the texture, filled beyond what the lips let see from what they
    do, so that no part ever shows another's colour.
    """
    known, count = labels(load_basis()), len(identity.rest)
    soft = cv2.GaussianBlur(painting, (0, 0), 2.0)
    painting = np.clip(_DIMMED * (soft + _DETAIL * (painting - soft)), 0, 255)
    light = np.ones(count, np.float32)
    light[view.inside.used] = view.inside.light[: len(view.inside.used)]
    places = np.full((count, 4), -1, np.float32)
    bands: list[Image] = []
    colours: list[Floats] = []
    for parts in _BANDS:
        shown = (canvas.maps[..., list(parts)].sum(2) > _SEEN) & (canvas.hole > _SEEN)
        if shown.sum() < _LEAST_SHOWN:
            continue
        rows = np.flatnonzero(np.isin(known.parts[:count], parts))
        at = (np.clip(points[rows, :2], 0, (WIDTH - 1, HEIGHT - 1)) + 0.5) * _ENLARGED - 0.5
        at[:, 1] += len(bands) * HEIGHT * _ENLARGED
        places[rows] = np.column_stack([at, light[rows], np.full(len(rows), len(bands))])
        bands.append(_band(painting, shown))
        colours.append(painting[shown].mean(0))
    if not bands:
        return identity
    tooth = (canvas.maps[..., UPPER] > _SEEN) & (canvas.hole > _SEEN)
    teeth = painting[tooth].mean(0) if tooth.any() else np.array(identity.colours.teeth)
    return replace(
        identity,
        colours=replace(identity.colours, teeth=tuple(float(v) for v in teeth)),
        painted=np.concatenate(bands),
        painted_places=places,
        painted_colours=np.stack(colours).astype(np.float32),
    )


def _band(painting: Floats, shown: NDArray[np.bool_]) -> Image:
    """Return one part's texture, ``(HEIGHT * _ENLARGED, WIDTH * _ENLARGED, 3)``."""
    filled = push_pull(painting, shown.astype(np.float32))
    size = (WIDTH * _ENLARGED, HEIGHT * _ENLARGED)
    large = cv2.resize(filled, size, interpolation=cv2.INTER_CUBIC)
    return np.clip(np.rint(large), 0, 255).astype(np.uint8)
