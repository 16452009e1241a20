"""Where the ``visavis`` command begins."""

from __future__ import annotations

import os
import signal
import sys

from visavis.streamer.cli.apart import LIVEKIT_WORKER, livekit_worker

TRAIN = "train"  # whose products are large enough for every core


def one_thread_each() -> None:
    """Keep NumPy's and other pools to one thread, as workers are; before NumPy is imported.

    The products of a frame are small: a second thread does nothing for them but spin, and took
    half a core from what draws: a live presenter, or the second drawing process of ``render``.
    """
    for pool in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
        os.environ.setdefault(f"{pool}_NUM_THREADS", "1")


def main() -> None:
    """Run the command line; what is not needed is not loaded."""
    if sys.argv[1:2] == [LIVEKIT_WORKER]:
        livekit_worker(sys.argv[2:])
        return
    if sys.argv[1:2] != [TRAIN]:
        one_thread_each()
    # Loading takes a second: Ctrl-C in it ends the command as quietly as later, and where it is
    # ignored, as in the background of a script, it stays so.
    interrupted = signal.getsignal(signal.SIGINT)
    if interrupted is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from visavis.streamer.cli.main import main as everything_else

    signal.signal(signal.SIGINT, interrupted)
    everything_else()
