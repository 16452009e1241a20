"""Batches of pairs: cut, flipped, recoloured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models.renderer.refine.crop import (
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
from models.renderer.refine.pairs import agreement, read_pairs

WINDOW = (48, 72)  # rows, columns of a training cut: a mouth fits
_REAL_SHARE = 0.4  # of the batches are portraits, where there are any


@dataclass(frozen=True)
class Batch:
    """What one step of the training sees.

    Attributes:
        x: (B, CHANNELS, H, W) the network's input.
        target: (B, 3, H, W) the truth, -1 to 1.
        weight: (B, 1, H, W) how much the truth counts, 0 where the network may not act.
        other: (B, 3, H, W) another truth, or the same.
    """

    x: Tensor
    target: Tensor
    weight: Tensor
    other: Tensor


@dataclass(frozen=True)
class PairSet:
    """Pairs in memory, in the order of the shards; see ``Pair``."""

    arrays: dict[str, NDArray]
    gates: NDArray[np.uint8]
    agreed: NDArray[np.uint8]

    @staticmethod
    def read(folders: list[Path], *, held_out: bool) -> PairSet:
        """Read the shards of folders, training people or held-out ones."""
        arrays = read_pairs(path for folder in folders for path in folder.glob("*.npz"))
        chosen = (arrays["person"] < 0) == held_out
        arrays = {name: a[chosen] for name, a in arrays.items()}
        gates = [np.rint(255 * gate(inside)) for inside in arrays["inside"]]
        agreed = [
            np.rint(255 * agreement(w, t, i))
            for w, t, i in zip(arrays["warped"], arrays["target"], arrays["inside"], strict=True)
        ]
        square = (-1, SIDE, SIDE)
        return PairSet(
            arrays, np.array(gates, np.uint8).reshape(square),
            np.array(agreed, np.uint8).reshape(square),
        )  # fmt: skip

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.gates)

    def weights(self, real_share: float = _REAL_SHARE) -> NDArray[np.float64]:
        """Return how often each pair should be drawn; every height of the opening counts alike.

        Portraits mostly smile; without this a mouth that says *ah* is an outlier. Pairs whose
        truth shows something else inside come less often.
        """
        inside = self.arrays["inside"] > 127
        heights = inside.sum(1).max(1)
        agreed = (self.agreed * inside).sum((1, 2)) / (255.0 * np.maximum(inside.sum((1, 2)), 1))
        real = self.arrays["real"]
        bins = np.minimum(heights // 6, 6)
        counts = np.bincount(bins, minlength=7).astype(np.float64)
        share = (0.02 + agreed) / np.maximum(counts, 1.0)[bins] ** 0.7
        if real.any() and not real.all():
            share[real] *= real_share / share[real].sum()
            share[~real] *= (1 - real_share) / share[~real].sum()
        return share / share.sum()

    def whole(self, rows: NDArray[np.int64]) -> Batch:
        """Return pairs of full size, unchanged."""
        return assemble(self, rows, None)


def assemble(
    pairs: PairSet,
    rows: NDArray[np.int64],
    rng: np.random.Generator | None,
    second: NDArray[np.uint8] | None = None,
) -> Batch:
    """Return a batch; with a generator it is cut to ``WINDOW`` and changed at random.

    Args:
        pairs: where the rows are.
        rows: (B,) which pairs.
        rng: None leaves the pairs whole and as they are.
        second: ``(N, SIDE, SIDE, 3)`` another truth per pair.
    """
    a = pairs.arrays
    boxes = [_window(pairs.gates[r], rng) for r in rows]

    def stack(source: NDArray) -> Tensor:
        parts = [
            source[r][y : y + h, x : x + w] for r, (y, x, h, w) in zip(rows, boxes, strict=True)
        ]
        whole = torch.from_numpy(np.stack(parts))
        if whole.ndim == 3:
            return whole[:, None].float() / 255.0
        return whole.permute(0, 3, 1, 2).float()

    warped, photo, interior, target = (
        stack(a[n]) / 255.0 for n in ("warped", "photo", "interior", "target")
    )
    other = target if second is None else stack(second) / 255.0
    shift, inside, gates = stack(a["shift"]), stack(a["inside"]), stack(pairs.gates)
    weight = gates * stack(pairs.agreed)
    if rng is not None:
        warped, interior = _relit_inside(warped, interior, inside, rng)
        warped, photo, interior, target, other = _recoloured(
            [warped, photo, interior, target, other], rng
        )
    batch, (h, w) = len(rows), warped.shape[2:]
    x = torch.empty(batch, CHANNELS, h, w)
    x[:, WARPED] = x[:, STATE] = warped * 2 - 1
    x[:, PHOTO], x[:, INTERIOR] = photo * 2 - 1, interior * 2 - 1
    x[:, SHIFT], x[:, INSIDE], x[:, GATE] = shift, inside, gates
    x[:, TIME] = x[:, STEP] = 1.0
    target, other = target * 2 - 1, other * 2 - 1
    if rng is not None:
        turned = torch.from_numpy(rng.random(batch) < 0.5)
        for part in (x, target, weight, other):
            part[turned] = part[turned].flip(3)
        x[turned, SHIFT.start] *= -1.0
    return Batch(x, target, weight, other)


def _window(gates: NDArray[np.uint8], rng: np.random.Generator | None) -> tuple[int, int, int, int]:
    if rng is None:
        return 0, 0, SIDE, SIDE
    h, w = WINDOW
    rows, columns = np.flatnonzero(gates.max(1) > 64), np.flatnonzero(gates.max(0) > 64)
    y = (rows[0] + rows[-1]) / 2 if len(rows) else SIDE / 2
    x = (columns[0] + columns[-1]) / 2 if len(columns) else SIDE / 2
    # Even corners keep the network's own grid.
    y0 = 2 * int(np.clip(round((y - h / 2 + rng.normal(0, 3)) / 2), 0, (SIDE - h) // 2))
    x0 = 2 * int(np.clip(round((x - w / 2 + rng.normal(0, 3)) / 2), 0, (SIDE - w) // 2))
    return y0, x0, h, w


def _relit_inside(
    warped: Tensor, interior: Tensor, inside: Tensor, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Light the drawn inside a little differently: the painter's look is no law."""
    shape = (len(warped), 1, 1, 1)
    gain = (
        1 + 0.15 * rng.standard_normal(shape) + 0.03 * rng.standard_normal((len(warped), 3, 1, 1))
    )
    factor = torch.from_numpy(np.clip(gain, 0.6, 1.5).astype(np.float32))
    return (warped * (1 + (factor - 1) * inside)).clamp(0, 1), (interior * factor).clamp(0, 1)


def _recoloured(pictures: list[Tensor], rng: np.random.Generator) -> list[Tensor]:
    """Change light, white balance and tone of a pair, the same in every picture; some are grey."""
    batch = len(pictures[0])
    gain = np.exp(0.15 * rng.standard_normal((batch, 1, 1, 1)))
    gain = gain * np.exp(0.06 * rng.standard_normal((batch, 3, 1, 1)))
    gamma = np.exp(0.15 * rng.standard_normal((batch, 1, 1, 1)))
    colour = np.clip(1 + 0.15 * rng.standard_normal((batch, 1, 1, 1)), 0.5, 1.4)
    colour[rng.random(batch) < 0.06] = 0.0
    soft = torch.from_numpy(rng.random(batch) < 0.15)
    g, p, c = (torch.from_numpy(v.astype(np.float32)) for v in (gain, gamma, colour))
    changed = []
    for picture in pictures:
        new = (picture.clamp_min(1e-4) ** p * g).clamp(0, 1)
        grey = new.mean(1, keepdim=True)
        new = (grey + c * (new - grey)).clamp(0, 1)
        new[soft] = F.avg_pool2d(F.pad(new[soft], (1, 1, 1, 1), mode="replicate"), 3, 1)
        changed.append(new)
    return changed
