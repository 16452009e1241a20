"""What is wrong ends in one sentence; what a machine draws is read from its counters."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from visavis.streamer.cli.main import app
from visavis.streamer.cost.capacity import read_capacity, stated
from visavis.streamer.cost.power import find_meters, read_power
from visavis.streamer.cost.prices import SHIPPED, read_prices
from visavis.streamer.errors import BadRequest


def edited(tmp_path: Path, pattern: str, replacement: str) -> Path:
    text = SHIPPED.read_text("utf-8")
    changed, count = re.subn(pattern, replacement, text, count=1, flags=re.M)
    assert count == 1, pattern
    path = tmp_path / "prices.toml"
    path.write_text(changed, "utf-8")
    return path


@pytest.mark.parametrize(
    ("pattern", "replacement", "says"),
    [
        (r"^purchase_eur = .*$", "purchase_eur = -5", "machine.purchase_eur.value must be"),
        (r"^purchase_eur = .*$", "", "The entry machine.purchase_eur is missing."),
        (r"^purchase_eur = .*$", 'purchase_eur = "much"', "machine.purchase_eur"),
        (r"^purchase_eur = .*$", "purchase_eur = nan", "machine.purchase_eur"),
        (r"^purchase_eur = .*$", "purchase_eur = inf", "machine.purchase_eur"),
        (r"^purchase_eur = .*$", "purchase_eur = { low = 1 }", "purchase_eur.value is missing"),
        (r"^pue = .*$", "pue = { value = 3, low = 1, high = 2 }", "between its low and its high"),
        (r"^utilisation = .*$", "utilisation = 0", "use.utilisation must be more than 0"),
        (r"^utilisation = .*$", "utilisation = 1.2", "between 0 and 1"),
        (r"^lifetime_years = .*$", "lifetime_years = 0", "more than 0"),
        (r"^cores = 8$", "cores = 8.5", "machine.cores"),
        (r"^name = \"an example", 'colour = "red"\nname = "an example', "no entry named"),
        (r"^price = 0.34$", "", "the offer AWS c5.2xlarge, on demand: the entry price is missing"),
        (r"^price = 0.34$", "price = 0", "the price must be more than 0"),
        (r'^per = "hour"$', 'per = "year"', "the offer AWS"),
        (r'^currency = "USD"$', 'currency = "CHF"', "the offer AWS"),
        (r'"Hetzner cx53, by the hour"', '"AWS c5.2xlarge, on demand"', "two offers named"),
        (r"^\[use\]$", "[use", "is not TOML"),
        (r"^date = .*$", 'date = "yesterday"', "date"),
        (r"^idle_watts = .*$", "idle_watts = 500", "busy_watts below idle_watts"),
    ],
)
def test_a_wrong_list_is_one_sentence(
    tmp_path: Path, pattern: str, replacement: str, says: str
) -> None:
    with pytest.raises(BadRequest) as raised:
        read_prices(edited(tmp_path, pattern, replacement))
    said = str(raised.value)
    assert says in said
    assert "\n" not in said
    assert said.endswith(".")


def test_lists_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="cannot be read"):
        read_prices(tmp_path / "nowhere.toml")
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadRequest, match="UTF-8"):
        read_prices(path)
    path.write_text("a=" + "[" * 5000, "utf-8")
    with pytest.raises(BadRequest):
        read_prices(path)
    path.write_text("", "utf-8")
    with pytest.raises(BadRequest, match="missing"):
        read_prices(path)
    with pytest.raises(BadRequest, match="cannot be read"):
        read_prices(tmp_path)


def result(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "capacity.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


def test_the_largest_picture_that_holds_a_session(tmp_path: Path) -> None:
    held = {
        "machine": {"cpu": "C", "cores": 2, "date": "2026-11-27"},
        "sessions_256": {"held": 3},
        "sessions_384": {"held": 1},
        "sessions_512": {"held": 0},
    }
    found = read_capacity(result(tmp_path, held), None)
    assert (found.sessions, found.cores, found.measured) == (1, 2, True)
    assert "384²" in found.words
    assert read_capacity(result(tmp_path, held), 256).sessions == 3
    with pytest.raises(BadRequest, match="0 sessions at 512²"):
        read_capacity(result(tmp_path, held), 512)
    with pytest.raises(BadRequest, match="says nothing of 640², only of 256² and 384² and 512²"):
        read_capacity(result(tmp_path, held), 640)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ([], "not the result"),
        ({"benchmark": "latency"}, "not the result"),
        ({"sessions_x": {"held": 1}}, "not the result"),
        ({"sessions_256": {"held": "many"}}, "does not say"),
        ({"sessions_256": {"held": -1}}, "does not say"),
        ({"sessions_256": {"held": True}}, "does not say"),
        ({"sessions_256": 4}, "does not say"),
        ({"sessions_256": {"held": 0}}, "holds 0 sessions"),
    ],
)
def test_a_wrong_result_is_one_sentence(tmp_path: Path, content: object, says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        read_capacity(result(tmp_path, content), None)


@pytest.mark.parametrize("sessions", [0, -1, float("nan"), float("inf"), 1e9])
def test_stated_sessions_are_a_number(sessions: float) -> None:
    with pytest.raises(BadRequest):
        stated(sessions, 2)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "How many sessions"),
        (["--sessions", "4", "--capacity", "x.json"], "Give either"),
        (["--sessions", "4", "--size", "256"], "belongs to --capacity"),
        (["--sessions", "4", "--cores", "0"], "cores are between"),
        (["--sessions", "4", "--utilisation", "0"], "utilisation must be more than 0"),
        (["--sessions", "4", "--utilisation", "1.5"], "at most 1"),
        (["--sessions", "4", "--idle-watts", "-3"], "idle of watts must be more than 0"),
        (["--sessions", "4", "--idle-watts", "500"], "no less than idle"),
        (["--sessions", "4", "--read-power", "hard"], "idle or busy"),
        (["--sessions", "4", "--draws", "3"], "between 100 and 200000"),
        (["--sessions", "4", "-o", "report.pdf"], "must end in .html"),
        (["--capacity", "nowhere.json"], "cannot be read"),
    ],
)
def test_a_wrong_command_is_one_sentence(
    arguments: list[str], says: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["tco", *arguments])
    assert isinstance(done.exception, BadRequest)
    assert says.replace("idle of watts", "idle watts") in str(done.exception)


def test_the_command_writes_what_is_asked_for(tmp_path: Path) -> None:
    own, page = tmp_path / "own.toml", tmp_path / "r.html"
    table, tree = tmp_path / "r.csv", tmp_path / "r.json"
    assert CliRunner().invoke(app, ["tco", "--write-prices", str(own)]).exit_code == 0
    assert own.read_bytes() == SHIPPED.read_bytes()
    arguments = ["tco", "--sessions", "4", "--cores", "8", "--prices", str(own), "--draws", "200"]
    outputs = ["-o", str(page), "--json", str(tree), "--csv", str(table)]
    done = CliRunner().invoke(app, [*arguments, *outputs])
    assert done.exit_code == 0, done.exception
    assert "session-hour" in done.stdout
    assert page.read_text("utf-8").startswith("<!doctype html>")
    assert json.loads(tree.read_text("utf-8"))["inputs"]["sessions"]["value"] == 4
    assert table.read_text("utf-8").startswith("section,")
    again = CliRunner().invoke(app, [*arguments, "-o", str(page)])
    assert "--force" in str(again.exception)


class Counters:
    """RAPL as Linux shows it, on a clock of its own."""

    def __init__(self, root: Path) -> None:
        self.root, self.now = root, 0.0
        self.watts: dict[str, float] = {}
        self.wrap = 100_000_000

    def add(self, folder: str, name: str, watts: float) -> None:
        place = self.root / folder
        place.mkdir()
        (place / "name").write_text(name + "\n")
        (place / "max_energy_range_uj").write_text(f"{self.wrap}\n")
        self.watts[folder] = watts
        self._show()

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self._show()

    def _show(self) -> None:
        for folder, watts in self.watts.items():
            spent = int(watts * self.now * 1e6) % self.wrap
            (self.root / folder / "energy_uj").write_text(f"{spent}\n")

    def clock(self) -> float:
        return self.now


@pytest.fixture
def counters(tmp_path: Path) -> Counters:
    return Counters(tmp_path)


@pytest.fixture
def smi(tmp_path: Path) -> Callable[[str], str]:
    def write(script: str) -> str:
        path = tmp_path / "nvidia-smi"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)

    return write


def test_packages_are_added_up_over_the_wrap(counters: Counters, smi: Callable[[str], str]) -> None:
    counters.add("intel-rapl:0", "package-0", 40)
    counters.add("intel-rapl:1", "package-1", 25)
    counters.add("intel-rapl:0:0", "core", 30)  # a part of package-0
    meters = find_meters(counters.root, smi("exit 1"))
    assert meters.words == "RAPL package-0 + package-1"
    reading = read_power(meters, 60, counters.clock, counters.sleep)
    assert reading.watts == pytest.approx(65)  # 65 W for a minute wraps a counter of 100 J
    assert reading.seconds == pytest.approx(60)


def test_the_whole_board_goes_before_its_parts(
    counters: Counters, smi: Callable[[str], str]
) -> None:
    counters.add("intel-rapl:0", "package-0", 40)
    counters.add("intel-rapl:1", "psys", 70)
    meters = find_meters(counters.root, smi("exit 1"))
    assert read_power(meters, 60, counters.clock, counters.sleep).watts == pytest.approx(70)


def test_gpus_are_added(counters: Counters, smi: Callable[[str], str]) -> None:
    counters.add("intel-rapl:0", "package-0", 40)
    meters = find_meters(counters.root, smi("echo 71.5; echo 28.5"))
    assert meters.words == "RAPL package-0 and NVML"
    reading = read_power(meters, 60, counters.clock, counters.sleep)
    assert reading.watts == pytest.approx(140)


@pytest.mark.parametrize("script", ["echo '[N/A]'", "exit 9", "echo", "echo nan"])
def test_a_gpu_that_tells_nothing_is_none(
    counters: Counters, smi: Callable[[str], str], script: str
) -> None:
    assert find_meters(counters.root, smi(script)).words == ""


def test_without_counters_a_meter_is_asked_for(
    counters: Counters, smi: Callable[[str], str]
) -> None:
    meters = find_meters(counters.root, smi("exit 1"))
    with pytest.raises(BadRequest, match="neither RAPL nor NVML"):
        read_power(meters, 60, counters.clock, counters.sleep)


@pytest.mark.parametrize("seconds", [0, 59.9, 1e9, float("nan")])
def test_a_minute_at_least(counters: Counters, seconds: float) -> None:
    counters.add("intel-rapl:0", "package-0", 40)
    with pytest.raises(BadRequest, match="60 to 3600"):
        read_power(find_meters(counters.root, "/nowhere"), seconds, counters.clock, counters.sleep)


def test_a_counter_that_stops_is_one_sentence(counters: Counters) -> None:
    counters.add("intel-rapl:0", "package-0", 40)
    meters = find_meters(counters.root, "/nowhere")

    def gone(seconds: float) -> None:
        counters.sleep(seconds)
        (counters.root / "intel-rapl:0" / "energy_uj").unlink()

    with pytest.raises(BadRequest, match="stopped answering"):
        read_power(meters, 60, counters.clock, gone)
