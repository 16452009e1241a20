"""``visavis serve`` with a worker that draws nothing, in a process that may open few files.

Usage: ``python -m tests.fakes.processes.bounded_server FOLDER DESCRIPTORS [SETTING=VALUE ...]``.
"""

from __future__ import annotations

import logging
import resource
import sys
import time
from pathlib import Path

import uvicorn

from tests.fakes.fake_avatars import FakeAvatars
from visavis.streamer import logs
from visavis.streamer.config import load_config
from visavis.streamer.http.app import create_app
from visavis.streamer.http.serve import uvicorn_config

FAKE_WORKER = (sys.executable, "-m", "tests.fakes.processes.fake_worker")


def main() -> None:
    folder, descriptors = Path(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    logs.configure(logging.WARNING, time.monotonic)
    settings = dict(argument.split("=", 1) for argument in sys.argv[3:])
    overrides = {"data_dir": folder, "server.port": 0, **settings}
    config = load_config(environ={}, overrides=overrides)
    app = create_app(
        config,
        avatars=FakeAvatars(folder, "noisy", "anna"),  # type: ignore[arg-type]
        worker_command=FAKE_WORKER,
    )
    served = uvicorn_config(app, config)
    sock = served.bind_socket()
    sys.stdout.write(f"{sock.getsockname()[1]}\n")
    sys.stdout.flush()
    uvicorn.Server(served).run([sock])


if __name__ == "__main__":
    main()
