"""What the inputs are called, and their units; how numbers are written."""

from __future__ import annotations

from typing import Final

NAMES: Final = {
    "sessions": ("sessions a machine", ""),
    "utilisation": ("utilisation", "%"),
    "purchase_eur": ("purchase", "€"),
    "lifetime_years": ("lifetime", "years"),
    "residual_share": ("rest value", "%"),
    "interest_share": ("interest", "% a year"),
    "maintenance_share": ("maintenance", "% a year"),
    "hosting_eur_per_month": ("hosting", "€ a month"),
    "admin_hours_per_month": ("work on it", "h a month"),
    "admin_eur_per_hour": ("an hour of work", "€"),
    "idle_watts": ("draw, idle", "W"),
    "busy_watts": ("draw, full", "W"),
    "pue": ("energy of the room (PUE)", ""),
    "eur_per_kwh": ("electricity", "€/kWh"),
    "gb_per_session_hour": ("sent by a session", "GB/h"),
    "eur_per_gb": ("traffic", "€/GB"),
    "grid_g_per_kwh": ("grid", "g CO₂e/kWh"),
    "embodied_kg": ("making the machine", "kg CO₂e"),
}
PARTS: Final = ("capital", "maintenance", "hosting", "admin", "energy", "traffic")


def number(value: float) -> str:
    """Return a number with as many digits as one reads."""
    size = abs(value)
    if size < 1000 and abs(value - round(value)) < 1e-9:
        return f"{value:.0f}"
    if size >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    if size >= 100:
        return f"{value:.0f}"
    if size >= 10:
        return f"{value:.1f}"
    if size >= 1:
        return f"{value:.2f}"
    return f"{value:.3f}" if size >= 0.01 else f"{value:.2g}"


def euros(value: float) -> str:
    """Return an amount of money."""
    return f"{number(value)} €"


def quantity(name: str, value: float) -> str:
    """Return an input with its unit."""
    unit = NAMES[name][1]
    if unit.startswith("%"):
        return f"{100 * value:.3g} {unit}"
    return f"{number(value)} {unit}".strip()
