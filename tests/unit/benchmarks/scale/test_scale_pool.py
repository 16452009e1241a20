"""Nodes by load, and where policies send a session."""

from __future__ import annotations

import random

import pytest

pytest.importorskip("simpy")

from visavis.benchmarks.scale.policies import NOWHERE, POLICIES, Policy
from visavis.benchmarks.scale.pool import Pool


def consistent(pool: Pool) -> None:
    seen = {node: load for load, level in enumerate(pool.levels) for node in level}
    assert seen == pool.load
    assert sorted(pool.alive) == sorted(pool.load)
    for avatar, holders in pool.holders.items():
        assert all(avatar in pool.caches[node] for node in holders)
    for node, cache in pool.caches.items():
        assert all(node in pool.holders[avatar] for avatar in cache)


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES.keys())
def test_whatever_happens_the_lists_agree_and_nobody_is_sent_to_a_full_or_dead_node(
    policy: Policy,
) -> None:
    draw = random.Random(1)
    pool = Pool(first=100, count=7, places=3, cached=2)
    seated: list[int] = []
    for _ in range(3000):
        dice = draw.random()
        if dice < 0.5:
            avatar = int(9 * draw.random())
            node = policy(pool, avatar, draw)
            if node != NOWHERE:
                assert pool.load[node] < 3
                pool.has(node, avatar)
                pool.enter(node)
                seated.append(node)
        elif dice < 0.9 and seated:
            pool.leave(seated.pop(int(len(seated) * draw.random())))
        elif dice < 0.95 and pool.alive:
            gone = pool.alive[0]
            pool.fail(gone)
            seated = [node for node in seated if node != gone]
        else:
            for node in set(range(100, 107)) - set(pool.load):
                pool.repair(node)
        consistent(pool)


def full(load: list[int], places: int = 4) -> Pool:
    pool = Pool(0, len(load), places, cached=4)
    for node, count in enumerate(load):
        for _ in range(count):
            pool.enter(node)
    return pool


def test_least_load_takes_one_of_the_emptiest() -> None:
    draw = random.Random(0)
    pool = full([3, 1, 2, 1])
    assert {POLICIES["least load"](pool, 0, draw) for _ in range(50)} == {1, 3}


def test_two_choices_are_better_than_one() -> None:
    def spread(name: str) -> int:
        draw, pool = random.Random(3), Pool(0, 200, 50, cached=1)
        for _ in range(2000):
            pool.enter(POLICIES[name](pool, 0, draw))
        return max(pool.load.values()) - min(pool.load.values())

    assert spread("two choices") < spread("random") / 2
    assert spread("least load") <= 1


def test_locality_goes_where_the_avatar_is_unless_that_is_crowded() -> None:
    draw = random.Random(0)
    pool = full([2, 0, 0])
    pool.has(0, 7)
    assert POLICIES["locality"](pool, 7, draw) == 0
    assert POLICIES["locality"](pool, 8, draw) in (1, 2)
    pool.enter(0)
    assert POLICIES["locality"](pool, 7, draw) in (1, 2)  # it would get its last place


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES.keys())
def test_nowhere_is_said_where_there_is_no_room(policy: Policy) -> None:
    draw = random.Random(0)
    assert policy(full([4, 4]), 0, draw) == NOWHERE
    dead = full([0])
    dead.fail(0)
    assert policy(dead, 0, draw) == NOWHERE


def test_the_least_recently_used_avatar_goes() -> None:
    pool = Pool(0, 1, 4, cached=2)
    assert [pool.has(0, avatar) for avatar in (1, 2, 1, 3, 1, 2)] == [
        *(False, False, True, False, True, False)
    ]
