"""Where the ``visavis`` command begins."""

from __future__ import annotations

import sys

from visavis.streamer.cli.apart import LIVEKIT_WORKER, livekit_worker


def main() -> None:
    """Run the command line; what is not needed is not loaded."""
    if sys.argv[1:2] == [LIVEKIT_WORKER]:
        livekit_worker(sys.argv[2:])
        return
    from visavis.streamer.cli.main import main as everything_else

    everything_else()
