"""Light: spherical harmonics of order two, taking a portrait's away and casting another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.models.arrays import Floats

LAMPS = 3
_SHADE = (0.5, 1.7)  # of the mean, what a portrait's shading is held to
_ROUNDS = 8


def sh_basis(normals: NDArray[np.floating]) -> Floats:
    """Return the nine real harmonics of unit vectors ``(..., 3)``, unnormalised polynomials."""
    x, y, z = normals[..., 0], normals[..., 1], normals[..., 2]
    return np.stack(
        [np.ones_like(x), y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y], -1
    ).astype(np.float32)


def to_linear(srgb: NDArray) -> Floats:
    """Return linear light 0-1 of sRGB values 0-255."""
    s = np.asarray(srgb, np.float32) / 255.0
    return np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4).astype(np.float32)


def to_srgb(linear: NDArray) -> Floats:
    """Return sRGB values 0-255 of linear light."""
    v = np.clip(np.asarray(linear, np.float32), 0, None)
    s = np.where(v <= 0.0031308, v * 12.92, 1.055 * np.power(v, 1 / 2.4) - 0.055)
    return np.clip(s * 255.0, 0, 255).astype(np.float32)


def estimate_shading(colours: Floats, normals: Floats) -> Floats:
    """Estimate the light that a portrait was taken in.

    Skin is taken to be of one brightness; lips, brows and shadows are outliers of a robust fit.

    Args:
        colours: ``(N, 3)`` linear, of visible skin.
        normals: ``(N, 3)`` in the view.

    Returns:
        ``(9,)`` coefficients of the brightness, 1 on average over the samples.
    """
    level = colours @ np.array([0.3, 0.55, 0.15], np.float32)
    level = level / max(float(np.median(level)), 1e-4)
    basis = sh_basis(normals).astype(np.float64)
    ridge = np.diag([1e-4, 0.02, 0.02, 0.02, 0.2, 0.2, 0.2, 0.2, 0.2]) * len(level)
    weight = np.ones(len(level))
    solution = np.zeros(9)
    for _ in range(_ROUNDS):
        a = basis * weight[:, None]
        solution = np.linalg.solve(a.T @ basis + ridge, a.T @ level)
        error = level - basis @ solution
        weight = 1.0 / (1.0 + (error / 0.12) ** 2)
    mean = float((basis @ solution).mean())
    return (solution / max(mean, 1e-3)).astype(np.float32)


def shade(coefficients: Floats, normals: Floats) -> Floats:
    """Return the brightness ``(...)`` of a portrait's light, within plausible limits."""
    return np.clip(sh_basis(normals) @ coefficients, *_SHADE).astype(np.float32)


@dataclass(frozen=True)
class Light:
    """The light of one person's pictures, in view space.

    Attributes:
        sh: ``(9, 3)`` irradiance over the albedo's level, per channel.
        lamps: ``(LAMPS, 3)`` unit directions towards area lights.
        lamp_colours: ``(LAMPS, 3)`` of their highlights.
        lamp_sizes: ``(LAMPS,)`` angular radius, radians.
        name: kind of light, for the balance report.
    """

    sh: Floats
    lamps: Floats
    lamp_colours: Floats
    lamp_sizes: Floats
    name: str

    def irradiance(self, normals: Floats) -> Floats:
        """Return ``(..., 3)``."""
        return np.maximum(sh_basis(normals) @ self.sh, 0.2).astype(np.float32)


def _lobe(direction: NDArray[np.floating], colour: Floats, wrap: float) -> Floats:
    """Return ``(9, 3)`` of a wrapped clamped-cosine lobe (Ramamoorthi and Hanrahan 2001)."""
    d = np.asarray(direction, np.float64)
    # Clamped cosine: 1/4, 1/2, 5/32 of the unnormalised polynomials.
    scale = np.array([0.25, 0.5, 0.5, 0.5, 0.94, 0.94, 0.156, 0.94, 0.234])
    lobe = scale * sh_basis(d[None])[0]
    lobe[4:] *= 1.0 - wrap
    lobe[0] += 0.25 * wrap
    return (lobe[:, None] * colour[None]).astype(np.float32)


def _direction(azimuth: float, height: float) -> NDArray[np.float64]:
    return np.array(
        [np.sin(azimuth) * np.cos(height), np.sin(height), np.cos(azimuth) * np.cos(height)]
    )


def _warmth(rng: np.random.Generator, spread: float) -> Floats:
    t = float(rng.normal(0, spread))
    return np.array([1 + t, 1 + 0.15 * t, 1 - t], np.float32)


def random_light(rng: np.random.Generator, own: Floats) -> Light:
    """Draw a light: the portrait's own, a soft studio, a window, a room, or evening light.

    Args:
        rng: randomness.
        own: ``(9,)`` shading of the portrait.
    """
    name = str(
        rng.choice(["own", "studio", "window", "room", "evening"], p=[0.3, 0.25, 0.2, 0.17, 0.08])
    )
    side = float(rng.choice([-1.0, 1.0]))
    azimuth = side * rng.uniform(0.15, 1.25 if name == "window" else 0.9)
    height = rng.uniform(0.1, 0.9)
    key = _direction(azimuth, height)
    fill = _direction(-side * rng.uniform(0.4, 1.3), rng.uniform(-0.1, 0.6))
    back = _direction(side * rng.uniform(1.9, 2.7), rng.uniform(0.1, 0.8))
    lamps = np.stack([key, fill, back]).astype(np.float32)
    strength = {"own": 0.5, "studio": 0.6, "window": 1.0, "room": 0.4, "evening": 0.8}[name]
    key_colour = _warmth(rng, 0.12 if name == "evening" else 0.04)
    fill_colour = _warmth(rng, 0.05)
    sizes = np.array(
        [rng.uniform(0.1, 0.4), rng.uniform(0.15, 0.5), rng.uniform(0.1, 0.3)], np.float32
    )
    highlights = np.stack(
        [
            strength * rng.uniform(0.7, 1.2) * key_colour,
            0.35 * strength * rng.uniform(0.3, 1.0) * fill_colour,
            rng.uniform(0.0, 0.7) * _warmth(rng, 0.06),
        ]
    ).astype(np.float32)
    if name == "own":
        sh = own[:, None] * np.ones(3, np.float32)
        direction = own[[3, 1, 2]]
        if np.linalg.norm(direction[:2]) > 0.05:
            lamps[0] = direction / np.linalg.norm(direction)
    else:
        sh = np.zeros((9, 3), np.float32)
        sh[0] = 0.72 - 0.18 * strength
        sh[1] = rng.uniform(0.02, 0.14)
        sh += _lobe(key, (0.5 + 0.3 * strength) * key_colour, 0.4)
        sh += _lobe(fill, rng.uniform(0.05, 0.35) * fill_colour, 0.5)
        sh += _lobe(back, 0.25 * highlights[2], 0.2)
    front = sh_basis(np.array([[0, 0.1, 0.99], [0.5, 0.1, 0.86], [-0.5, 0.1, 0.86]])) @ sh
    sh = sh * (rng.uniform(0.86, 1.1) / front.mean())
    return Light(sh.astype(np.float32), lamps, highlights, sizes, name)
