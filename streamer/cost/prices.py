"""The price list: a dated TOML file that whoever runs a machine edits."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from visavis.streamer.errors import BadRequest
from visavis.streamer.sentences import sentence

SHIPPED: Final = Path(__file__).with_name("prices.toml")
Kind = Literal["listed", "measured", "stated", "assumed"]
_HOURS_PER: Final = {"second": 1 / 3600, "minute": 1 / 60, "hour": 1.0, "month": 730.0}
_MOST_BYTES = 1 << 20


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Quantity(_Strict):
    """A number with where it may really lie and where it is from.

    Attributes:
        value: what is computed with.
        low: the least it may be; the value itself if left out.
        high: the most it may be; the value itself if left out.
        kind: who says so.
        source: where it is from.
    """

    value: float = Field(ge=0, allow_inf_nan=False)
    low: float = Field(ge=0, allow_inf_nan=False)
    high: float = Field(ge=0, allow_inf_nan=False)
    kind: Kind = "stated"
    source: str = Field(default="", max_length=500)

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, given: Any) -> Any:
        if isinstance(given, int | float) and not isinstance(given, bool):
            given = {"value": given}
        if isinstance(given, dict) and "value" in given:
            entry = cast(dict[str, Any], given)
            return {"low": entry["value"], "high": entry["value"], **entry}
        return cast(Any, given)

    @model_validator(mode="after")
    def _in_order(self) -> Quantity:
        if not self.low <= self.value <= self.high:
            raise ValueError("must lie between its low and its high")
        return self


def _positive(quantity: Quantity) -> Quantity:
    if quantity.low <= 0:
        raise ValueError("must be more than 0, at its low as well")
    return quantity


def _share(quantity: Quantity) -> Quantity:
    if quantity.high > 1:
        raise ValueError("must be between 0 and 1, at its high as well")
    return quantity


Positive = Annotated[Quantity, AfterValidator(_positive)]
Share = Annotated[Quantity, AfterValidator(_share)]
PositiveShare = Annotated[Quantity, AfterValidator(_positive), AfterValidator(_share)]


class Exchange(_Strict):
    """What other money is worth."""

    eur_per_usd: Positive


class Use(_Strict):
    """How much the machine is used, and what sessions send."""

    utilisation: PositiveShare
    gb_per_session_hour: Quantity
    eur_per_gb: Quantity
    sessions_factor: Positive


class Machine(_Strict):
    """One's own machine."""

    name: str = Field(max_length=200)
    cores: int = Field(ge=1, le=4096)
    purchase_eur: Quantity
    lifetime_years: Positive
    residual_share: Share
    interest_share: Share
    maintenance_share: Share
    hosting_eur_per_month: Quantity
    admin_hours_per_month: Quantity
    admin_eur_per_hour: Quantity
    idle_watts: Quantity
    busy_watts: Positive
    rest_watts: Quantity
    embodied_kg: Quantity


class Energy(_Strict):
    """Electricity."""

    eur_per_kwh: Quantity
    pue: Positive
    grid_g_per_kwh: Quantity


class Hired(_Strict):
    """How well hired machines are used."""

    utilisation: PositiveShare


class Offer(_Strict):
    """What others ask for.

    Attributes:
        name: of the offer.
        kind: a machine that this product runs on, or a service that is paid by the session.
        price: for one ``per``.
        currency: of the price.
        per: what is paid for.
        cores: of a machine, for scaling one's own measurement.
        sessions: that it was seen to hold, instead.
        source: where the price is from, with a date.
        note: what to think of before comparing.
    """

    name: str = Field(min_length=1, max_length=200)
    kind: Literal["machine", "service"]
    price: float = Field(gt=0, allow_inf_nan=False)
    currency: Literal["EUR", "USD"] = "EUR"
    per: Literal["second", "minute", "hour", "month"]
    cores: int | None = Field(default=None, ge=1, le=4096)
    sessions: int | None = Field(default=None, ge=1, le=100_000)
    source: str = Field(default="", max_length=500)
    note: str = Field(default="", max_length=500)

    def eur_per_hour(self, eur_per_usd: float) -> float:
        """Return euros for an hour of the machine, or of one session of the service."""
        rate = 1.0 if self.currency == "EUR" else eur_per_usd
        return self.price * rate / _HOURS_PER[self.per]


class Prices(_Strict):
    """The whole list."""

    date: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    exchange: Exchange
    use: Use
    machine: Machine
    energy: Energy
    hired: Hired
    offer: list[Offer] = Field(min_length=1, max_length=40)

    @model_validator(mode="after")
    def _names_differ(self) -> Prices:
        names = [offer.name for offer in self.offer]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"holds two offers named {twice}")
        return self

    @model_validator(mode="after")
    def _full_load_draws_more(self) -> Prices:
        if self.machine.busy_watts.value < self.machine.idle_watts.value:
            raise ValueError("has busy_watts below idle_watts")
        return self


def read_prices(path: Path = SHIPPED) -> Prices:
    """Read a price list.

    Raises:
        BadRequest: it is not there, no TOML, or says something that cannot be; one sentence names
            the entry.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise BadRequest(f"{path} is too large for a price list.")
        text = path.read_text("utf-8")
    except OSError as error:
        raise BadRequest(f"The price list {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise BadRequest(f"The price list {path} is not UTF-8 text.") from error
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason = str(error).rstrip(".")
        raise BadRequest(f"The price list {path} is not TOML: {reason}.") from error
    except RecursionError as error:
        raise BadRequest(f"The price list {path} is nested too deeply.") from error
    return _validated(given, path)


def _validated(given: dict[str, Any], path: Path) -> Prices:
    try:
        return Prices.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = first["loc"]
        if place[:1] == ("offer",) and len(place) > 1 and isinstance(place[1], int):
            name = _offer_name(given, place[1])
            said = _of_offer(first["type"], place[2:], first["msg"])
            raise BadRequest(f"In {path}, the offer {name}: {said}") from error
        if not place:
            said = first["msg"].removeprefix("Value error, ")
            raise BadRequest(f"The price list {path} {said}.") from error
        said = sentence(first["type"], place, first["msg"], Prices, "entry")
        raise BadRequest(f"In {path}: {said}") from error


def _of_offer(kind: str, place: tuple[int | str, ...], message: str) -> str:
    if place == ("price",) and kind == "greater_than":
        return "the price must be more than 0."
    text = sentence(kind, place, message, Offer, "entry")
    return text[:1].lower() + text[1:]


def _offer_name(given: dict[str, Any], number: int) -> str:
    try:
        return str(given["offer"][number]["name"])[:80]
    except (KeyError, TypeError, IndexError):
        return f"number {number + 1}"


def checked_number(value: float, what: str, *, most: float = math.inf) -> float:
    """Return a number of the command line that is more than 0.

    Raises:
        BadRequest: it is not, or more than ``most``.
    """
    if not math.isfinite(value) or value <= 0:
        raise BadRequest(f"The {what} must be more than 0.")
    if value > most:
        raise BadRequest(f"The {what} must be at most {most:g}.")
    return value
