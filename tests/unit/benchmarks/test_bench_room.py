"""The room benchmark's figures: what counts as late, and what of a stream is whose."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from aiortc.rtp import RtpPacket

from visavis.benchmarks.common import BenchmarkError
from visavis.benchmarks.room import guests, main
from visavis.benchmarks.room.stand_in import StandIn
from visavis.benchmarks.room.summary import comings, steady, stream_figures, verdict
from visavis.benchmarks.viewer import Arrivals

FPS = 25


class Section:
    """As much of a transceiver as is looked at."""

    mid = "4"


def arrivals(late_ms: dict[int, float] | None = None, missing: set[int] | None = None) -> Arrivals:
    """Four seconds of pictures, some of them late or never sent."""
    made = Arrivals(90_000, marked=True)
    for n in range(4 * FPS):
        if n not in (missing or set()):
            made.wall.append(100 + n / FPS + (late_ms or {}).get(n, 0.0) / 1e3)
            made.media.append(n / FPS)
    return made


def test_a_steady_stream_has_no_fault() -> None:
    found = stream_figures(arrivals(), 100.0, 104.0)
    assert found["fps"] == FPS and found["late_percent"] == 0
    assert found["gap_ms"] == pytest.approx(40, abs=0.1)


def test_a_picture_later_than_a_period_counts_as_late() -> None:
    found = stream_figures(arrivals({30: 39.0, 31: 41.0}), 100.0, 104.0)
    assert found["late_percent"] == 1.0


def test_what_never_came_lowers_the_rate_and_is_a_gap() -> None:
    found = stream_figures(arrivals(missing=set(range(40, 60))), 100.0, 104.0)
    assert found["fps"] == 20 and found["gap_ms"] == pytest.approx(840, abs=0.1)
    silent = stream_figures(arrivals(missing=set(range(50, 100))), 102.0, 104.0)
    assert silent["fps"] == 0 and silent["late_percent"] == 100 and silent["gap_ms"] == 2000


def test_the_worst_stream_and_the_worst_avatar_decide() -> None:
    streams = [
        {"fps": 25.0, "late_percent": 0.0, "gap_ms": 50.0},
        {"fps": 20.0, "late_percent": 7.0, "gap_ms": 90.0},
    ]
    before, after = {"a": (0, 0), "b": (100, 10)}, {"a": (100, 0), "b": (200, 13)}
    found = steady(streams, before, after)
    assert found["slowest_fps"] == 20 and found["longest_gap_ms"] == 90
    assert found["late_or_repeated_percent_of_the_worst"] == 3.0
    nobody = steady([], {}, {})
    assert nobody["late_or_repeated_percent_of_the_worst"] == 100


def result(**changes: Any) -> dict[str, Any]:
    join = {"own": 300.0, "another": 200.0, "all": 250.0, "told_others": [310.0, 320.0]}
    fine: dict[str, Any] = {
        "steady": {"slowest_fps": 25.0, "late_or_repeated_percent_of_the_worst": 0.3},
        "joins": comings([join]),
        "leave_seen_ms": {"p95": 20.0},
        "reconnect": {"ms": {"p95": 500.0}, "same_id": True},
        "worker_death": {"longest_gap_ms": 900.0},
    }
    return fine | changes


def test_goals_are_met_or_not() -> None:
    assert all(verdict(result()).values())
    late = {"slowest_fps": 25.0, "late_or_repeated_percent_of_the_worst": 1.0}
    assert not verdict(result(steady=late))["late"]
    assert not verdict(result(reconnect={"ms": {"p95": 1.0}, "same_id": False}))["reconnect"]
    assert not verdict(result(worker_death={"longest_gap_ms": 2001.0}))["worker"]


def test_a_section_that_is_used_again_counts_from_the_newcomers_first_picture() -> None:
    guest = StandIn(None, "tea", "Ada", "a", None, others=1)  # type: ignore[arg-type]
    section = Section()
    made = Arrivals(90_000, marked=True)
    guest._arrivals = {section: made}  # type: ignore[dict-item]

    def told(*streams: tuple[str, str]) -> None:
        shown = [{"id": who, "audio": None, "video": mid} for who, mid in streams]
        guest._told(f'{{"type": "streams", "streams": {shown}}}'.replace("'", '"').replace(
            "None", "null"))  # fmt: skip

    def picture() -> None:
        made.take(RtpPacket(marker=1, timestamp=3600 * len(made.wall)))

    told(("ben", "4"))
    picture()
    assert set(guest.seen()) == {"ben"}
    told()
    told(("cleo", "4"))
    assert guest.seen() == {}, "what came was Ben"
    picture()
    assert set(guest.seen()) == {"cleo"}


class Refusing:
    """The people's process, of which somebody is refused a few times."""

    def __init__(self, why: str, times: int) -> None:
        self.why, self.left, self.asked = why, times, 0

    async def do(self, what: str, **details: Any) -> dict[str, Any]:
        self.asked += 1
        if self.asked <= self.left:
            raise BenchmarkError(f"Ada was refused: {self.why}")
        return {"id": details["name"]}


