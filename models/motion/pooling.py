"""From hops of 10 ms to frames of video: a short closure must survive, and only once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from visavis.models.arrays import ease
from visavis.models.motion.curves import CHANNEL, CHANNELS, GAP_WEIGHTS, rest_lips, seal

APERTURE_GAIN = 1.15
"""How wide speech opens the mouth.

At 1 the jaw has the amplitude of the captured takes. Set on rendered pictures beside the speakers
themselves (``visavis bench quality people``): what their lips' gap varies by in the band of speech.
"""
PUCKER_GAIN, FUNNEL_GAIN = 0.5, 0.8
"""How far speech draws the lips together and forward.

What phones were taught is the shape of a viseme alone, an actor's. People who talk hardly pucker:
the width of their mouths varies by a hundredth of the distance of their eyes. Set likewise. All
are plain factors, so what tells one phone from another stays.
"""

_POOL_GAP = 0.05  # inter-ocular distances; smaller makes a frame take its narrowest moment harder
_POOL_CLOSURE = 6.0
_TOUCH = 0.05  # closing below which a closure is over
_DEEPER = 0.02  # by so much a frame must close more than those before it to be worth another

_GAIN = np.ones(len(CHANNELS), np.float32)
_GAIN[CHANNEL["mouthPucker"]] = PUCKER_GAIN
_GAIN[CHANNEL["mouthFunnel"]] = FUNNEL_GAIN
_GAIN[[CHANNEL[n] for n in ("jawOpen", "mouthClose", "mouthLowerDown", "mouthUpperUp")]] = (
    APERTURE_GAIN
)


class FramePool:
    """Makes frames of hops for one session.

    A frame is the mean of its hops, but one frame of every closure takes its narrowest moment:
    that in which the closure is deepest. Taking it in every frame that a closure touches would
    shut the lips in the vowels before and after it as well.
    """

    def __init__(self) -> None:
        self._last = 0.0  # closing at the last hop so far
        self._shown = 0.0  # how far earlier frames have shown the running closure

    def frame(
        self, curves: NDArray[np.float32], closure: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Make the next frame.

        Args:
            curves: ``(hops, len(CHANNELS))`` of the frame.
            closure: ``(hops,)`` in [0, 1].

        Returns:
            ``(len(CHANNELS),)`` float32 with the gain applied.
        """
        if len(curves) == 0:
            return np.zeros(len(CHANNELS), np.float32)
        scaled = np.minimum(curves * _GAIN, 1.0)
        # The closure head is sure or it is not; the middle would leave every stop half open.
        shut = np.minimum(np.maximum((closure - 0.3) / 0.4, 0.0), 1.0)
        shut = ease(shut)
        if shut.any():
            seal(scaled, shut)
        deepest = int(closure.argmax())
        if self._deserves(shut, deepest):
            gap = np.maximum(scaled @ GAP_WEIGHTS, 0.0)
            weight = np.exp(-gap / _POOL_GAP + _POOL_CLOSURE * shut)
        else:
            weight = np.ones(len(shut), np.float32)
        weight = weight / weight.sum()
        goes_on = bool((shut[deepest:] >= _TOUCH).all())
        self._shown = max(self._shown, float(weight @ shut)) if goes_on else 0.0
        self._last = float(shut[-1])
        pooled = np.asarray(weight @ scaled, np.float32)
        rest_lips(pooled)
        return pooled

    def _deserves(self, shut: NDArray[np.float32], deepest: int) -> bool:
        """Return whether this is the frame that shows its deepest hop."""
        if self._last < _TOUCH or not (shut[: deepest + 1] >= _TOUCH).all():
            self._shown = 0.0  # another closure than the one of the frames before
        # One that still deepens at the end of the frame is left to the next.
        deepens = deepest == len(shut) - 1 and len(shut) > 1
        return bool(shut[deepest] > self._shown + _DEEPER) and not deepens
