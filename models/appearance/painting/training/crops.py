"""Training crops: mouths that are moved, mirrored, relit and recoloured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from visavis.models.appearance.painting.canvas import ARCH, GROWN, HEIGHT, UNIT, WIDTH
from visavis.models.appearance.painting.training import mouths

HELD_OUT_TEETH, HELD_OUT_OTHERS = 32, 10
_SEED = 18  # of the choice of held-out portraits
_TEETH = 0.25  # of the hole, from which a portrait counts as one with teeth
_AGREES = 0.4  # intersection over union from which the maps are believed
_ZOOM = mouths.UNIT / UNIT
_TURN, _SCALE, _ASPECT, _SHEAR, _MOVE = 0.20, 0.26, 0.16, 0.12, 0.12  # whole ranges
# Landmarks leave a rim of teeth around the hole that would tell their colour: it grows by 0 to
# so many pixels.
_MOST_GROWN = 4
_MONOCHROME = 0.04  # of the crops


@dataclass(frozen=True)
class Set:
    """Mouths as tensors, at the size of ``mouths.SHAPE``.

    Attributes:
        picture: ``(N, 3, H, W)`` -1 to 1.
        hole: ``(N, 1, H, W)`` 0-1.
        maps: ``(N, 1 + MAPS, H, W)``.
        about: ``(N, 3)`` what the network is told: sharpness, share of teeth, 1.
        believed: ``(N,)`` 1 where the maps agree with what is seen.
        weight: ``(N,)`` how often a mouth is drawn.
        held_out: ``(N,)`` bool.
        names: of the portraits' files.
    """

    picture: Tensor
    hole: Tensor
    maps: Tensor
    about: Tensor
    believed: Tensor
    weight: np.ndarray
    held_out: np.ndarray
    names: np.ndarray


@dataclass(frozen=True)
class Batch:
    """Crops at the canvas's size, with what the network is told of them.

    Attributes:
        picture: ``(B, 3, HEIGHT, WIDTH)`` -1 to 1.
        paint: ``(B, 1, HEIGHT, WIDTH)`` 1 where the network paints.
        conditions: ``(B, CONDITIONS, HEIGHT, WIDTH)``.
        about: ``(B, 3)``.
    """

    picture: Tensor
    paint: Tensor
    conditions: Tensor
    about: Tensor


def load(path: Path) -> Set:
    """Read what ``mouths.save`` wrote."""
    with np.load(path) as z:
        about, names = z["about"], z["names"]
        picture = torch.from_numpy(z["picture"]).permute(0, 3, 1, 2).float() / 127.5 - 1
        hole = torch.from_numpy(z["hole"]).float()[:, None] / 255
        maps = torch.from_numpy(z["maps"].astype(np.float32)).permute(0, 3, 1, 2).contiguous()
    opening, eyes, share, agrees = about.T
    sharp = np.clip(np.log(eyes / mouths.UNIT), -0.5, 0.6)
    weight = np.where(share > 0.3, np.where(agrees > _AGREES, 1.0, 0.5), 0.2)
    weight = np.where((share <= 0.3) & (opening > 0.08), 0.45, weight) * np.where(eyes < 75, 0.6, 1)
    told = np.stack([sharp, share, np.ones(len(share))], 1).astype(np.float32)
    return Set(
        picture, hole, maps, torch.from_numpy(told),
        torch.from_numpy((agrees > _AGREES).astype(np.float32)), weight,
        _held_out(share, opening), names,
    )  # fmt: skip


def _held_out(share: np.ndarray, opening: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(_SEED)
    chosen = np.zeros(len(share), bool)
    with_teeth = np.flatnonzero(share > _TEETH)
    others = np.flatnonzero((share <= _TEETH) & (opening > 0.06))
    chosen[rng.permutation(with_teeth)[:HELD_OUT_TEETH]] = True
    chosen[rng.permutation(others)[:HELD_OUT_OTHERS]] = True
    return chosen


def _resample(data: Set, rows: Tensor, place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cut crops of the canvas's size by affine maps ``(B, 2, 3)``."""
    picture, rest = data.picture[rows], torch.cat([data.hole[rows], data.maps[rows]], 1)
    grid = F.affine_grid(place, [len(rows), 1, HEIGHT, WIDTH], align_corners=False)
    rest = F.grid_sample(rest, grid, padding_mode="border", align_corners=False)
    picture = F.grid_sample(
        picture, grid, mode="bicubic", padding_mode="border", align_corners=False
    )
    return picture.clamp(-1, 1), rest[:, :1], rest[:, 1:]


