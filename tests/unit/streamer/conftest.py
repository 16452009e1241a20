"""What tests of several parts of the server need."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.processes.fake_server import put_avatar
from visavis.streamer.avatars.store import AvatarStore
from visavis.streamer.config import LimitsConfig


@pytest.fixture
def store(tmp_path: Path) -> AvatarStore:
    """Ada and Bob, without a face that was ever photographed."""
    for letter, name in (("a", "Ada"), ("b", "Bob")):
        put_avatar(tmp_path, letter, name, "#777777")
    return AvatarStore(tmp_path, LimitsConfig(), 256)


@pytest.fixture
def image(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A small file system in a file, mounted: ``(image, folder)``."""
    file, folder = tmp_path / "disk.img", tmp_path / "disk"
    folder.mkdir()
    file.write_bytes(bytes(16 << 20))
    try:
        subprocess.run(["mkfs.ext4", "-q", "-F", str(file)], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "loop", str(file), str(folder)], check=True,
                       capture_output=True)  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no loop mounts here")
    yield file, folder
    subprocess.run(["umount", str(folder)], check=False, capture_output=True)
