"""One study: the inputs with their ranges, what they cost, how sure that is, and the offers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from visavis.streamer.cost.capacity import Capacity
from visavis.streamer.cost.model import BreakEven, Cost, Inputs, break_even, year
from visavis.streamer.cost.prices import Offer, Prices, Quantity
from visavis.streamer.errors import BadRequest

_LEVELS = (5, 50, 95)  # percent, of the Monte-Carlo interval
_MONTH_H = 730.0


@dataclass(frozen=True)
class Swing:
    """What one input does to the cost of a session-hour while all others stay.

    Attributes:
        name: field of :class:`Inputs`.
        low: the least the input may be.
        high: the most.
        at_low: euros a session-hour there.
        at_high: euros a session-hour there.
    """

    name: str
    low: float
    high: float
    at_low: float
    at_high: float

    @property
    def width(self) -> float:
        """Return how far the cost moves."""
        return abs(self.at_high - self.at_low)


@dataclass(frozen=True)
class Draws:
    """The Monte-Carlo result.

    Attributes:
        eur: euros a session-hour of each draw, sorted.
        p5: 5 % of draws cost less.
        p50: half of them.
        p95: 95 % of them.
        seed: of the generator.
    """

    eur: NDArray[np.float64]
    p5: float
    p50: float
    p95: float
    seed: int


@dataclass(frozen=True)
class Compared:
    """One offer beside one's own machine.

    Attributes:
        offer: the entry of the list.
        eur_per_session_hour: there; None where it cannot be said.
        sessions: that a hired machine holds; None for a service.
        meets: where one's own machine meets it.
        own_cheaper: share of the draws in which one's own machine costs less.
        why_not: why it cannot be said, one sentence.
    """

    offer: Offer
    eur_per_session_hour: float | None
    sessions: float | None
    meets: BreakEven | None
    own_cheaper: float | None
    why_not: str = ""


@dataclass(frozen=True)
class Study:
    """Everything that a report shows.

    Attributes:
        prices: the list that was read.
        capacity: of the machine.
        quantities: each input by its name, with range and source.
        inputs: their values.
        cost: a year at these.
        swings: the widest first.
        draws: the Monte-Carlo result.
        offers: each beside one's own.
        notes: what a reader should know, a sentence each.
    """

    prices: Prices
    capacity: Capacity
    quantities: dict[str, Quantity]
    inputs: Inputs
    cost: Cost
    swings: tuple[Swing, ...]
    draws: Draws
    offers: tuple[Compared, ...]
    notes: tuple[str, ...]


def quantities_of(prices: Prices, capacity: Capacity) -> dict[str, Quantity]:
    """Return every input by the name of its field of :class:`Inputs`."""
    factor = prices.use.sessions_factor
    sessions = Quantity(
        value=capacity.sessions * factor.value,
        low=capacity.sessions * factor.low,
        high=capacity.sessions * factor.high,
        kind="measured" if capacity.measured else "stated",
        source=capacity.words,
    )
    known: dict[str, Quantity] = {"sessions": sessions}
    for group in (prices.use, prices.machine, prices.energy):
        for field in fields(Inputs):
            found = getattr(group, field.name, None)
            if isinstance(found, Quantity):
                known[field.name] = found
    return known


def study(prices: Prices, capacity: Capacity, *, draws: int, seed: int) -> Study:
    """Compute a study.

    Args:
        prices: the list.
        capacity: of one's own machine.
        draws: of the Monte-Carlo interval.
        seed: of its generator.

    Raises:
        BadRequest: the draws are too few or too many.
    """
    if not 100 <= draws <= 200_000:
        raise BadRequest("The draws are between 100 and 200000.")
    quantities = quantities_of(prices, capacity)
    inputs = Inputs(**{name: quantity.value for name, quantity in quantities.items()})
    drawn, rate = _drawn(quantities, prices.exchange.eur_per_usd, draws, seed)
    eur = np.array([year(each).eur_per_session_hour for each in drawn])
    p5, p50, p95 = (float(mark) for mark in np.percentile(eur, _LEVELS))
    return Study(
        prices=prices,
        capacity=capacity,
        quantities=quantities,
        inputs=inputs,
        cost=year(inputs),
        swings=swings_of(inputs, quantities),
        draws=Draws(np.sort(eur), p5, p50, p95, seed),
        offers=tuple(_compare(o, prices, capacity, inputs, eur, rate) for o in prices.offer),
        notes=_notes(prices, capacity),
    )


def swings_of(inputs: Inputs, quantities: dict[str, Quantity]) -> tuple[Swing, ...]:
    """Return what each input does alone, the widest first; what has no range is left out."""

    def at(name: str, value: float) -> float:
        return year(_possible(replace(inputs, **{name: value}))).eur_per_session_hour

    found = [
        Swing(name, q.low, q.high, at(name, q.low), at(name, q.high))
        for name, q in quantities.items()
        if q.low < q.high
    ]
    return tuple(sorted((s for s in found if s.width > 0), key=lambda s: -s.width))


def _possible(inputs: Inputs) -> Inputs:
    """Where ranges overlap, no machine draws less under load than idle."""
    return replace(inputs, busy_watts=max(inputs.busy_watts, inputs.idle_watts))


def _drawn(
    quantities: dict[str, Quantity], rate: Quantity, draws: int, seed: int
) -> tuple[list[Inputs], NDArray[np.float64]]:
    """Draw every input from a triangle over its range, independently of the others."""
    generator = np.random.default_rng(seed)
    columns = {name: _triangle(generator, q, draws) for name, q in quantities.items()}
    rates = _triangle(generator, rate, draws)
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    names = list(columns)
    return [_possible(Inputs(**dict(zip(names, row, strict=True)))) for row in rows], rates


def _triangle(generator: np.random.Generator, q: Quantity, count: int) -> NDArray[np.float64]:
    if q.low == q.high:
        return np.full(count, q.value)
    return generator.triangular(q.low, q.value, q.high, count)


def _compare(
    offer: Offer,
    prices: Prices,
    capacity: Capacity,
    inputs: Inputs,
    eur: NDArray[np.float64],
    rates: NDArray[np.float64],
) -> Compared:
    rate = prices.exchange.eur_per_usd.value
    sessions: float | None = None
    cost: Callable[[float], float] = offer.eur_per_hour
    if offer.kind == "machine":
        sessions = _hired_sessions(offer, capacity)
        if sessions is None:
            why = "Not compared: it is not known how many sessions it holds."
            return Compared(offer, None, None, None, None, why)
        cost = _hired_cost(offer, prices, inputs, sessions)
    price = cost(rate)
    cheaper = eur < np.array([cost(float(each)) for each in rates])
    share = float(np.mean(cheaper))
    return Compared(offer, price, sessions, break_even(inputs, price), share)


def _hired_sessions(offer: Offer, capacity: Capacity) -> float | None:
    if offer.sessions is not None:
        return float(offer.sessions)
    if offer.cores is None or capacity.cores is None:
        return None
    return capacity.sessions * offer.cores / capacity.cores


def _hired_cost(
    offer: Offer, prices: Prices, inputs: Inputs, sessions: float
) -> Callable[[float], float]:
    """Return a hired session-hour over the exchange rate: rent and people over what is in use."""
    admin = inputs.admin_hours_per_month * inputs.admin_eur_per_hour / _MONTH_H
    used = sessions * prices.hired.utilisation.value
    traffic = inputs.gb_per_session_hour * inputs.eur_per_gb
    return lambda rate: (offer.eur_per_hour(rate) + admin) / used + traffic


def _notes(prices: Prices, capacity: Capacity) -> tuple[str, ...]:
    notes: list[str] = []
    priced = prices.machine.cores
    if capacity.cores is None:
        notes.append(
            f"It is not known on how many cores the sessions run; the machine that is priced has "
            f"{priced}. Hired machines are compared only where the list says what they hold."
        )
    elif capacity.cores != priced:
        notes.append(
            f"The sessions are those of {capacity.cores} cores, the machine that is priced has "
            f"{priced}: measure on that machine, or scale with --cores {priced}."
        )
    if 0 < capacity.sessions < 1:
        notes.append("Less than one session fits: no real machine can be used so.")
    guessed = sum(q.kind == "assumed" for q in quantities_of(prices, capacity).values())
    notes.append(
        f"{guessed} of the inputs are assumed: nobody looked them up. The list of sources says "
        "which; put in your own."
    )
    return tuple(notes)
