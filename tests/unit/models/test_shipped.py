"""Weights are used only if they are, to the byte, what their manifest says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from visavis.models.appearance.face import basis
from visavis.models.appearance.tracker import weights
from visavis.models.motion import stream
from visavis.models.renderer.relight import light, shade
from visavis.models.shipped import WeightsError, WeightsMissing

WEIGHTS = Path(basis.BASIS_PATH).parents[1]


def _basis() -> Any:
    return basis.load_basis(basis.BASIS_PATH)


# By the file: what loads it, and where it looks.
LOADERS: dict[str, tuple[Callable[[], Any], Any, str]] = {
    "face/basis.npz": (_basis, basis, "BASIS_PATH"),
    "motion/motion.onnx": (stream.load_motion_engine_path, stream, "MOTION_GRAPH"),
    "motion/flow.onnx": (stream.load_flow_engine_path, stream, "FLOW_GRAPH"),
    "light/light.onnx": (light.light_graph, light, "LIGHT_GRAPH"),
    "mouth/shade.onnx": (shade.shade_graph, shade, "SHADE_GRAPH"),
    "tracker/find.onnx": (weights.find_graph, weights, "FIND_GRAPH"),
    "tracker/face.onnx": (weights.face_graph, weights, "FACE_GRAPH"),
    "tracker/eye.onnx": (weights.eye_graph, weights, "EYE_GRAPH"),
    "tracker/lips.onnx": (weights.lips_graph, weights, "LIPS_GRAPH"),
    "tracker/matte.onnx": (weights.matte_graph, weights, "MATTE_GRAPH"),
}


@pytest.fixture
def moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Copy a folder of weights to where it may be spoilt."""

    def move(name: str) -> Path:
        folder = WEIGHTS / name.split("/")[0]
        shutil.copytree(folder, tmp_path / folder.name)
        _, module, constant = LOADERS[name]
        monkeypatch.setattr(module, constant, tmp_path / name)
        return tmp_path / name

    return move


def test_every_file_of_numbers_has_a_loader_that_checks_it() -> None:
    found = {p.relative_to(WEIGHTS).as_posix() for p in WEIGHTS.rglob("*") if p.is_file()}
    assert {n for n in found if Path(n).suffix not in (".json", ".md", ".txt")} == set(LOADERS)


@pytest.mark.parametrize("name", sorted(LOADERS))
def test_one_changed_byte_is_refused_in_a_sentence(name: str, moved: Callable[[str], Path]) -> None:
    path, load = moved(name), LOADERS[name][0]
    load()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    basis.load_basis.cache_clear()
    with pytest.raises(WeightsError, match=r"do not match their manifest; reinstall them\.$"):
        load()


@pytest.mark.parametrize("name", sorted(LOADERS))
def test_what_is_missing_or_has_no_sum_is_refused_in_a_sentence(
    name: str, moved: Callable[[str], Path]
) -> None:
    path, load = moved(name), LOADERS[name][0]
    manifest = path.parent / "manifest.json"
    sums = json.loads(manifest.read_text("utf-8"))
    manifest.write_text(json.dumps({k: v for k, v in sums.items() if "sha256" not in k}))
    with pytest.raises(WeightsError, match="is damaged; reinstall"):
        load()
    path.unlink()
    with pytest.raises(WeightsMissing, match="are missing at"):
        load()
