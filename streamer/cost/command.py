"""``visavis tco``: what an hour of a session costs here, and elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from visavis.streamer.errors import BadRequest

if TYPE_CHECKING:
    from visavis.streamer.cost.capacity import Capacity
    from visavis.streamer.cost.prices import Machine, Prices, Quantity
    from visavis.streamer.cost.study import Study

_MOST_WATTS = 1e6


def tco(
    capacity: Annotated[
        Path | None, typer.Option(help="Result of visavis bench capacity --json.")
    ] = None,
    sessions: Annotated[
        float | None, typer.Option(help="How many this machine holds, instead.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Edge of the picture; the largest that holds a session.")
    ] = None,
    cores: Annotated[
        int | None, typer.Option(help="Scale the sessions to so many cores, in proportion.")
    ] = None,
    prices: Annotated[Path | None, typer.Option(help="Your price list (TOML).")] = None,
    utilisation: Annotated[
        float | None, typer.Option(help="Share of the places in use, over a year: 0.24.")
    ] = None,
    idle_watts: Annotated[float | None, typer.Option(help="At the wall, nobody live.")] = None,
    busy_watts: Annotated[float | None, typer.Option(help="At the wall, every place used.")] = None,
    read_power: Annotated[
        str, typer.Option(help="idle|busy: read RAPL and NVML now, under that load.")
    ] = "",
    read_seconds: Annotated[float, typer.Option(help="How long; 60 at least.")] = 60.0,
    draws: Annotated[int, typer.Option(help="Of the Monte-Carlo interval.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same draws.")] = 0,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The .html report to write.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="The .json to write.")] = None,
    csv: Annotated[Path | None, typer.Option(help="The .csv to write.")] = None,
    write_prices: Annotated[
        Path | None, typer.Option(help="Write our price list there, to edit, and end.")
    ] = None,
    force: Annotated[bool, typer.Option(help="Replace what is there.")] = False,
) -> None:
    """Say what an hour of a session costs on this machine, against hired ones and services."""
    from visavis.streamer.cost.prices import SHIPPED, read_prices
    from visavis.streamer.cost.study import study

    if write_prices is not None:
        _copy_prices(write_prices, force)
        return
    outputs = _Outputs(output, json, csv)
    outputs.check(tuple(p for p in (capacity, prices) if p), force)
    held = _capacity(capacity, sessions, size, cores)
    listed = read_prices(prices or SHIPPED)
    listed = _overridden(listed, utilisation, idle_watts, busy_watts)
    listed = _with_reading(listed, read_power, read_seconds)
    found = study(listed, held, draws=draws, seed=seed)
    _say(found)
    outputs.write(found, force)


@dataclass(frozen=True)
class _Outputs:
    html: Path | None
    json: Path | None
    csv: Path | None

    def check(self, inputs: tuple[Path, ...], force: bool) -> None:
        from visavis.streamer.commands.outputs import check_output

        if self.html is not None and find_spec("matplotlib") is None:
            raise BadRequest("The report's plots need matplotlib: pip install matplotlib.")
        named = ((self.html, ".html"), (self.json, ".json"), (self.csv, ".csv"))
        for path, suffix in named:
            if path is not None:
                check_output(path, inputs, force=force, suffixes=(suffix,))

    def write(self, found: Study, force: bool) -> None:
        from visavis.streamer.commands.outputs import whole_file
        from visavis.streamer.cost.outputs import as_csv, as_json
        from visavis.streamer.cost.report import as_html

        makers = ((self.html, as_html), (self.json, as_json), (self.csv, as_csv))
        for path, make in makers:
            if path is not None:
                text = make(found)
                with whole_file(path, force=force) as partial:
                    partial.write_text(text, "utf-8")


def _copy_prices(path: Path, force: bool) -> None:
    from visavis.streamer.commands.outputs import check_output, whole_file
    from visavis.streamer.cost.prices import SHIPPED

    check_output(path, (SHIPPED,), force=force, suffixes=(".toml",))
    with whole_file(path, force=force) as partial:
        partial.write_bytes(SHIPPED.read_bytes())


def _capacity(
    result: Path | None, sessions: float | None, size: int | None, cores: int | None
) -> Capacity:
    from visavis.streamer.cost.capacity import on_cores, read_capacity, stated

    if cores is not None and not 1 <= cores <= 4096:
        raise BadRequest("The cores are between 1 and 4096.")
    if sessions is not None and result is not None:
        raise BadRequest("Give either --capacity or --sessions.")
    if sessions is not None:
        if size is not None:
            raise BadRequest("The size belongs to --capacity; --sessions says it all.")
        return stated(sessions, cores)
    if result is None:
        raise BadRequest(
            "How many sessions does this machine hold? Measure it with visavis bench capacity "
            "--json FILE and give --capacity FILE, or state --sessions."
        )
    found = read_capacity(result, size)
    return found if cores is None else on_cores(found, cores)


def _overridden(
    listed: Prices, utilisation: float | None, idle: float | None, busy: float | None
) -> Prices:
    """Put in what the command line states; a stated figure has no range."""
    from visavis.streamer.cost.prices import checked_number

    use, machine = listed.use, listed.machine
    if utilisation is not None:
        value = checked_number(utilisation, "utilisation", most=1.0)
        use = use.model_copy(update={"utilisation": _stated(value)})
    for name, watts in (("idle_watts", idle), ("busy_watts", busy)):
        if watts is not None:
            value = checked_number(watts, name.replace("_", " "), most=_MOST_WATTS)
            machine = machine.model_copy(update={name: _stated(value)})
    return _sound(listed.model_copy(update={"use": use, "machine": machine}))


def _stated(value: float) -> Quantity:
    from visavis.streamer.cost.prices import Quantity

    text = "given on the command line"
    return Quantity(value=value, low=value, high=value, kind="stated", source=text)


def _with_reading(listed: Prices, load: str, seconds: float) -> Prices:
    """Read the counters of this machine where that was asked for."""
    from visavis.streamer.cost.power import find_meters, read_power

    if not load:
        return listed
    if load not in ("idle", "busy"):
        raise BadRequest("Power is read idle or busy: under the load that the machine has now.")
    name: Literal["idle_watts", "busy_watts"] = "idle_watts" if load == "idle" else "busy_watts"
    meters = find_meters()
    if meters.words:
        typer.echo(f"Reading {meters.words} for {seconds:.0f} s …", err=True)
    reading = read_power(meters, seconds)
    return _sound(
        listed.model_copy(
            update={"machine": _read_in(listed.machine, name, reading.watts, reading.counters)}
        )
    )


def _read_in(machine: Machine, name: str, watts: float, counters: str) -> Machine:
    from visavis.streamer.cost.prices import Quantity

    rest = machine.rest_watts
    words = f"{counters}: {watts:.1f} W, and {rest.value:g} W stated for what they do not count"
    quantity = Quantity(
        value=watts + rest.value,
        low=watts + rest.low,
        high=watts + rest.high,
        kind="measured",
        source=words,
    )
    return machine.model_copy(update={name: quantity})


def _sound(listed: Prices) -> Prices:
    if listed.machine.busy_watts.value < listed.machine.idle_watts.value:
        raise BadRequest("Under full load a machine draws no less than idle: check the watts.")
    return listed


def _say(found: Study) -> None:
    from visavis.streamer.cost.labels import euros, number, quantity

    cost, draws = found.cost, found.draws
    used = quantity("utilisation", found.inputs.utilisation)
    whole = cost.capex + cost.opex
    watts = (found.quantities[name] for name in ("idle_watts", "busy_watts"))
    lines = [
        f"sessions      {number(found.inputs.sessions)} ({found.capacity.words})",
        f"utilisation   {used} of these places over a year",
        f"session-hour  {euros(cost.eur_per_session_hour)}, "
        f"{number(1000 * cost.kwh_per_session_hour)} Wh, {number(cost.g_per_session_hour)} g CO₂e",
        f"interval      {number(draws.p5)} to {euros(draws.p95)} in 90 % of {len(draws.eur)} draws",
        f"year          {euros(whole)}: CapEx {euros(cost.capex)}, OpEx {euros(cost.opex)}",
        "energy        watts " + ", ".join(f"{w.value:g} ({w.kind})" for w in watts),
    ]
    for compared in found.offers:
        price, meets = compared.eur_per_session_hour, compared.meets
        if price is None or meets is None:
            lines.append(f"{compared.offer.name}: {compared.why_not}")
            continue
        share = meets.utilisation
        reach = f"own cheaper from {100 * share:.2g} %" if share and share <= 1 else "own never"
        lines.append(f"{compared.offer.name}: {euros(price)} a session-hour; {reach}")
    lines += [f"note: {note}" for note in found.notes]
    typer.echo("\n".join(lines))
