"""No shreds under the nose of a head that tips back, nor under a falling jaw."""

from __future__ import annotations

import numpy as np
import pytest

from visavis.models.appearance.face.basis import load_basis
from visavis.models.appearance.identity import Identity
from visavis.models.coefficients import INDEX, neutral
from visavis.models.renderer.geometry.nostrils import NostrilCaps
from visavis.models.renderer.geometry.pose import head_pose
from visavis.models.renderer.renderer import Renderer
from visavis.models.renderer.shell import hidden_in_photo


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
    x, y = np.rint(renderer.rig.points[basis.landmarks[2], :2]).astype(int)
    unit = astronaut_identity.inter_ocular_px
    rows, half = slice(y - int(0.22 * unit), y + 1), int(0.22 * unit)
    source = renderer.shown()[rows, x - half : x + half]
    across = np.abs(np.diff(source, axis=1)).max()
    down = np.abs(np.diff(source, axis=0)).max()
    assert max(across, down) < 3.5  # pixels of the photo from one pixel to the next


def test_the_throat_has_no_holes_under_a_falling_jaw(astronaut_identity: Identity):
    renderer, basis = Renderer(astronaut_identity), load_basis()
    unit = astronaut_identity.inter_ocular_px
    for jaw in (0.1, 0.2, 0.3, 0.4):
        vector = neutral()
        vector[INDEX["jawOpen"]] = jaw
        renderer.render(vector)
        x, y = np.rint(renderer.rig.points[basis.landmarks[152], :2]).astype(int)
        rows = slice(y - int(0.05 * unit), y + int(0.2 * unit))
        columns = slice(x - int(0.3 * unit), x + int(0.3 * unit))
        source = renderer.shown()[rows, columns]
        assert np.abs(np.diff(source, axis=1)).max() < 0.04 * unit
        rig = renderer.rig
        pose = head_pose(vector, rig.unit, rig.turning, rig.yaw)
        face = renderer._draw_face(rig.points, pose)
        depth, flow, left, top = face.depth, face.flow, face.left, face.top
        part = np.s_[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        assert (depth[part] > -1e8).all()
        assert flow[part][..., 2].min() > 0.5


def test_what_the_jaw_hides_does_not_come_out_beside_the_neck(astronaut_identity: Identity):
    renderer, basis = Renderer(astronaut_identity), load_basis()
    hidden = hidden_in_photo(
        basis.part("face"), renderer.rig.points, renderer.size, renderer.rig.scale
    )
    at = basis.neutral
    aside = (hidden == 1) & (np.abs(at[:, 0]) > 4.2) & (at[:, 1] < -4.0)
    aside[renderer.rig.face_count :] = False
    assert aside.sum() > 20  # the neck behind both angles of the jaw
    assert renderer._values[aside, 2].max() == 0.0
    front = basis.landmarks[[1, 50, 280, 151, 199]]  # nose, cheeks, forehead, chin
    assert hidden[front].max() == 0.0
    assert renderer._values[front, 2].min() > 0.95
