"""A deployment's secrets are made once, whoever comes first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from visavis.streamer.errors import BadRequest
from visavis.streamer.trust import key_file
from visavis.streamer.trust.key_file import KEY_BYTES, kept_key


def test_who_comes_second_takes_what_is_there(tmp_path: Path) -> None:
    """Both looked before either had written: the first one's key must not be replaced."""
    path = tmp_path / "trust" / "a.key"
    first = kept_key(path, "The key")
    key_file._make(path)
    assert kept_key(path, "The key") == first and len(first) == KEY_BYTES
    assert [p.name for p in path.parent.iterdir()] == ["a.key"]


def test_many_at_once_get_the_same_key(tmp_path: Path) -> None:
    path = tmp_path / "b.key"
    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(lambda _: kept_key(path, "The key"), range(64)))) == 1
    assert path.stat().st_mode & 0o077 == 0


def test_a_damaged_or_unreadable_key_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "c.key"
    path.write_bytes(b"short")
    with pytest.raises(BadRequest, match=r"^The key .* is damaged; put back a copy of it\.$"):
        kept_key(path, "The key")
    with pytest.raises(BadRequest, match=r"^The key .* cannot be used: .*\.$"):
        kept_key(path / "below" / "a-file", "The key")
