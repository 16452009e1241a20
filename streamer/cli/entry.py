"""Where the ``visavis`` command begins.

One subcommand runs where the server's libraries cannot be installed; the rest is not loaded for it.
"""

from __future__ import annotations

import sys

APART = "livekit-worker"


def main() -> None:
    """Run the command line."""
    if sys.argv[1:2] == [APART]:
        livekit_worker(sys.argv[2:])
        return
    from visavis.streamer.cli.main import main as everything_else

    everything_else()


def livekit_worker(arguments: list[str]) -> None:
    """Run the worker, or say what it needs."""
    try:
        from visavis.streamer.integrations.livekit_worker import main as worker
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f"visavis: {APART} needs {error.name}, in an environment of its own: pip install "
            "livekit-agents websockets, then pip install --no-deps visavis.\n"
        )
        sys.exit(1)
    worker(arguments)
