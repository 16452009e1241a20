"""No bright shreds under the nose of a head that tips back."""

from __future__ import annotations

import numpy as np
import pytest

from models.appearance.basis import load_basis
from models.appearance.identity import Identity
from models.coefficients import INDEX, neutral
from models.renderer.nostrils import NostrilCaps
from models.renderer.renderer import Renderer


def test_caps_lie_between_their_rims():
    basis = load_basis()
    points = basis.neutral.copy()
    caps = NostrilCaps(basis)
    caps.apply(points)
    moved = np.flatnonzero(np.abs(points - basis.neutral).max(1) > 0.05)
    assert 10 < len(moved) < 120
    nose = basis.neutral[basis.landmarks[2]]
    assert np.linalg.norm(points[moved] - nose, axis=1).max() < 3.0
    again = points.copy()
    caps.apply(again)
    np.testing.assert_allclose(again, points, atol=1e-5)


@pytest.mark.parametrize("pitch", [-0.10, -0.21])
def test_the_photo_is_not_torn_under_the_nose(astronaut_identity: Identity, pitch: float):
    renderer = Renderer(astronaut_identity)
    vector = neutral()
    vector[INDEX["headPitch"]] = pitch
    renderer.render(vector)
    basis = load_basis()
    x, y = np.rint(renderer._rig.points[basis.landmarks[2], :2]).astype(int)
    unit = astronaut_identity.inter_ocular_px
    rows, half = slice(y - int(0.22 * unit), y + 1), int(0.22 * unit)
    source = renderer._source[rows, x - half : x + half]
    across = np.abs(np.diff(source, axis=1)).max()
    down = np.abs(np.diff(source, axis=0)).max()
    assert max(across, down) < 3.5  # pixels of the photo from one pixel to the next
