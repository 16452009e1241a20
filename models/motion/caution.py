"""How sure the network has to be before lips touch: surer where it hears well.

Training weighs stops more than anything else, so the network is too ready to shut the lips: in
clear speech vowels touch, most of all in languages it knows less. In noise it is the other way
round, its opinions are pale and lips stay open. How deep the pauses are tells the two apart.
"""

from __future__ import annotations

import numpy as np

from visavis.models.arrays import Floats

_RISE = np.float32(0.015)  # nats of power per hop: what the floor forgets
# Floor in nats of power below the speaker's level: quieter than the first is clear, louder than
# the second is noise at some 15 dB and worse.
_CLEAR, _NOISY = -8.0, -4.0
# Added to the closure's logit. Chosen on real and synthetic voices: see README.md.
_CLEAR_BIAS, _NOISY_BIAS = -0.2, 0.7


def start(batch: int) -> Floats:
    """Return the floor of slots that have heard nothing, ``(batch,)``."""
    return np.full(batch, np.inf, np.float32)


def follow_floor(energy: Floats, floor: Floats) -> tuple[Floats, Floats]:
    """Follow the quietest that was heard of late.

    Args:
        energy: ``(batch, hops)`` natural log of power, relative to the speaker's level.
        floor: ``(batch,)`` left by the hops before, or ``start``.

    Returns:
        The floor of every hop, ``(batch, hops)``, and that after the last one.
    """
    floors = np.empty(energy.shape, np.float32)
    for hop in range(energy.shape[1]):
        floor = np.minimum(energy[:, hop], floor + _RISE)
        floors[:, hop] = floor
    return floors, floor


def cautious(closure: Floats, floors: Floats) -> Floats:
    """Return the closure ``(batch, hops)`` in [0, 1], asked for more or less certainty.

    Args:
        closure: of the network.
        floors: ``(batch, hops)`` of the same hops.
    """
    noisy = np.clip((floors - _CLEAR) / (_NOISY - _CLEAR), 0.0, 1.0)
    odds = np.exp(-(_CLEAR_BIAS + (_NOISY_BIAS - _CLEAR_BIAS) * noisy))  # against shut lips
    return np.asarray(closure / (closure + (1.0 - closure) * odds), np.float32)
