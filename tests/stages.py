"""Run every test in stages: ``python -m tests.stages [PYTEST ARGUMENT…]``; ``make test`` does.

What computes takes both cores. Live tests run one at a time: two at once took 20 minutes instead of
26 and failed five twice, three at once a dozen. What is timed runs last, uncounted by coverage.

A build server is not always its own, so a live test gets a second try at once. Whatever failed is
tried once more at the end, in an interpreter of its own with nothing left over from other tests. A
fault fails every time. What failed at first is named last, where a log that keeps only its end
still has it: it may be a race that a user meets as well.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from tests.strict_skips import ALLOWED

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "build" / "tests"
COMPUTING = ("tests/unit", "tests/golden", "tests/fuzz")
LIVE = ("tests/integration", "tests/interop", "tests/browser")
COVERED = ("--cov", "--cov-report=", "--cov-fail-under=0")
BOTH = ("-n", "2", "--dist", "loadfile")  # cores
AGAIN = ("--reruns", "1", "-r", "fERsxX")


def run(stage: str, *arguments: str) -> int:
    """Run pytest as one stage and return its exit status; its results lie in ``KEPT``."""
    print(f"== {stage}", flush=True)
    return subprocess.run(
        [
            sys.executable,
            *("-m", "pytest", f"--junitxml={KEPT / stage}.xml"),
            *("-o", f"cache_dir={KEPT / 'cache'}", *arguments),
        ],
        cwd=ROOT,
        check=False,
    ).returncode


def failed() -> list[str]:
    """Return the node ids of the tests whose last try failed."""
    try:
        found = json.loads((KEPT / "cache" / "v" / "cache" / "lastfailed").read_text())
    except FileNotFoundError:
        return []
    return sorted(found)


def reasons(stage: str) -> list[str]:
    """Return one line for each test that failed in a stage."""
    try:
        cases = ElementTree.parse(KEPT / f"{stage}.xml").iter("testcase")
    except (FileNotFoundError, ElementTree.ParseError) as error:
        return [f"{stage} did not end: {error}"]
    lines = []
    for case in cases:
        for wrong in [*case.findall("failure"), *case.findall("error")]:
            said = " ".join((wrong.get("message") or "").split())[:240]
            lines.append(f"{case.get('classname')}::{case.get('name')}: {said}")
    return lines


def ended(stage: str) -> bool:
    """Say whether a stage came to its end and wrote down what it found."""
    return (KEPT / f"{stage}.xml").is_file()


def unexpected(stage: str) -> list[str]:
    """Return one line for each test that was skipped in a stage and may not be."""
    try:
        cases = ElementTree.parse(KEPT / f"{stage}.xml").iter("testcase")
    except (FileNotFoundError, ElementTree.ParseError):
        return []
    return [
        f"{case.get('classname')}::{case.get('name')}: skipped: {skip.get('message')}"
        for case in cases
        for skip in case.findall("skipped")
        if not any(word in str(skip.get("message")) for word in ALLOWED)
    ]


def measured() -> int:
    """Print what the tests ran of the code and return 0 if it is enough."""
    report = [sys.executable, "-m", "coverage", "report"]
    return subprocess.run(report, cwd=ROOT, check=False).returncode


def main(arguments: Sequence[str]) -> int:
    """Run the stages and return 0 if every test passed in its last try."""
    shutil.rmtree(KEPT, ignore_errors=True)
    KEPT.mkdir(parents=True)
    (ROOT / ".coverage").unlink(missing_ok=True)
    status = {"computing": run("computing", *COMPUTING, *BOTH, *COVERED, *arguments)}
    live = ("-m", "not slow and not timed", *AGAIN, "--cov-append", *COVERED)
    status["live"] = run("live", *LIVE, *live, *arguments)
    status["timed"] = run("timed", *LIVE, "-m", "timed and not slow", *AGAIN, *arguments)
    status["coverage"] = measured()
    alone, stages = failed(), ("computing", "live", "timed")
    said = [line for stage in stages for line in reasons(stage)]
    missing = {stage: unexpected(stage) for stage in stages}
    if "--no-unexpected-skips" in arguments:
        said += [line for lines in missing.values() for line in lines]
    else:
        missing = {stage: [] for stage in stages}
    if alone:
        status["alone"] = run("alone", *alone, *AGAIN, *arguments)
        for stage in stages:
            # Only what its tests got wrong is made good, and only pytest's 1 says so.
            if status["alone"] == 0 and status[stage] == 1 and not missing[stage]:
                status[stage] = 0 if reasons(stage) and ended(stage) else 1
        said += [f"once more: {line}" for line in reasons("alone")]
    print("== what failed at first" if said else "== nothing failed for good")
    print("\n".join(said))
    print("== stages: " + ", ".join(f"{name} {code}" for name, code in status.items()), flush=True)
    return int(any(status.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
