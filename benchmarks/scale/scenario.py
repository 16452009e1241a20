"""What is simulated: who comes when and where, how long they stay, and what breaks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HOUR_S = 3600.0
DAY_H = 24.0


@dataclass(frozen=True)
class Region:
    """A part of the world with nodes of its own.

    Attributes:
        name: of it.
        share: of everybody who comes over a day.
        utc_offset_h: its clock.
    """

    name: str
    share: float
    utc_offset_h: float


@dataclass(frozen=True)
class Flash:
    """A crowd that comes at once.

    Attributes:
        region: its place among the regions.
        after_s: from the beginning of what is counted.
        lasts_s: how long.
        factor: on arrivals there, meanwhile.
    """

    region: int
    after_s: float
    lasts_s: float
    factor: float


@dataclass(frozen=True)
class Demand:
    """Who comes.

    Attributes:
        regions: of the world.
        arrivals_per_s: of all regions together, the mean over a day.
        mean_session_s: how long they stay.
        sigma: of the logarithm of that; 0 for an exponential length.
        daily_swing: 0 for a level day, 0.6 for a peak of 1.6 times the mean.
        peak_hour: of a region's own day.
        start_hour_utc: when what is counted begins.
        flashes: crowds.
        patience_s: how long somebody waits for a free place before giving up.
        avatars: that there are; how often each is asked for follows Zipf's law.
        zipf: its exponent.
        audience_share: of sessions that are pushed to an SFU.
        viewers_median: of such a session; lognormal.
        viewers_sigma: of the logarithm of that.
        slice_s: arrivals have one rate for so long.
    """

    regions: tuple[Region, ...]
    arrivals_per_s: float
    mean_session_s: float = 900.0
    sigma: float = 1.0
    daily_swing: float = 0.6
    peak_hour: float = 20.0
    start_hour_utc: float = 0.0
    flashes: tuple[Flash, ...] = ()
    patience_s: float = 10.0
    avatars: int = 20_000
    zipf: float = 0.9
    audience_share: float = 0.01
    viewers_median: float = 20.0
    viewers_sigma: float = 1.5
    slice_s: float = 10.0

    def level(self, region: Region, hour_utc: float) -> float:
        """Return a region's arrivals at an hour over its mean of the day."""
        angle = 2 * math.pi * (hour_utc + region.utc_offset_h - self.peak_hour) / DAY_H
        return 1 + self.daily_swing * math.cos(angle)

    def rate(self, number: int, at_s: float) -> float:
        """Return arrivals a second in a region, ``at_s`` from the beginning of what is counted."""
        region = self.regions[number]
        usual = self.arrivals_per_s * region.share
        usual *= self.level(region, self.start_hour_utc + at_s / HOUR_S)
        for flash in self.flashes:
            if flash.region == number and 0 <= at_s - flash.after_s < flash.lasts_s:
                usual *= flash.factor
        return usual


@dataclass(frozen=True)
class Nodes:
    """What there is to serve them.

    Attributes:
        of_region: how many nodes each region has.
        places: sessions that one holds.
        cached: avatars that one keeps.
        fetch_s: for one that it has not.
        join_s: from offer to first picture on an idle node, median.
        join_sigma: of the logarithm of that.
        overflow: whether another region is asked when one's own is full.
        overflow_s: what the longer way adds to joining.
        mtbf_h: of a node, between failures; infinity for none.
        repair_s: until it is back.
        notice_s: until clients of a dead node offer again.
        worker_mtbf_h: of the process that draws, which ends and starts again.
        worker_restart_s: how long its pictures stand still.
    """

    of_region: tuple[int, ...]
    places: int
    cached: int = 32
    fetch_s: float = 0.3
    join_s: float = 0.765
    join_sigma: float = 0.05
    overflow: bool = True
    overflow_s: float = 0.3
    mtbf_h: float = 2000.0
    repair_s: float = 600.0
    notice_s: float = 1.0
    worker_mtbf_h: float = 500.0
    worker_restart_s: float = 1.656


@dataclass(frozen=True)
class Scenario:
    """One run.

    Attributes:
        demand: who comes.
        nodes: what serves them.
        seconds: that are counted.
        warm_s: before that, not counted.
        seed: of every draw; the same for all policies, so that they meet the same crowd.
    """

    demand: Demand
    nodes: Nodes
    seconds: float
    warm_s: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Crowd:
    """Who comes to one region within a slice of time, drawn in advance.

    Attributes:
        at_s: when, rising.
        stays_s: how long each.
        avatar: which.
        viewers: of the session elsewhere.
        join: factors on the time of joining.
    """

    at_s: list[float]
    stays_s: list[float]
    avatar: list[int]
    viewers: list[int]
    join: list[float]


class Draws:
    """Draws crowds; the arrivals of a slice of time have one rate (Poisson)."""

    def __init__(self, scenario: Scenario, region: int) -> None:
        self._demand, self._region = scenario.demand, region
        self._join_sigma = scenario.nodes.join_sigma
        self._random = np.random.default_rng([scenario.seed, region])
        ranks = np.arange(1, scenario.demand.avatars + 1, dtype=float)
        self._popular = np.cumsum(ranks**-scenario.demand.zipf)
        self._popular /= self._popular[-1]

    def slice_from(self, at_s: float, until_s: float) -> tuple[Crowd, float]:
        """Return who comes from a moment on, and when the next slice begins."""
        end = min(at_s + self._demand.slice_s, until_s)
        rate = self._demand.rate(self._region, at_s)
        count = int(self._random.poisson(rate * (end - at_s)))
        when = np.sort(self._random.uniform(at_s, end, count))
        return self._crowd(when, self._lengths(count)), end

    def there_already(self, at_s: float) -> Crowd:
        """Return who is there at the beginning, each with what is left of their stay.

        A session met at a random moment is longer than others, and met anywhere within it (renewal
        theory): of a lognormal length with ``mu`` that is one with ``mu + sigma²``, times uniform.
        """
        usual = self._demand.rate(self._region, at_s) * self._demand.mean_session_s
        count = int(self._random.poisson(usual))
        if self._demand.sigma:
            met = self._lengths(count) * math.exp(self._demand.sigma**2)
            left = met * self._random.uniform(0, 1, count)
        else:
            left = self._lengths(count)
        return self._crowd(np.full(count, at_s), left)

    def _lengths(self, count: int) -> NDArray[np.float64]:
        mean, sigma = self._demand.mean_session_s, self._demand.sigma
        if not sigma:
            return self._random.exponential(mean, count)
        return self._random.lognormal(math.log(mean) - sigma**2 / 2, sigma, count)

    def _crowd(self, when: NDArray[np.float64], lengths: NDArray[np.float64]) -> Crowd:
        demand, count = self._demand, len(when)
        avatars = np.searchsorted(self._popular, self._random.uniform(0, 1, count))
        watched = self._random.uniform(0, 1, count) < demand.audience_share
        crowd = self._random.lognormal(math.log(demand.viewers_median), demand.viewers_sigma, count)
        join = np.exp(self._join_sigma * self._random.standard_normal(count))
        viewers = np.where(watched, crowd, 0).astype(int)
        columns = (when, lengths, avatars, viewers, join)
        return Crowd(*(column.tolist() for column in columns))
