"""Which node a session goes to. Each returns a node with room, or -1."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import islice

from visavis.benchmarks.scale.pool import Pool

Policy = Callable[[Pool, int, random.Random], int]
NOWHERE = -1
_TRIES = 3  # nodes, or pairs of them, that are asked one after another
_HOLDERS = 16  # of an avatar that are looked at; a popular one is nearly everywhere


def at_random(pool: Pool, avatar: int, draw: random.Random) -> int:
    """Ask nodes at random, knowing nothing of them."""
    for _ in range(_TRIES if pool.alive else 0):
        node = pool.alive[int(draw.random() * len(pool.alive))]
        if pool.load[node] < pool.places:
            return node
    return NOWHERE


def two_choices(pool: Pool, avatar: int, draw: random.Random) -> int:
    """Ask two at random and take the emptier one (Mitzenmacher, "The power of two choices")."""
    alive, load = pool.alive, pool.load
    for _ in range(_TRIES if alive else 0):
        one = alive[int(draw.random() * len(alive))]
        other = alive[int(draw.random() * len(alive))]
        node = one if load[one] <= load[other] else other
        if load[node] < pool.places:
            return node
    return NOWHERE


def least_load(pool: Pool, avatar: int, draw: random.Random) -> int:
    """Take one of the emptiest of all."""
    lowest = pool.lowest()
    if lowest == pool.places:
        return NOWHERE
    level = pool.levels[lowest]
    return level[int(draw.random() * len(level))]


def locality(pool: Pool, avatar: int, draw: random.Random) -> int:
    """Take the emptiest node that keeps the avatar; any of the emptiest where none has room.

    A node that would be filled to its last place is passed over while others have two to spare, or
    one popular avatar would crowd its nodes.
    """
    lowest = pool.lowest()
    if lowest == pool.places:
        return NOWHERE
    load, best, least = pool.load, NOWHERE, min(pool.places, lowest + max(1, pool.places // 2) + 1)
    for node in islice(pool.holders.get(avatar, ()), _HOLDERS):
        if load[node] < least:
            best, least = node, load[node]
    return best if best != NOWHERE else least_load(pool, avatar, draw)


POLICIES: dict[str, Policy] = {
    "random": at_random,
    "two choices": two_choices,
    "least load": least_load,
    "locality": locality,
}
