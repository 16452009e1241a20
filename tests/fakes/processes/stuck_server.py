"""``visavis serve`` whose worker, from the given one on, loads for ever and hears no signal.

Usage: ``python -m tests.fakes.processes.stuck_server FOLDER FIRST_STUCK serve ...``. Each worker
writes its process id to ``FOLDER/worker-N``.
"""

from __future__ import annotations

import functools
import os
import runpy
import signal
import sys
import time
from pathlib import Path

from visavis.streamer.cli.main import main
from visavis.streamer.http import serve
from visavis.streamer.http.app import create_app


def worker(folder: Path, first_stuck: int) -> None:
    number = 1 + len(list(folder.glob("worker-*")))
    (folder / f"worker-{number}").write_text(str(os.getpid()))
    if number < first_stuck:
        runpy.run_module("tests.fakes.processes.fake_worker", run_name="__main__")
    for kind in (signal.SIGTERM, signal.SIGINT):
        signal.signal(kind, signal.SIG_IGN)
    time.sleep(120)


if __name__ == "__main__":
    where, first = sys.argv[1:3]
    if sys.argv[3] == "--fd":
        sys.argv[1:3] = []
        worker(Path(where), int(first))
    else:
        command = (sys.executable, "-m", "tests.fakes.processes.stuck_server", where, first)
        serve.create_app = functools.partial(create_app, worker_command=command)  # type: ignore[assignment]
        sys.argv[1:3] = []
        main()
