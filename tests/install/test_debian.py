"""A new Debian 13, whose Python MediaPipe does not know, installs, enrols and renders."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.install.debian import DebianRoot, lacking, mirror, prove


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(bool(lacking()), reason=lacking() or "it can be made")
def test_a_new_debian_installs_enrols_and_renders(tmp_path: Path) -> None:
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    photo = tmp_path / "photo.png"
    Image.fromarray(data.astronaut()).save(photo)
    root = DebianRoot(tmp_path / "root", "trixie", mirror())
    root.make()
    measured = prove(root, photo)
    versions = measured["versions"]
    assert isinstance(versions, dict)
    assert versions["python"].startswith("3.13") and int(versions["numpy"].split(".")[0]) >= 2
    assert not versions["mediapipe"]
    assert isinstance(measured["installed_mb"], int) and measured["installed_mb"] <= 1000
