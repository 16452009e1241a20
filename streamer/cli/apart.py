"""The one subcommand that runs where the server's own libraries cannot be installed."""

from __future__ import annotations

import sys

LIVEKIT_WORKER = "livekit-worker"


def livekit_worker(arguments: list[str]) -> None:
    """Run the worker, or say what it needs; no help without it, as it has options of its own."""
    try:
        from visavis.streamer.integrations.livekit_worker import main as worker
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f"visavis: {LIVEKIT_WORKER} needs {error.name}, in an environment of its own: "
            "pip install livekit-agents websockets, then pip install --no-deps visavis.\n"
        )
        sys.exit(1)
    worker(arguments)
