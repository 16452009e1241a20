"""Run fuzz targets: ``python -m tests.fuzz.run [TARGET…] --seconds N``; ``make fuzz`` for an hour.

Atheris guides by coverage where it is installed; Hypothesis mutates the corpus otherwise, and in
the ordinary tests, where every run has to do the same. A find is kept as a named file beside the
seeds, ``tests/fuzz/corpus/TARGET/find-<hash>``, and so is tried for ever after.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import importlib.util
import logging
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "corpus"
TARGETS = (
    "streamer.webrtc.signaling",
    "streamer.webrtc.intake",
    "streamer.session.control",
    "streamer.http.schemas",
    "streamer.worker.protocol",
    "streamer.avatars.record",
    "streamer.media.audio_file",
    "models.appearance.photo",
    "models.appearance.identity",
)
AWKWARD = (b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"-1", b"9" * 400, b"[" * 99, b"NaN")
GUIDED = ("visavis", "aiortc", "PIL")  # whose branches guide the search
BLIND = ("models.appearance.identity",)  # compiled loops cannot be watched
LONGEST = 8192  # bytes of an input
Target = Callable[[bytes], None]


def load(name: str) -> Target:
    """Return a target's function."""
    found: Target = importlib.import_module(f"tests.fuzz.{name}").target
    return found


def corpus(name: str) -> list[Path]:
    """Return the seeds and finds of a target."""
    return sorted(path for path in (CORPUS / name).glob("*") if path.is_file())


def keep(name: str, data: bytes) -> Path:
    """Keep an input that failed."""
    path = CORPUS / name / f"find-{hashlib.sha256(data).hexdigest()[:12]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def examples(name: str, count: int, seed: int) -> None:
    """Try mutations of the corpus that Hypothesis chooses, the same ones each time.

    Raises:
        Exception: what the target raised; the smallest input that does is kept.
    """
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded

    target, failed = load(name), [b""]

    @seeded(seed)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(mutations(name))
    def attempt(data: bytes) -> None:
        try:
            target(data)
        except BaseException:
            failed[0] = data
            raise

    try:
        attempt()
    except BaseException:
        sys.stderr.write(f"kept as {keep(name, failed[0])}\n")
        raise


def mutations(name: str):
    """Return a strategy: a seed with pieces replaced, removed, doubled or taken from another."""
    from hypothesis import strategies as st

    seeds = [path.read_bytes()[:LONGEST] for path in corpus(name)]
    pieces = st.one_of(
        st.binary(max_size=8),
        st.sampled_from(
            [b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"-1", b"9" * 400, b"[" * 99]
        ),
        st.sampled_from(seeds).map(lambda seed: seed[: len(seed) // 2]),
    )
    change = st.tuples(st.integers(0, LONGEST), st.integers(0, 16), pieces)

    def apply(data: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
        for at, gone, new in changes:
            place = at % (len(data) + 1)
            data = data[:place] + new + data[place + gone :]
        return data[:LONGEST]

    changed = st.builds(apply, st.sampled_from(seeds), st.lists(change, max_size=6))
    return st.one_of(changed, changed, changed, st.binary(max_size=600))


def explore(name: str, seconds: float) -> None:
    """Search for as long as is given, guided by coverage if Atheris is there."""
    if name in BLIND or importlib.util.find_spec("atheris") is None:
        end, seed = time.monotonic() + seconds, random.SystemRandom()
        while time.monotonic() < end:
            examples(name, 40 if name in BLIND else 500, seed.getrandbits(32))
        return
    import atheris

    with atheris.instrument_imports(include=list(GUIDED)):
        target = load(name)
    found, work = CORPUS / name, HERE / ".work" / name
    for folder in (found, work):
        folder.mkdir(parents=True, exist_ok=True)
    limits = (f"-max_total_time={seconds:.0f}", f"-max_len={LONGEST}", "-rss_limit_mb=4096")
    command = [sys.argv[0], *limits, f"-artifact_prefix={found}/find-", str(work), str(found)]
    atheris.Setup(command, target)
    atheris.Fuzz()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the targets one after another, each in a process of its own, as a crash ends it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", choices=[[], *TARGETS])
    parser.add_argument("--seconds", type=float, help="of searching, for all of them together")
    parser.add_argument("--examples", type=int, default=200, help="of each target otherwise")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--here", action="store_true", help="run one target in this process")
    given = parser.parse_args(arguments)
    names = given.targets or list(TARGETS)
    if given.here:
        # Warnings are what is asked for; only here, as a level outlives the test that sets it.
        logging.getLogger("visavis").setLevel(logging.ERROR)
        (name,) = names
        if given.seconds:
            explore(name, given.seconds)
        else:
            examples(name, given.examples, given.seed)
        return 0
    failed = [name for name in names if _alone(name, given, len(names))]
    if failed:
        sys.stderr.write(f"fuzzing failed: {', '.join(failed)}\n")
    return bool(failed)


def _alone(name: str, given: argparse.Namespace, share: int) -> int:
    command = [sys.executable, "-m", "tests.fuzz.run", name, "--here"]
    if given.seconds:
        command += ["--seconds", f"{given.seconds / share:.1f}"]
    else:
        command += ["--examples", str(given.examples), "--seed", str(given.seed)]
    sys.stderr.write(f"--- {name}\n")
    environ = {**os.environ, "PYTHONFAULTHANDLER": "1"}
    return subprocess.run(command, cwd=HERE.parents[1], check=False, env=environ).returncode


if __name__ == "__main__":
    sys.exit(main())
