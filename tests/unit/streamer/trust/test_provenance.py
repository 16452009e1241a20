"""Signed manifests on files: read back, found broken, made without asking anybody."""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path

import pytest

from tests.unit.streamer.trust.test_verdict import film
from visavis.streamer.trust.marks import provenance
from visavis.streamer.trust.marks.mark import Marking
from visavis.streamer.trust.marks.verdict import verify_file

needs_library = pytest.mark.skipif(
    not provenance.available(), reason="c2pa-python is not installed"
)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return film(tmp_path_factory.mktemp("film") / "plain.mp4", Marking(False)).read_bytes()


@needs_library
def test_a_signed_file_says_so_and_a_changed_one_too(
    plain: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, data = tmp_path / "said.mp4", tmp_path / "data"
    path.write_bytes(plain)
    asked: list[object] = []
    monkeypatch.setattr(socket.socket, "connect", lambda *a: asked.append(a))
    assert provenance.sign_video(path, data, avatar_sha256="ab" * 32)
    trusted, unknown = provenance.read_manifest(path, data), provenance.read_manifest(path)
    assert (trusted["state"], trusted["generated"], trusted["problems"]) == ("Trusted", True, [])
    assert unknown["state"] == "Valid" and unknown["problems"] == ["signingCredential.untrusted"]
    verdict = verify_file(path, None, data)
    assert verdict.is_marked and "trusted here" in verdict.words
    changed = bytearray(path.read_bytes())
    changed[changed.rfind(b"mdat") + 4000] ^= 255
    path.write_bytes(changed)
    broken = provenance.read_manifest(path, data)
    assert broken["state"] == "Invalid" and not broken["generated"]
    assert "assertion.bmffHash.mismatch" in broken["problems"]
    assert asked == []
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("said")] == ["said.mp4"]


@needs_library
def test_the_photo_is_an_ingredient_by_its_hash_alone(plain: bytes, tmp_path: Path) -> None:
    path, photo = tmp_path / "said.mp4", bytes(range(256)) * 40
    path.write_bytes(plain)
    digests = [hashlib.sha256(photo).hexdigest(), "", "ff" * 32, "ff" * 32]
    assert provenance.sign_video(path, tmp_path, photos=digests)
    said = provenance.read_manifest(path, tmp_path)
    assert (said["state"], said["problems"]) == ("Trusted", [])
    assert said["photos"] == [digests[0], "ff" * 32], "each once, and what is not known left out"
    assert photo[:64] not in path.read_bytes()
    path.write_bytes(plain)
    assert provenance.sign_video(path, tmp_path)
    assert provenance.read_manifest(path, tmp_path)["photos"] == []


@needs_library
def test_another_deployment_is_not_trusted(plain: bytes, tmp_path: Path) -> None:
    path = tmp_path / "said.mp4"
    path.write_bytes(plain)
    provenance.sign_video(path, tmp_path / "one")
    provenance.credentials(tmp_path / "other")
    assert provenance.read_manifest(path, tmp_path / "other")["state"] == "Valid"
    key = tmp_path / "one" / "trust" / "c2pa" / "signer.key"
    assert key.stat().st_mode & 0o077 == 0


def test_what_has_no_manifest_says_nothing(plain: bytes, tmp_path: Path) -> None:
    path = tmp_path / "plain.mp4"
    path.write_bytes(plain)
    assert not provenance.read_manifest(path).get("generated")
    assert provenance.sign_video(tmp_path / "film.mkv", tmp_path) is False
    assert not (tmp_path / "trust").exists()
