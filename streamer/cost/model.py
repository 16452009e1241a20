"""What a year of one machine costs, and what of it falls to an hour of one session.

All is arithmetic on one frozen dataclass. The draw of a machine is taken as linear between idle and
full load (Fan, Weber and Barroso, "Power provisioning for a warehouse-sized computer", 2007).
Capital is the equipment annuity of a price, less what is left of it at the end of its life.
"""

from __future__ import annotations

from dataclasses import dataclass

HOURS_A_YEAR = 8760.0
_MONTHS = 12


@dataclass(frozen=True)
class Inputs:
    """Everything a figure of this report is computed from.

    Attributes:
        sessions: live sessions that the machine holds at full effort.
        utilisation: mean share of these places in use over all hours of a year, 0 to 1.
        purchase_eur: price of the machine.
        lifetime_years: until it is replaced.
        residual_share: of the price, what it still brings then.
        interest_share: yearly, what the money would bring elsewhere.
        maintenance_share: yearly, of the price: spare parts, warranty.
        hosting_eur_per_month: room, rack, line.
        admin_hours_per_month: work on this machine.
        admin_eur_per_hour: what that work costs.
        idle_watts: at the wall, with nobody live.
        busy_watts: at the wall, with every place in use.
        pue: energy of the whole room over that of the machines in it.
        eur_per_kwh: electricity.
        gb_per_session_hour: what a session sends, 10⁹ bytes.
        eur_per_gb: what sending that costs.
        grid_g_per_kwh: CO₂ equivalent of the grid.
        embodied_kg: CO₂ equivalent of making the machine.
    """

    sessions: float
    utilisation: float
    purchase_eur: float
    lifetime_years: float
    residual_share: float
    interest_share: float
    maintenance_share: float
    hosting_eur_per_month: float
    admin_hours_per_month: float
    admin_eur_per_hour: float
    idle_watts: float
    busy_watts: float
    pue: float
    eur_per_kwh: float
    gb_per_session_hour: float
    eur_per_gb: float
    grid_g_per_kwh: float
    embodied_kg: float


@dataclass(frozen=True)
class Cost:
    """A year of one machine; money in euros a year.

    Attributes:
        capital: annuity of the machine.
        maintenance: spare parts, warranty.
        hosting: room, rack, line.
        admin: people.
        energy: electricity, the room's share included.
        traffic: what was sent.
        session_hours: hours of sessions served.
        kwh: electricity, the room's share included.
        kg: CO₂ equivalent, making the machine included.
    """

    capital: float
    maintenance: float
    hosting: float
    admin: float
    energy: float
    traffic: float
    session_hours: float
    kwh: float
    kg: float

    @property
    def capex(self) -> float:
        """Return what is bound once, a year."""
        return self.capital

    @property
    def opex(self) -> float:
        """Return what is paid as one goes, a year."""
        return self.maintenance + self.hosting + self.admin + self.energy + self.traffic

    @property
    def eur_per_session_hour(self) -> float:
        """Return euros an hour of one session."""
        return (self.capex + self.opex) / self.session_hours

    @property
    def kwh_per_session_hour(self) -> float:
        """Return kWh an hour of one session, the machine's idle hours included."""
        return self.kwh / self.session_hours

    @property
    def g_per_session_hour(self) -> float:
        """Return grams of CO₂ equivalent an hour of one session."""
        return 1000 * self.kg / self.session_hours


@dataclass(frozen=True)
class BreakEven:
    """From where on one's own machine is cheaper than a price per session-hour.

    Attributes:
        session_hours: a year at which both cost the same; None where the machine costs more for
            each further hour than the price asks.
        utilisation: the same as a share of the machine's places; above 1 one machine cannot
            reach it.
        payback_months: until the purchase is earned back at the utilisation of the inputs; None
            where that never happens.
    """

    session_hours: float | None
    utilisation: float | None
    payback_months: float | None

    def within_reach(self) -> bool:
        """Whether one machine of this capacity can be used so much."""
        return self.utilisation is not None and self.utilisation <= 1


def annuity(inputs: Inputs) -> float:
    """Return euros a year of the machine: ``P·r/(1-(1+r)^-n) - S·r/((1+r)^n-1)``.

    With no interest it is the price less the rest, spread over the years.
    """
    price, years, rate = inputs.purchase_eur, inputs.lifetime_years, inputs.interest_share
    rest = price * inputs.residual_share
    if rate == 0:
        return (price - rest) / years
    growth = (1 + rate) ** years
    return price * rate * growth / (growth - 1) - rest * rate / (growth - 1)


def watts(inputs: Inputs) -> float:
    """Return the mean draw at the wall of the machine alone."""
    return inputs.idle_watts + (inputs.busy_watts - inputs.idle_watts) * inputs.utilisation


def year(inputs: Inputs) -> Cost:
    """Return what a year costs."""
    hours = inputs.sessions * inputs.utilisation * HOURS_A_YEAR
    kwh = watts(inputs) * inputs.pue * HOURS_A_YEAR / 1000
    made = inputs.embodied_kg / inputs.lifetime_years
    return Cost(
        capital=annuity(inputs),
        maintenance=inputs.purchase_eur * inputs.maintenance_share,
        hosting=inputs.hosting_eur_per_month * _MONTHS,
        admin=inputs.admin_hours_per_month * inputs.admin_eur_per_hour * _MONTHS,
        energy=kwh * inputs.eur_per_kwh,
        traffic=hours * inputs.gb_per_session_hour * inputs.eur_per_gb,
        session_hours=hours,
        kwh=kwh,
        kg=kwh * inputs.grid_g_per_kwh / 1000 + made,
    )


def marginal_eur(inputs: Inputs) -> float:
    """Return what one more session-hour costs on a machine that is on anyway."""
    per_session = (inputs.busy_watts - inputs.idle_watts) / inputs.sessions
    energy = per_session * inputs.pue / 1000 * inputs.eur_per_kwh
    return energy + inputs.gb_per_session_hour * inputs.eur_per_gb


def fixed_eur(inputs: Inputs) -> float:
    """Return what a year costs in which nobody comes."""
    cost = year(inputs)
    idle = inputs.idle_watts * inputs.pue * HOURS_A_YEAR / 1000 * inputs.eur_per_kwh
    return cost.capital + cost.maintenance + cost.hosting + cost.admin + idle


def break_even(inputs: Inputs, price_eur: float) -> BreakEven:
    """Return where one's own machine meets a price per session-hour.

    Args:
        inputs: the machine and its use.
        price_eur: what an hour of one session costs elsewhere.
    """
    gain = price_eur - marginal_eur(inputs)
    hours = fixed_eur(inputs) / gain if gain > 0 else None
    places = inputs.sessions * HOURS_A_YEAR
    cost = year(inputs)
    saved = price_eur * cost.session_hours - cost.opex
    return BreakEven(
        session_hours=hours,
        utilisation=None if hours is None else hours / places,
        payback_months=_MONTHS * inputs.purchase_eur / saved if saved > 0 else None,
    )
