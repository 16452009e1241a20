"""The frame as one graph draws what the compiled renderer draws, on another machine's terms."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest

from tests.golden.material import poses
from visavis.engines.tensorrt.compiler import Job, compile_plan, prepared
from visavis.models.appearance.identity import Identity
from visavis.models.arrays import Floats, Image
from visavis.models.renderer.frame import Frame, Opening
from visavis.models.renderer.graph.constants import Arrays, frame_arrays, identity_arrays
from visavis.models.renderer.graph.frame import Colour, frame_graph
from visavis.models.renderer.renderer import Renderer

SIZE = 256
FEW = ("rest", "jaw .65", "yaw -", "pitch -", "roll +", "breath and shrug", "all at once")


class Unpainted(Renderer):
    """Stops where the graph does: nothing is painted over the warp, and edges are as they are."""

    def render(self, coefficients: Floats) -> Image:
        """Return the warp over the background."""
        vector = self._vector(coefficients)
        pose = self._pose(vector)
        points = self.rig.pose(self.rig.express(self.rig.map(vector)), pose)
        self._shell.update(points, pose)
        self._compose(self._draw_face(points, pose))
        return self._out

    def _openings(self, frame: Frame) -> tuple[Opening | None, list[Opening]]:
        raise AssertionError("there is nothing to paint")


def psnr(a: Image, b: Image) -> float:
    error = np.mean((a.astype(np.float64) - b) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def session(colour: Colour, threads: int = 2) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    model = frame_graph(SIZE, colour=colour).SerializeToString()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def stacked(parts: list[Arrays]) -> Arrays:
    return {name: np.stack([part[name] for part in parts]) for name in parts[0]}


@pytest.fixture(scope="module")
def cpu(astronaut_identity: Identity) -> Unpainted:
    return Unpainted(astronaut_identity, size=SIZE)


def test_the_warp_is_the_compiled_renderers(cpu: Unpainted) -> None:
    graph, constants = session("rgb"), identity_arrays(cpu)
    for name in FEW:
        vector = poses()[name]
        expected = cpu.render(vector).copy()
        (drawn,) = graph.run(None, stacked([{**constants, **frame_arrays(cpu, vector)}]))
        assert psnr(expected, drawn[0]) > 55, name


def test_sessions_of_a_batch_do_not_mix(cpu: Unpainted) -> None:
    graph, constants = session("rgb"), identity_arrays(cpu)
    vectors = [poses()[name] for name in ("yaw +", "rest")]
    parts = [{**constants, **frame_arrays(cpu, vector)} for vector in vectors]
    parts[1]["background"] = 255 - parts[1]["background"]
    (both,) = graph.run(None, stacked(parts))
    for k, part in enumerate(parts):
        (alone,) = graph.run(None, stacked([part]))
        np.testing.assert_array_equal(both[k], alone[0])
    assert psnr(both[0], both[1]) < 25


def test_nv12_is_the_encoders_yuv(cpu: Unpainted) -> None:
    vector = poses()["yaw +"]
    feed = stacked([{**identity_arrays(cpu), **frame_arrays(cpu, vector)}])
    (nv12,) = session("nv12").run(None, feed)
    expected = cv2.cvtColor(cpu.render(vector), cv2.COLOR_RGB2YUV_I420)
    assert np.abs(nv12[0, :SIZE].astype(int) - expected[:SIZE]).max() <= 12
    assert psnr(nv12[0, :SIZE], expected[:SIZE]) > 50
    u, v = (plane.reshape(SIZE // 2, SIZE // 2) for plane in np.split(expected[SIZE:], 2))
    chroma = nv12[0, SIZE:].reshape(SIZE // 2, SIZE // 2, 2)
    # OpenCV reads one pixel of four, the graph their mean.
    assert psnr(chroma, np.stack([u, v], -1)) > 40


def test_a_size_without_whole_tiles_is_refused() -> None:
    with pytest.raises(ValueError, match="250 pixels cannot be cut into tiles of 8"):
        frame_graph(250)


def test_it_compiles_for_ada(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="NVIDIA has no wheel of TensorRT-RTX here")
    path = tmp_path / "frame.onnx"
    onnx.save(frame_graph(SIZE), path)
    job = Job(path, "sm89", precision="fp32", buckets=(1, 4))
    assert len(compile_plan(job, prepared(job))) > 1 << 20
