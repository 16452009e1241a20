"""``python -m tests.fakes.processes.fake_worker``: the real worker around the fake pipeline."""

from __future__ import annotations

import os

from tests.fakes.fake_pipeline import FakePipelines
from visavis.streamer.worker.worker import serve

if __name__ == "__main__":
    serve(lambda settings: FakePipelines(), warm=False)
    os._exit(0)
