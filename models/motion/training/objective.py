"""What the phonetic part of the network is trained for; needs torch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from visavis.models.motion.curves import CHANNEL, CHANNELS, GAP_WEIGHTS
from visavis.models.motion.layout import CLOSURE, LOOK_AHEADS_MS, PHONES
from visavis.models.motion.phones import BILABIAL, CLASS_INDEX, CLASSES, VOWELS

_HEAD_WEIGHTS = (0.7, 0.9, 1.2, 1.0)  # of the look-aheads; 80 ms is what ships as default
_WARM_UP = 3  # hops at the start of a crop that are not scored
_CHANNEL_WEIGHTS = {"jawOpen": 2.0, "mouthClose": 2.0, "mouthPucker": 1.6, "mouthFunnel": 1.4}
# Where the place of articulation is decided, a wrong closure costs more.
_PLACE = BILABIAL | {"T", "D", "N", "K", "G", "NG", "BH", "F", "V", "L"}
_PLACE_WEIGHT = 3.5
_VOWEL_WEIGHT = 2.0  # lips that touch in a vowel are seen
_ROUND = ("UW", "OO", "UH", "W", "YY", "OE")
_SPREAD = ("IY", "IH", "EE", "EH")
_BETWEEN = 0.2  # rounding halfway between theirs
_NEUTRAL = 0.5  # of a spread phone: a schwa is not rounded, not even that of "to"
_TOLD_APART = 0.25  # weight of that in the whole
_STEEP = 8.0
_ROUNDING = {"mouthPucker": 1.0, "mouthFunnel": 1.0, "mouthStretch": -1.0, "mouthSmile": -1.0}


def _constants() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    weights = torch.tensor([_CHANNEL_WEIGHTS.get(name, 1.0) for name in CHANNELS])
    rounding = torch.zeros(len(CHANNELS))
    for name, value in _ROUNDING.items():
        rounding[CHANNEL[name]] = value
    place = torch.ones(len(CLASSES))
    place[[CLASS_INDEX[n] for n in sorted(_PLACE)]] = _PLACE_WEIGHT
    place[[CLASS_INDEX[n] for n in sorted(VOWELS)]] = _VOWEL_WEIGHT
    side = torch.zeros(len(CLASSES))
    side[[CLASS_INDEX[n] for n in _ROUND]] = 1.0
    side[[CLASS_INDEX[n] for n in _SPREAD]] = -1.0
    side[CLASS_INDEX["AX"]] = -_NEUTRAL
    return weights, torch.from_numpy(GAP_WEIGHTS), rounding, place, side


def _told_apart(rounding: Tensor, side: Tensor) -> Tensor:
    """Score how surely rounded phones (side 1) are rounder than spread ones (side -1).

    The curves' own error is content with a middling mouth where the sound leaves a doubt.
    """
    wrong = functional.softplus(-_STEEP * side * (rounding - _BETWEEN))
    asked = side.abs()
    return (wrong * asked).sum() / asked.sum().clamp(min=1.0)


def loss_of(
    out: Tensor, channels: Tensor, closure: Tensor, phone: Tensor, phonetic: int | None = None
) -> Tensor:
    """Score all look-aheads of ``(B, T, heads, OUTPUTS)`` against targets of the same hops.

    Args:
        out: of the network.
        channels: ``(B, T, CHANNELS)`` curves.
        closure: ``(B, T)`` bilabial closure.
        phone: ``(B, T)`` class indices.
        phonetic: how many of the first rows are scored; None means all.
    """
    rows = slice(0, phonetic)
    weights, gaps, rounding, place, side = _constants()
    total = out.new_zeros(())
    for head, (look_ahead, weight) in enumerate(zip(LOOK_AHEADS_MS, _HEAD_WEIGHTS, strict=True)):
        lag = look_ahead // 10
        said = out[rows, _WARM_UP + lag :, head]
        hops = slice(_WARM_UP, out.shape[1] - lag)
        want, spoken = channels[rows, hops], phone[rows, hops]
        got = said[..., : len(CHANNELS)]
        curve = functional.smooth_l1_loss(got, want, beta=0.06, reduction="none")
        speed = (got[:, 1:] - got[:, :-1]) - (want[:, 1:] - want[:, :-1])
        gap = torch.relu(got @ gaps) - torch.relu(want @ gaps)
        rounded = (got - want) @ rounding
        shut = functional.binary_cross_entropy_with_logits(
            said[..., CLOSURE], closure[rows, hops], weight=place[spoken]
        )
        classes = functional.cross_entropy(
            said[..., PHONES].flatten(0, 1), spoken.flatten(), label_smoothing=0.05
        )
        total = total + weight * (
            (curve * weights).mean()
            + 0.3 * speed.abs().mean()
            + 0.8 * gap.abs().mean()
            + 0.25 * rounded.abs().mean()
            + _TOLD_APART * _told_apart(got @ rounding, side[spoken])
            + 0.13 * shut
            + 0.12 * classes
        )
    return total


def capture_loss(out: Tensor, channels: Tensor, known: Tensor) -> Tensor:
    """Score rows of captured performance ``(B, T, heads, OUTPUTS)``.

    Args:
        out: of the network.
        channels: ``(B, T, CHANNELS)`` captured curves.
        known: ``(CHANNELS,)`` 1 for channels that the capture has.
    """
    total = out.new_zeros(())
    for head, (look_ahead, weight) in enumerate(zip(LOOK_AHEADS_MS, _HEAD_WEIGHTS, strict=True)):
        lag = look_ahead // 10
        got = out[:, _WARM_UP + lag :, head, : len(CHANNELS)]
        want = channels[:, _WARM_UP : out.shape[1] - lag]
        curve = functional.smooth_l1_loss(got, want, beta=0.06, reduction="none")
        total = total + weight * (curve * known).sum(dim=-1).mean()
    return total


def numpy_tensor(values: np.ndarray, dtype: type = np.float32) -> Tensor:
    """Return a tensor of an array of any real dtype."""
    return torch.from_numpy(np.ascontiguousarray(values.astype(dtype)))
