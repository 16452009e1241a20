"""``python -m tests.fakes.fake_worker``: the real worker process around the fake pipeline."""

from __future__ import annotations

import os

from streamer.worker.worker import serve
from tests.fakes.fake_pipeline import FakePipelines

if __name__ == "__main__":
    serve(lambda settings: FakePipelines())
    os._exit(0)
