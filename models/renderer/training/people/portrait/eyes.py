"""What a portrait says of its eyes: the iris' size and colour, the colour of the white."""

from __future__ import annotations

import numpy as np

from visavis.models.appearance.face.fit import EYE_CONTOUR
from visavis.models.appearance.layers.shapes import polygon_mask
from visavis.models.arrays import Floats
from visavis.models.renderer.training.people.drawing.light import to_linear
from visavis.models.renderer.training.people.portrait.portrait import WORK, Portrait


def measure_eyes(portrait: Portrait) -> tuple[float, Floats, Floats]:
    """Return the iris' radius in portrait pixels, its linear colour and the white's."""
    points, samples, whites, radii = portrait.points, [], [], []
    y, x = np.mgrid[0:WORK, 0:WORK]
    for centre in (468, 473):
        at = points[centre, :2]
        radius = float(np.linalg.norm(points[centre + 1 : centre + 5, :2] - at, axis=1).mean())
        radii.append(radius)
        r = np.hypot(x - at[0], y - at[1])
        inside = np.zeros((WORK, WORK), bool)
        for contour in EYE_CONTOUR:
            outline = points[list(contour), :2]
            if np.linalg.norm(outline.mean(0) - at) < 4 * radius:
                inside |= polygon_mask(outline, (WORK, WORK))
        samples.append(portrait.picture[inside & (r > 0.45 * radius) & (r < 0.8 * radius)])
        whites.append(portrait.picture[inside & (r > 1.2 * radius)])
    iris, white = np.concatenate(samples), np.concatenate(whites)
    colour = np.array([0.06, 0.03, 0.015])
    if len(iris) > 12:
        colour = to_linear(np.percentile(iris, 45, axis=0)).astype(np.float64)
        # A dark iris is brown, whatever its highlights make of it.
        dark = np.clip((0.09 - colour.mean()) / 0.06, 0, 1)
        colour *= 1 - 0.35 * dark
        colour = (1 - dark) * colour * 1.3 + dark * colour.mean() * np.array([1.6, 0.85, 0.5])
    pale = np.array([0.42, 0.38, 0.36])
    if len(white) > 12:
        measured = to_linear(np.percentile(white, 80, axis=0))
        # Half of the hue is the skin's light on it.
        measured = 0.5 * measured + 0.5 * measured.mean() * np.array([1.06, 0.99, 0.95])
        pale = np.clip(measured * 0.95, 0.14, 0.5)
    return (
        float(np.mean(radii)),
        np.clip(colour, 0.012, 0.5).astype(np.float32),
        pale.astype(np.float32),
    )