def _places(turn: Tensor, scale: Tensor, aspect: Tensor, shear: Tensor, move: Tensor) -> Tensor:
    rows, columns = mouths.SHAPE
    place = torch.zeros(len(turn), 2, 3)
    scale = scale * _ZOOM
    place[:, 0, 0] = turn.cos() * scale * WIDTH / columns
    place[:, 0, 1] = (-turn.sin() + shear) * scale * HEIGHT / columns
    place[:, 1, 0] = turn.sin() * scale * aspect * WIDTH / rows
    place[:, 1, 1] = turn.cos() * scale * aspect * HEIGHT / rows
    place[:, :, 2] = move
    return place


def _told(
    picture: Tensor, hole: Tensor, maps: Tensor, about: Tensor, dropped: Tensor, grown: Tensor
) -> Batch:
    """Hide the hole and ``grown`` pixels around it; drop the maps of some."""
    near = (F.max_pool2d(hole, 3, 1, 1) > 0.05).float()
    paint = near.clone()
    for pixels in range(1, _MOST_GROWN + 1):
        rows = torch.nonzero(grown == pixels)[:, 0]
        if len(rows):
            paint[rows] = F.max_pool2d(near[rows], 2 * pixels + 1, 1, pixels)
    kept = maps.clone()
    kept[:, 1:] *= 1 - dropped[:, None, None, None]
    conditions = torch.cat([picture * (1 - paint), 1 - paint, kept], 1)
    return Batch(picture, paint, conditions, about)


def plain(data: Set, rows: np.ndarray) -> Batch:
    """Return crops as they are, with their maps."""
    at, count = torch.from_numpy(rows), len(rows)
    zero, one = torch.zeros(count), torch.ones(count)
    place = _places(zero, one, one, zero, torch.zeros(count, 2))
    return _told(*_resample(data, at, place), data.about[at], zero, torch.full((count,), GROWN))


def augmented(data: Set, rows: np.ndarray, random: torch.Generator) -> Batch:
    """Return crops that were moved, mirrored and relit; some without their maps."""
    at, count = torch.from_numpy(rows), len(rows)

    def around(width: float, *shape: int) -> Tensor:
        return (torch.rand(count, *shape, generator=random) - 0.5) * width

    place = _places(
        around(_TURN), 1 + around(_SCALE), 1 + around(_ASPECT), around(_SHEAR), around(_MOVE, 2)
    )
    mirrored = torch.rand(count, generator=random) < 0.5
    place[mirrored, :, 0] *= -1
    picture, hole, maps = _resample(data, at, place)
    maps[mirrored, 1 + ARCH] *= -1
    light = 0.5 * (picture + 1)
    x = torch.linspace(-1, 1, WIDTH)[None, None, None]
    y = torch.linspace(-1, 1, HEIGHT)[None, None, :, None]
    light = light * (1 + around(0.24, 3, 1, 1)) * (1 + around(0.5, 1, 1, 1))
    light = light * (1 + x * around(0.4, 1, 1, 1) + y * around(0.3, 1, 1, 1))
    light = light.clamp(1e-3, 1) ** (1 + around(0.5, 1, 1, 1))
    grey = (torch.rand(count, 1, 1, 1, generator=random) < _MONOCHROME).float()
    light = light * (1 - grey) + grey * light.mean(1, keepdim=True)
    dropped = (torch.rand(count, generator=random) < 0.12) | (data.believed[at] < 0.5)
    about = data.about[at].clone()
    about[:, :2] += around(0.1, 2)
    about[:, 2] = 1 - dropped.float()
    grown = torch.randint(0, _MOST_GROWN + 1, (count,), generator=random)
    return _told(light.clamp(0, 1) * 2 - 1, hole, maps, about, dropped.float(), grown)
