"""Batches of pairs: cut, flipped, recoloured; on the processor or on a GPU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from visavis.models.renderer.relight.crop import (
    CHANNELS,
    GATE,
    INSIDE,
    INTERIOR,
    PHOTO,
    SHIFT,
    SIDE,
    STATE,
    STEP,
    TIME,
    WARPED,
    gate,
)
from visavis.models.renderer.training.relight.pairs.pairs import agreement

WINDOW = (48, 72)  # rows and columns of a training cut
_GRID = 2  # pixels of a cut's corner: the network's own grid
_SEARCHED = 64  # of 255: a gate that far open is worth cutting to


@dataclass(frozen=True)
class Batch:
    """What one step of the training sees.

    Attributes:
        x: (B, CHANNELS, H, W) the network's input.
        target: (B, 3, H, W) the truth, -1 to 1.
        weight: (B, 1, H, W) how much the truth counts, 0 where the network may not act.
    """

    x: Tensor
    target: Tensor
    weight: Tensor

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch on another device."""
        return Batch(*(t.to(device) for t in (self.x, self.target, self.weight)))


class PairSet:
    """Pairs in memory, in the order of the shards; see ``Pair``.

    Attributes:
        person: (N,) number of the person, negative if held out.
        real: (N,) whether the truth is a portrait.
        centres: (N, 2) row and column of what a cut should show, pixels.
    """

    def __init__(self, arrays: dict[str, NDArray], device: torch.device | str = "cpu") -> None:
        """Keep pairs on a device.

        Args:
            arrays: by name.
            device: where batches are made.
        """
        self.person, self.real = arrays["person"], arrays["real"].astype(bool)
        self._inside = arrays["inside"]
        side = arrays["inside"].shape[1:]
        gates = np.array([np.rint(255 * gate(inside)) for inside in arrays["inside"]], np.uint8)
        gates = gates.reshape(-1, *side)
        pictures = zip(arrays["warped"], arrays["target"], arrays["inside"], strict=True)
        agreed = [np.rint(255 * agreement(*p)).astype(np.uint8) for p in pictures]
        self.agreed = np.array(agreed, np.uint8).reshape(-1, *side)
        self.centres = np.array([_centre(g) for g in gates], np.float32).reshape(-1, 2)
        self.side = gates.shape[1]
        self._device = torch.device(device)
        self._tensors = {
            name: torch.from_numpy(np.ascontiguousarray(values)).to(self._device)
            for name, values in (
                *((n, arrays[n]) for n in ("warped", "photo", "target", "inside", "interior")),
                ("shift", arrays["shift"].astype(np.float16)),
                ("gate", gates), ("agreed", self.agreed),
            )
        }  # fmt: skip

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.person)

    def weights(self, real_share: float) -> NDArray[np.float64]:
        """Return how often each pair should be drawn; every height of the opening counts alike.

        Portraits mostly smile; without this a mouth that says *ah* is an outlier. Pairs whose
        truth shows something else inside come less often.

        Args:
            real_share: of the batches that are portraits, where there are any.
        """
        share = self._by_opening()
        if self.real.any() and not self.real.all():
            share[self.real] *= real_share / share[self.real].sum()
            share[~self.real] *= (1 - real_share) / share[~self.real].sum()
        return share / share.sum()

    def _by_opening(self) -> NDArray[np.float64]:
        inside = self._inside > 127
        heights = inside.sum(1).max(1) * SIDE // self.side
        agreed = (self.agreed * inside).sum((1, 2)) / (255.0 * np.maximum(inside.sum((1, 2)), 1))
        bins = np.minimum(heights // 6, 6)
        counts = np.bincount(bins, minlength=7).astype(np.float64)
        return (0.02 + agreed) / np.maximum(counts, 1.0)[bins] ** 0.7

    def whole(self, rows: NDArray[np.int64]) -> Batch:
        """Return pairs of full size, unchanged."""
        return assemble(self, rows, None, (self.side, self.side))

    def cut(self, name: str, rows: Tensor, ys: Tensor, xs: Tensor) -> Tensor:
        """Return ``(B, C, h, w)`` float32 of stored pictures, masks in 0-1, shifts as they are."""
        source = self._tensors[name]
        part = source[rows[:, None, None], ys[:, :, None], xs[:, None, :]]
        if name == "shift":
            return part.permute(0, 3, 1, 2).float()
        part = part[:, None] if part.ndim == 3 else part.permute(0, 3, 1, 2)
        return part.float() / 255.0

    def places(
        self, rows: NDArray[np.int64], corners: NDArray[np.int64], window: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return indices for ``cut``: rows (B,), ys (B, h), xs (B, w)."""
        at = torch.from_numpy(corners).to(self._device)
        h, w = (torch.arange(n, device=self._device) for n in window)
        return torch.from_numpy(rows).to(self._device), at[:, :1] + h, at[:, 1:] + w


def _centre(gate: NDArray[np.uint8]) -> tuple[float, float]:
    rows, columns = np.flatnonzero(gate.max(1) > _SEARCHED), np.flatnonzero(gate.max(0) > _SEARCHED)
    side = len(gate)
    y = (rows[0] + rows[-1]) / 2 if len(rows) else side / 2
    x = (columns[0] + columns[-1]) / 2 if len(columns) else side / 2
    return float(y), float(x)


def _corners(
    pairs: PairSet, rows: NDArray[np.int64], rng: np.random.Generator, window: tuple[int, int]
) -> NDArray[np.int64]:
    """Return upper left corners (B, 2): about the centre, anywhere if there is much room."""
    room = np.array([pairs.side - window[0], pairs.side - window[1]])
    if room.min() >= window[0] // 2:
        corners = rng.uniform(0, 1, (len(rows), 2)) * room
    else:
        corners = pairs.centres[rows] - np.array(window) / 2 + rng.normal(0, 3, (len(rows), 2))
    return _GRID * np.clip(np.rint(corners / _GRID), 0, room // _GRID).astype(np.int64)


def assemble(
    pairs: PairSet,
    rows: NDArray[np.int64],
    rng: np.random.Generator | None,
    window: tuple[int, int],
) -> Batch:
    """Return a batch; with a generator it is cut to the window and changed at random.

    Args:
        pairs: where the rows are.
        rows: (B,) which pairs.
        rng: None leaves the pairs whole and as they are.
        window: rows and columns of a cut.
    """
    batch = len(rows)
    corners = np.zeros((batch, 2), np.int64)
    if rng is not None:
        corners = _corners(pairs, rows, rng, window)
    places = pairs.places(rows, corners, window)
    names = ["warped", "photo", "interior", "target"]
    warped, photo, interior, target = (pairs.cut(n, *places) for n in names)
    shift, inside, gates = (pairs.cut(n, *places) for n in ("shift", "inside", "gate"))
    weight = gates * pairs.cut("agreed", *places)
    if rng is not None:
        warped, interior = _relit_inside(warped, interior, inside, rng)
        warped, photo, interior, target = _recoloured([warped, photo, interior, target], rng)
    x = torch.empty(batch, CHANNELS, *window, device=warped.device)
    x[:, WARPED] = x[:, STATE] = warped * 2 - 1
    x[:, PHOTO], x[:, INTERIOR] = photo * 2 - 1, interior * 2 - 1
    x[:, SHIFT], x[:, INSIDE], x[:, GATE] = shift, inside, gates
    x[:, TIME] = x[:, STEP] = 1.0
    target = target * 2 - 1
    if rng is not None:
        turned = torch.from_numpy(rng.random(batch) < 0.5).to(x.device).view(-1, 1, 1, 1)
        x, target, weight = (
            torch.where(turned, part.flip(3), part) for part in (x, target, weight)
        )
        x[:, SHIFT.start] = torch.where(turned[:, 0], -x[:, SHIFT.start], x[:, SHIFT.start])
    return Batch(x, target, weight)


def _on(like: Tensor, values: NDArray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).to(like.device)


def _relit_inside(
    warped: Tensor, interior: Tensor, inside: Tensor, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Light the drawn inside a little differently: the painter's look is no law."""
    shape = (len(warped), 1, 1, 1)
    gain = (
        1 + 0.15 * rng.standard_normal(shape) + 0.03 * rng.standard_normal((len(warped), 3, 1, 1))
    )
    factor = _on(warped, np.clip(gain, 0.6, 1.5))
    return (warped * (1 + (factor - 1) * inside)).clamp(0, 1), (interior * factor).clamp(0, 1)


def _recoloured(pictures: list[Tensor], rng: np.random.Generator) -> list[Tensor]:
    """Change light, white balance and tone of a pair, the same in every picture; some are grey."""
    batch = len(pictures[0])
    gain = np.exp(0.15 * rng.standard_normal((batch, 1, 1, 1)))
    gain = gain * np.exp(0.06 * rng.standard_normal((batch, 3, 1, 1)))
    gamma = np.exp(0.15 * rng.standard_normal((batch, 1, 1, 1)))
    colour = np.clip(1 + 0.15 * rng.standard_normal((batch, 1, 1, 1)), 0.5, 1.4)
    colour[rng.random(batch) < 0.06] = 0.0
    like = pictures[0]
    soft = torch.from_numpy(rng.random(batch) < 0.15).to(like.device).view(-1, 1, 1, 1)
    g, p, c = (_on(like, v) for v in (gain, gamma, colour))
    changed = []
    for picture in pictures:
        new = (picture.clamp_min(1e-4) ** p * g).clamp(0, 1)
        grey = new.mean(1, keepdim=True)
        new = (grey + c * (new - grey)).clamp(0, 1)
        blurred = F.avg_pool2d(F.pad(new, (1, 1, 1, 1), mode="replicate"), 3, 1)
        changed.append(torch.where(soft, blurred, new))
    return changed
