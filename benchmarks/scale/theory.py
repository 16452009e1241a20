"""What queueing theory says of the simplest case, in closed form."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from visavis.benchmarks.figures.intervals import Interval


def erlang_b(servers: int, erlangs: float) -> float:
    """Return the share that is refused of M/M/c/c, by the usual recursion.

    It holds for any distribution of lengths with this mean (Sevastyanov, 1957).
    """
    blocked = 1.0
    for count in range(1, servers + 1):
        blocked = erlangs * blocked / (count + erlangs * blocked)
    return blocked


def erlang_c(servers: int, erlangs: float) -> float:
    """Return the share that has to wait in M/M/c with endless patience."""
    blocked = erlang_b(servers, erlangs)
    return servers * blocked / (servers - erlangs * (1 - blocked))


def mean_wait_s(servers: int, erlangs: float, mean_s: float) -> float:
    """Return the mean wait for a server of M/M/c, those who need not wait included."""
    return erlang_c(servers, erlangs) * mean_s / (servers - erlangs)


def interval(values: Sequence[float]) -> Interval:
    """Return the mean of independent runs with its 95 % interval (Student's t)."""
    from scipy.stats import t

    found = np.asarray(values, float)
    mean, count = float(found.mean()), len(found)
    half = float(t.ppf(0.975, count - 1)) * float(found.std(ddof=1)) / math.sqrt(count)
    return Interval(mean, mean - half, mean + half)
