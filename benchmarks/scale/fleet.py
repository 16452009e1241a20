"""The simulation: every session an arrival and a departure, every failure an event (SimPy).

Nothing is done a frame at a time, and nothing is batched: 10⁵ concurrent sessions are some hundred
arrivals a second, which one core simulates far faster than they happen.
"""

from __future__ import annotations

import gc
import math
import random
from array import array
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import simpy

from visavis.benchmarks.scale.policies import NOWHERE, Policy
from visavis.benchmarks.scale.pool import Pool
from visavis.benchmarks.scale.scenario import HOUR_S, Crowd, Draws, Scenario


class Session:
    """Somebody who came."""

    __slots__ = ("avatar", "came_s", "join", "node", "over", "region", "stays_s", "viewers")

    def __init__(self, region: int, came_s: float, crowd: Crowd, number: int) -> None:
        self.region, self.came_s = region, came_s
        self.stays_s, self.avatar = crowd.stays_s[number], crowd.avatar[number]
        self.viewers, self.join = crowd.viewers[number], crowd.join[number]
        self.node, self.over = NOWHERE, False


@dataclass
class Counts:
    """What was seen; sessions that came before the counting began are not among them.

    Attributes:
        offered: sessions that came.
        refused: of those, found no place and gave up.
        queued: of those, had to wait for a place.
        elsewhere: were served by another region.
        hits: found their avatar on the node.
        started: found a place.
        moved: lost their node and found another.
        lost: lost their node and found none.
        came_s: of each started session, when it came.
        wait_s: of each, from its offer to its first picture.
        queue_s: of each, for a free place alone.
        gap_s: of each broken session that went on, how long its picture stood still.
        session_s: seconds of sessions, all of them, while it was counted.
        viewer_s: seconds of viewers at SFUs.
        most: sessions at once.
        most_viewers: at SFUs at once.
        events: that were simulated, arrivals, departures and failures.
    """

    offered: int = 0
    refused: int = 0
    queued: int = 0
    elsewhere: int = 0
    hits: int = 0
    started: int = 0
    moved: int = 0
    lost: int = 0
    came_s: array[float] = field(default_factory=lambda: array("d"))
    wait_s: array[float] = field(default_factory=lambda: array("d"))
    queue_s: array[float] = field(default_factory=lambda: array("d"))
    gap_s: array[float] = field(default_factory=lambda: array("d"))
    session_s: float = 0.0
    viewer_s: float = 0.0
    most: int = 0
    most_viewers: int = 0
    events: int = 0


