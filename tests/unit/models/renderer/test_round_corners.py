"""Lips that are shut in the corners of a rounded mouth are shut for whoever looks from above."""

from __future__ import annotations

import numpy as np
import pytest

from visavis.models.appearance.identity import Identity
from visavis.models.coefficients import INDEX, neutral
from visavis.models.renderer.renderer import Renderer

ROUND = {"jawOpen": 0.25, "mouthFunnel": 0.4, "mouthPucker": 0.4}


@pytest.mark.parametrize("pitch", [-0.3, 0.0, 0.3])
def test_no_whiskers_grow_from_a_rounded_mouth(astronaut_identity: Identity, pitch: float) -> None:
    renderer = Renderer(astronaut_identity)
    values = neutral()
    for name, value in {**ROUND, "headPitch": pitch}.items():
        values[INDEX[name]] = value
    renderer.render(values)
    seam, points = renderer.rig.lips, renderer.rig.points
    upper = (seam.read_upper @ points[seam.upper])[:, 1]
    lower = (seam.read_lower @ points[seam.lower])[:, 1]
    corners = np.abs(2.0 * seam.stations - 1.0) > 0.72
    inner = corners & (seam.stations > 0.02) & (seam.stations < 0.98)
    assert (lower - upper)[inner].max() < 0.0, "pixels that stay open"
    assert (lower - upper).max() > 5.0, "and the mouth is open between them"
