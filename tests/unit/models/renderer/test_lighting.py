"""What both networks that light a mouth may do to a face, and what they may not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.fakes.mouths import frame, talking
from visavis.benchmarks.quality.renderer.renderer import draw
from visavis.engines.onnx_engine import OnnxEngine
from visavis.models.appearance.identity import Identity
from visavis.models.coefficients import neutral
from visavis.models.renderer.refiner import Places, RefinerInput
from visavis.models.renderer.relight.crop import SIDE, pack, take
from visavis.models.renderer.relight.light import MouthLight, light_graph
from visavis.models.renderer.relight.lighting import Lighting
from visavis.models.renderer.relight.shade import MouthShade, shade_graph
from visavis.models.renderer.renderer import Renderer


@pytest.fixture(params=[(MouthShade, shade_graph), (MouthLight, light_graph)], ids=lambda p: p[0])
def lighting(request: pytest.FixtureRequest) -> Lighting:
    kind, graph = request.param
    return kind(OnnxEngine(graph()))


@pytest.fixture
def faces(astronaut_identity: Identity, lighting: Lighting) -> tuple[Renderer, Renderer]:
    """The same face without and with light."""
    return Renderer(astronaut_identity), Renderer(astronaut_identity, refiner=lighting)


def test_only_the_mouth_changes_and_stays_as_sharp(faces):
    plain, lit = faces
    for values in (talking(), talking(0.5), talking(0.25, headYaw=0.15)):
        before = plain.render(values).astype(np.int16)
        after = lit.render(values).astype(np.int16)
        changed = np.abs(after - before).max(axis=2) > 0
        assert 0.0005 < changed.mean() < 0.03
        ys, xs = np.nonzero(changed)
        part = np.s_[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
        sharpness = [cv2.Laplacian(p[part].astype(np.float32), -1).std() for p in (before, after)]
        assert sharpness[1] > 0.7 * sharpness[0]


def test_a_still_picture_stands_still_and_closed_lips_are_the_warps(faces):
    plain, lit = faces
    first = lit.render(talking()).copy()
    lit.render(talking(0.6, headYaw=-0.2))
    assert np.array_equal(lit.render(talking()), first)
    assert np.array_equal(lit.render(neutral()), plain.render(neutral()))


def test_half_a_pixel_of_motion_makes_no_jump(faces):
    frames = [talking(0.3, headYaw=0.002 * k) for k in range(12)]
    theirs, ours = (np.array([r.render(f).astype(np.float32) for f in frames]) for r in faces)
    jumps = [np.abs(np.diff(s, 2, axis=0)).mean() for s in (ours, theirs)]
    assert jumps[0] < 1.15 * jumps[1] + 0.01


def test_compared_with_other_refiners_it_draws_the_same(lighting: Lighting):
    shown = frame(SIDE, np.random.default_rng(5))
    smooth = [cv2.GaussianBlur(p, (0, 0), 3) for p in (shown.warped, shown.photo, shown.interior)]
    shown = RefinerInput(*smooth, shown.vertices, shown.inside)
    places = Places((100, 100, 116, 116), SIDE / 1.35)
    box = lighting.box(256, places)
    assert box == (60, 60, 60 + SIDE, 60 + SIDE)
    live = lighting.refine(shown)
    x = pack(take(shown, box, places.unit))
    lit, plain = (draw(one, x[None])[0].transpose(2, 0, 1) for one in (lighting, None))
    ours = (live.residual * live.alpha[..., None]).transpose(2, 0, 1)
    assert np.abs(ours).max() > 3.0
    assert np.abs(ours - (lit - plain)).mean() < 0.35