class Fleet:
    """One run of a scenario under a policy.

    Args:
        scenario: what happens.
        policy: where sessions go.
    """

    def __init__(self, scenario: Scenario, policy: Policy) -> None:
        self.counts = Counts()
        self._scenario, self._policy = scenario, policy
        self._env = simpy.Environment(initial_time=-scenario.warm_s)
        self._draw = random.Random(scenario.seed)
        nodes = scenario.nodes
        self._pools: list[Pool] = []
        self._region_of: list[int] = []
        for region, count in enumerate(nodes.of_region):
            self._pools.append(Pool(len(self._region_of), count, nodes.places, nodes.cached))
            self._region_of += [region] * count
        self._on: list[set[Session]] = [set() for _ in self._region_of]
        self._join_free = [-math.inf] * len(self._region_of)
        self._queues: list[deque[Session]] = [deque() for _ in nodes.of_region]
        self._live, self._viewers, self._since = 0, 0, 0.0

    def run(self) -> Counts:
        """Simulate; returns what was seen."""
        env, scenario = self._env, self._scenario
        for region in range(len(self._pools)):
            draws = Draws(scenario, region)
            self._begin(region, draws.there_already(-scenario.warm_s))
            env.process(self._arrivals(region, draws))
        for rate_h, broken in (
            (scenario.nodes.mtbf_h, self._node_fails),
            (scenario.nodes.worker_mtbf_h, self._worker_fails),
        ):
            if math.isfinite(rate_h):
                env.process(self._failures(rate_h, broken))
        collecting = gc.isenabled()
        gc.disable()  # a hundred thousand live sessions, none in a circle
        try:
            env.run(until=scenario.seconds)
        finally:
            if collecting:
                gc.enable()
        self._integrate()
        for queue in self._queues:
            for session in queue:
                self._gave_up(session)
        return self.counts

    def _begin(self, region: int, crowd: Crowd) -> None:
        """Seat who is there already; the joins of these are long over."""
        for number in range(len(crowd.at_s)):
            session = Session(region, crowd.at_s[number], crowd, number)
            node = self._policy(self._pools[region], session.avatar, self._draw)
            if node != NOWHERE:
                self._pools[region].has(node, session.avatar)
                self._seat(session, node)

    def _arrivals(self, region: int, draws: Draws) -> Any:
        env, until = self._env, self._scenario.seconds
        at = env.now
        while at < until:
            crowd, at = draws.slice_from(at, until)
            for number, when in enumerate(crowd.at_s):
                yield env.timeout(when - env.now)
                self._arrive(Session(region, when, crowd, number))
            yield env.timeout(at - env.now)

    def _arrive(self, session: Session) -> None:
        counts = self.counts
        counts.events += 1
        counted = session.came_s >= 0
        counts.offered += counted
        if not self._place(session):
            counts.queued += counted
            self._queues[session.region].append(session)

    def _place(self, session: Session) -> bool:
        """Find a place now, at home first."""
        home = session.region
        node = self._policy(self._pools[home], session.avatar, self._draw)
        if node == NOWHERE and self._scenario.nodes.overflow:
            others = len(self._pools)
            for away in range(1, others):
                region = (home + away) % others
                node = self._policy(self._pools[region], session.avatar, self._draw)
                if node != NOWHERE:
                    break
        if node == NOWHERE:
            return False
        self._start(session, node)
        return True

    def _start(self, session: Session, node: int) -> None:
        wait = self._joined(session, node) - session.came_s
        if session.came_s >= 0:
            counts = self.counts
            counts.started += 1
            counts.came_s.append(session.came_s)
            counts.wait_s.append(wait)
            counts.queue_s.append(self._env.now - session.came_s)
            counts.elsewhere += self._region_of[node] != session.region
        self._seat(session, node)

    def _joined(self, session: Session, node: int) -> float:
        """Return when the first picture is there; joins on a node wait for one another."""
        nodes, now = self._scenario.nodes, self._env.now
        ready = now
        region = self._region_of[node]
        if self._pools[region].has(node, session.avatar):
            self.counts.hits += session.came_s >= 0
        else:
            ready += nodes.fetch_s
        if region != session.region:
            ready += nodes.overflow_s
        done = max(ready, self._join_free[node]) + nodes.join_s * session.join
        self._join_free[node] = done
        return done

    def _seat(self, session: Session, node: int) -> None:
        self._integrate()
        self._live += 1
        self._viewers += session.viewers
        if self._env.now >= 0:
            self.counts.most = max(self.counts.most, self._live)
            self.counts.most_viewers = max(self.counts.most_viewers, self._viewers)
        first = session.node == NOWHERE
        session.node = node
        self._on[node].add(session)
        self._pools[self._region_of[node]].enter(node)
        if first:
            end = simpy.events.Timeout(self._env, session.stays_s, session)
            end.callbacks.append(self._leave)  # type: ignore[union-attr]

    def _unseat(self, session: Session) -> None:
        self._integrate()
        self._live -= 1
        self._viewers -= session.viewers

    def _integrate(self) -> None:
        now = self._env.now
        if now > 0:
            passed = now - max(0.0, self._since)
            self.counts.session_s += self._live * passed
            self.counts.viewer_s += self._viewers * passed
        self._since = now

    def _leave(self, event: Any) -> None:
        session: Session = event.value
        self.counts.events += 1
        if session.over:
            return
        session.over = True
        self._unseat(session)
        node = session.node
        region = self._region_of[node]
        self._on[node].discard(session)
        self._pools[region].leave(node)
        self._serve_queue(region, node)

    def _serve_queue(self, region: int, node: int) -> None:
        """Give a place that came free to who has waited longest and still does."""
        queue = self._queues[region]
        while queue:
            session = queue.popleft()
            if not self._gave_up(session):
                self._start(session, node)
                return

    def _gave_up(self, session: Session) -> bool:
        """Say whether somebody who waits for a place has gone by now, and count them."""
        gone = self._env.now - session.came_s > self._scenario.demand.patience_s
        self.counts.refused += gone and session.came_s >= 0
        return gone

    def _failures(self, mtbf_h: float, broken: Any) -> Any:
        mean_s = mtbf_h * HOUR_S / len(self._region_of)
        while True:
            yield self._env.timeout(self._draw.expovariate(1 / mean_s))
            node = int(self._draw.random() * len(self._region_of))
            if node in self._pools[self._region_of[node]].load:
                self.counts.events += 1
                broken(node)

    def _worker_fails(self, node: int) -> None:
        if self._env.now >= 0:
            gap = self._scenario.nodes.worker_restart_s
            self.counts.gap_s.extend([gap] * len(self._on[node]))

    def _node_fails(self, node: int) -> None:
        """A node is gone: who was on it offers again, and finds another place or none."""
        pool = self._pools[self._region_of[node]]
        pool.fail(node)
        self._join_free[node] = -math.inf
        orphans, self._on[node] = self._on[node], set()
        for session in sorted(orphans, key=lambda s: s.came_s):
            self._unseat(session)
            self._find_again(session)
        back = simpy.events.Timeout(self._env, self._scenario.nodes.repair_s, node)
        back.callbacks.append(self._repaired)  # type: ignore[union-attr]

    def _find_again(self, session: Session) -> None:
        counted = self._env.now >= 0
        pool = self._pools[session.region]
        node = self._policy(pool, session.avatar, self._draw)
        if node == NOWHERE:
            session.over = True
            self.counts.lost += counted
            return
        gap = self._joined(session, node) - self._env.now + self._scenario.nodes.notice_s
        self._seat(session, node)
        if counted:
            self.counts.moved += 1
            self.counts.gap_s.append(gap)

    def _repaired(self, event: Any) -> None:
        node: int = event.value
        region = self._region_of[node]
        self._pools[region].repair(node)
        for _ in range(self._scenario.nodes.places):
            if self._queues[region]:
                self._serve_queue(region, node)
