"""Every seed and every find, and a fixed number of mutations of them: under a minute in all.

Each target runs in a process of its own, since native decoders end theirs where they fail.
``make fuzz`` searches for an hour.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.fuzz.run import HERE, TARGETS, corpus, keep, load

# Mutations that a target can take in some six seconds.
COUNTS = {
    "streamer.media.audio_file": 120,
    "models.appearance.identity": 60,
    "streamer.avatars.record": 250,
    "streamer.worker.protocol": 250,
}


@pytest.mark.parametrize("name", TARGETS)
def test_mutations_of_the_corpus(name: str) -> None:
    count = str(COUNTS.get(name, 400))
    command = [sys.executable, "-m", "tests.fuzz.run", name, "--here", "--examples", count]
    done = subprocess.run(
        command, cwd=HERE.parents[1], capture_output=True, text=True, timeout=170, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize(
    ("name", "path"), [(name, path.name) for name in TARGETS for path in corpus(name)]
)
def test_a_seed_or_find(name: str, path: str) -> None:
    """In this process: a find that crashed natively is mended before it is kept."""
    (file,) = [found for found in corpus(name) if found.name == path]
    load(name)(file.read_bytes())


def test_every_target_has_seeds() -> None:
    assert [name for name in TARGETS if not corpus(name)] == []


def test_a_find_is_kept_and_makes_the_run_fail(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A harness that cannot fail finds nothing."""
    from pathlib import Path

    import tests.fuzz.run as run

    assert isinstance(tmp_path, Path)
    monkeypatch.setattr(run, "CORPUS", tmp_path)
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "seed").write_bytes(b"a seed")

    def target(data: bytes) -> None:
        assert b"\xff\xff" not in data

    monkeypatch.setattr(run, "load", lambda name: target)
    with pytest.raises(AssertionError):
        run.examples("toy", 400, 0)
    (find,) = (tmp_path / "toy").glob("find-*")
    assert b"\xff\xff" in find.read_bytes() and len(find.read_bytes()) < 20, "and it is small"
    assert keep("toy", b"x").parent == tmp_path / "toy"
