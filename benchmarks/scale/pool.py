"""The nodes of one region by how full they are, so that any choice costs the same however many."""

from __future__ import annotations

from collections import OrderedDict


class Pool:
    """Nodes in lists by their load; a node moves between neighbours by swapping with the last.

    Args:
        first: number of the first node.
        count: how many.
        places: sessions that one holds.
        cached: avatars that one keeps, the least recently used goes.
    """

    def __init__(self, first: int, count: int, places: int, cached: int) -> None:
        self.first, self.places, self._cached = first, places, cached
        self.levels: list[list[int]] = [[] for _ in range(places + 1)]
        self.levels[0] = list(range(first, first + count))
        self.load = dict.fromkeys(self.levels[0], 0)
        self._slot = {node: n for n, node in enumerate(self.levels[0])}
        self.alive = list(self.levels[0])
        self._alive_slot = dict(self._slot)
        self.caches: dict[int, OrderedDict[int, None]] = {n: OrderedDict() for n in self.alive}
        self.holders: dict[int, set[int]] = {}

    def lowest(self) -> int:
        """Return the least load that any node has; ``places`` when all are full or gone."""
        for load in range(self.places):
            if self.levels[load]:
                return load
        return self.places

    def enter(self, node: int) -> None:
        """Take a place on a node."""
        self._move(node, 1)

    def leave(self, node: int) -> None:
        """Give one back."""
        self._move(node, -1)

    def _move(self, node: int, by: int) -> None:
        load = self.load[node]
        self._take(self.levels[load], self._slot, node)
        load += by
        self.load[node] = load
        level = self.levels[load]
        self._slot[node] = len(level)
        level.append(node)

    @staticmethod
    def _take(among: list[int], slots: dict[int, int], node: int) -> None:
        at, last = slots[node], among.pop()
        if last != node:
            among[at] = last
            slots[last] = at

    def fail(self, node: int) -> None:
        """Take a node away, with what it keeps."""
        self._take(self.levels[self.load[node]], self._slot, node)
        self._take(self.alive, self._alive_slot, node)
        del self.load[node]
        for avatar in self.caches.pop(node):
            self.holders[avatar].discard(node)

    def repair(self, node: int) -> None:
        """Bring a node back, empty."""
        self.load[node] = 0
        self._slot[node] = len(self.levels[0])
        self.levels[0].append(node)
        self._alive_slot[node] = len(self.alive)
        self.alive.append(node)
        self.caches[node] = OrderedDict()

    def has(self, node: int, avatar: int) -> bool:
        """Say whether a node keeps an avatar, and have it kept from now on."""
        cache = self.caches[node]
        if avatar in cache:
            cache.move_to_end(avatar)
            return True
        cache[avatar] = None
        self.holders.setdefault(avatar, set()).add(node)
        if len(cache) > self._cached:
            gone, _ = cache.popitem(last=False)
            self.holders[gone].discard(node)
        return False
