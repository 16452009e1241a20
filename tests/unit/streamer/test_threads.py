"""Every command but ``train`` has one thread a pool, set before NumPy is loaded."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CODE = """
import sys
from visavis.streamer.cli.entry import main
assert "numpy" not in sys.modules, "too late for its pools"
sys.argv = ["visavis", *sys.argv[1:], "--help"]
try:
    main()
except SystemExit:
    pass
import os
sys.stderr.write(os.environ.get("OPENBLAS_NUM_THREADS", "unset"))
"""


@pytest.mark.parametrize(
    ("command", "given", "threads"),
    [("present", "", "1"), ("render", "", "1"), ("present", "3", "3"), ("train", "", "unset")],
)
def test_pools_have_one_thread_but_in_training(command: str, given: str, threads: str) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    if given:
        environment["OPENBLAS_NUM_THREADS"] = given
    words = [sys.executable, "-c", CODE, command]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stderr.endswith(threads), done.stderr
