"""Quotas: sessions at a time and minutes a day, by holder, over restarts and processes."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from visavis.streamer.config import QuotasConfig
from visavis.streamer.errors import OverQuota
from visavis.streamer.session.quotas import Meter, Quotas, Usage
from visavis.streamer.trust.callers import OWNER, Caller

DAY = 86_400.0
ONE, TWO = Caller("1" * 16, "speak"), Caller("2" * 16, "speak")


@dataclass
class Live:
    """A session that remembers how it ended."""

    id: str
    caller: Caller
    began_at: float
    why: list[tuple[str, str]] = field(default_factory=list)

    async def end(self, reason: str, cause: str) -> None:
        self.why.append((reason, cause))


class Bench:
    """A meter with its clocks."""

    def __init__(self, folder: Path, **quotas: int) -> None:
        self.now, self.wall = 0.0, 1e9 - 1e9 % DAY
        self.noted: list[tuple[str, str]] = []
        self.config = QuotasConfig(**quotas)
        self.path = folder / "trust" / "usage.json"
        self.meter = self.again()

    def again(self) -> Meter:
        """A meter of another process, or of the same after a restart."""
        quotas = Quotas(self.config, lambda event, who: self.noted.append((event, who)))
        return Meter(quotas, Usage(self.path, lambda: self.wall), lambda: self.now)

    def go(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds


def test_nothing_is_counted_where_nothing_is_set(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.meter.check(ONE, [Live(str(n), ONE, 0.0) for n in range(100)])
    bench.meter.ended(Live("x", ONE, 0.0))
    assert not bench.path.exists()


def test_sessions_at_a_time_by_holder(tmp_path: Path) -> None:
    bench = Bench(tmp_path, sessions=1)
    live = [Live("s", ONE, 0.0)]
    bench.meter.check(TWO, live)
    bench.meter.check(OWNER, live)
    bench.meter.check(ONE, live, besides="s")
    with pytest.raises(OverQuota, match="one session at a time; end one first") as refused:
        bench.meter.check(ONE, live)
    assert (refused.value.status, refused.value.code) == (429, "quota-sessions")
    assert bench.noted == [("quota-sessions", ONE.id)]
    guests = [Live("g", Caller("", "speak", link="link"), 0.0)]
    bench.meter.check(OWNER, guests)
    with pytest.raises(OverQuota):
        bench.meter.check(guests[0].caller, guests)


async def test_minutes_a_day_end_what_is_live_and_begin_anew_the_next_day(tmp_path: Path) -> None:
    bench = Bench(tmp_path, minutes_a_day=2)
    first = Live("first", ONE, bench.now)
    bench.go(70)
    await bench.meter.look([first])
    bench.meter.ended(first)
    await bench.meter.keep()
    second, other = Live("second", ONE, bench.now), Live("other", TWO, bench.now)
    bench.meter = bench.again()  # a restart forgets nothing
    bench.meter.check(ONE, [])
    bench.go(49)
    await bench.meter.look([second, other])
    assert not second.why
    bench.go(2)
    await bench.meter.look([second, other])
    assert second.why[0][1] == "quota" and "0:00 UTC" in second.why[0][0] and not other.why
    bench.meter.ended(second)
    with pytest.raises(OverQuota) as refused:
        bench.meter.check(ONE, [])
    assert refused.value.code == "quota-minutes" and ("quota-minutes", ONE.id) in bench.noted
    await bench.meter.keep()
    kept = json.loads(bench.path.read_bytes())
    assert kept["seconds"] == {ONE.id: 121.0, TWO.id: 51.0}, "ids and numbers, no more"
    with pytest.raises(OverQuota):
        bench.again().check(ONE, [])
    bench.go(DAY)
    await bench.meter.keep()
    bench.meter.check(ONE, [])


async def test_processes_share_what_was_used(tmp_path: Path) -> None:
    bench = Bench(tmp_path, minutes_a_day=2)
    other = bench.again()
    mine, theirs = Live("a", ONE, bench.now), Live("b", ONE, bench.now)
    bench.go(61)
    await bench.meter.look([mine])
    await other.look([theirs])
    await bench.meter.keep()
    assert not mine.why
    await bench.meter.look([mine])
    assert mine.why, "122 seconds of both"


async def test_a_disk_that_does_not_take_it_is_no_reason_to_stop(tmp_path: Path) -> None:
    bench = Bench(tmp_path, minutes_a_day=2)
    shutil.rmtree(bench.path.parent)
    bench.path.parent.write_bytes(b"no folder")
    live = Live("a", ONE, bench.now)
    bench.go(30)
    await bench.meter.look([live])
    assert not live.why


async def test_what_the_disk_does_not_take_is_still_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, minutes_a_day=1)
    one = Live("x", ONE, 0.0)
    with monkeypatch.context() as full:
        full.setattr("visavis.streamer.session.quotas.atomic_write", _no_room)
        bench.go(40)
        await bench.meter.look([one])
        assert not bench.path.exists() and not one.why
        bench.go(30)
        await bench.meter.look([one])
    assert [cause for _, cause in one.why] == ["quota"]
    await bench.meter.keep()
    assert json.loads(bench.path.read_bytes())["seconds"] == {ONE.id: 70.0}


def _no_room(path: Path, data: bytes) -> None:
    raise OSError(28, "No space left on device")