async def test_who_is_refused_for_overload_asks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser that begins to decode beside the server makes it refuse for a while."""
    monkeypatch.setattr(main, "_AGAIN_S", 0.0)
    people: Any = Refusing('{"code":"overloaded"}', 2)
    assert await main.let_in(people, name="Ada") == {"id": "Ada"}
    assert people.asked == 3
    full: Any = Refusing('{"code":"at-capacity"}', 2)
    with pytest.raises(BenchmarkError, match="at-capacity"):
        await main.let_in(full, name="Ada")


async def test_a_machine_that_cannot_bear_the_browser_is_told_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What came late meanwhile is the server's own count, not a guess."""
    counted = iter([{"a": (0, 0)}, {"a": (1000, 120)}])

    async def counters(url: str) -> dict[str, tuple[int, int]]:
        return next(counted)

    monkeypatch.setattr(main, "_counters", counters)
    monkeypatch.setattr(main, "_AGAIN_S", 0.0)
    monkeypatch.setattr(main, "_PATIENCE_S", 0.05)
    always: Any = Refusing('{"code":"overloaded"}', 10**9)
    with pytest.raises(main.TooFewCores, match=r"cores .*\(12 % of the worst avatar's\)"):
        await main.let_in(always, "http://here", name="Ada")


def test_what_was_measured_before_the_browser_came_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept: dict[str, Any] = {}

    async def measured(server: Any, args: Any) -> dict[str, Any]:
        return {"steady": {"slowest_fps": 25.0}, "not_measured": {"page": "Two cores."}}

    @contextlib.contextmanager
    def running(**settings: str) -> Iterator[None]:
        yield None

    monkeypatch.setattr(main, "_measure", measured)
    monkeypatch.setattr(main, "running_server", running)
    monkeypatch.setattr(main, "find_chromium", lambda: "chromium")
    monkeypatch.setattr(main, "report", lambda args, result: kept.update(result))
    assert main.main(["--screen"]) == 2
    assert kept["steady"]["slowest_fps"] == 25.0
    assert capsys.readouterr().err == "visavis bench: Two cores.\n"


async def test_who_was_refused_keeps_no_seat(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[str] = []

    class Refused:
        id = ""

        def __init__(self, http: Any, room: str, name: str, *more: Any, **options: Any) -> None:
            self.name = name

        async def join(self) -> dict[str, float]:
            raise BenchmarkError("refused")

        async def leave(self) -> float:
            left.append(self.name)
            return 0.0

    monkeypatch.setattr(guests, "StandIn", Refused)
    http: Any = None
    people = guests.Guests(http, "tea", others=1, size=256)
    with pytest.raises(BenchmarkError):
        await people.do({"do": "come", "name": "Ada", "avatar": "a", "turn": 0})
    assert left == ["Ada"] and not people._people
