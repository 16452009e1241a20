"""A sound that is held keeps its lips: "aaah" does not shut the mouth however long it lasts.

The network has learnt from hums and tones that what does not change is no speech, and lets a held
vowel go after about a second. What the lips had when the sound became steady is kept instead, until
it changes or ends. A hum never opened the mouth, so nothing is kept of one.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from visavis.models.arrays import Floats
from visavis.models.motion.curves import GAP_WEIGHTS
from visavis.models.motion.features import MELS

_BANDS = 16  # of five mels each: a gliding pitch moves single harmonics, not these
_FOLLOW = np.float32(0.12)  # per hop: what the sound is compared with is 80 ms old
# Mean change of the bands in nats. None of 80 recordings of speech has more than four hops in a row
# below 0.5; vowels that are held get there a fifth of a second after their onset.
_STEADY, _CHANGED = 0.5, 1.0
_HOPS = 8  # that have to be steady
_SETTLED = 10  # hops whose mean the lips keep
_LOUD, _FADED = 0.5, 0.4  # loudness
_VOICED = 0.35  # smoothed
_OPEN = 0.05  # inter-ocular distances; a shut mouth needs no help
_LONGEST = 800  # hops; by then somebody has left a machine running
_RETURN = 8  # hops in which the network's own lips come back


class SteadySound:
    """One session's; ``hear`` and ``lips`` take the same hops in order, lips any time later."""

    def __init__(self) -> None:
        self._usual: Floats | None = None
        self._voiced = 0.0
        self._run = 0
        self._flags: list[bool] = []
        self._recent: deque[Floats] = deque(maxlen=_SETTLED)
        self._was_steady = False
        self._kept: Floats | None = None
        self._share = 0.0  # of what is kept

    def hear(self, features: Floats, loudness: Floats) -> None:
        """Take the newest hops.

        Args:
            features: ``(hops, FEATURES)``.
            loudness: ``(hops,)`` relative to the running level, see ``features.loudness_of``.
        """
        bands = features[:, :MELS].reshape(len(features), _BANDS, -1).mean(axis=2) * 4.0
        for now, loud, voiced in zip(bands, loudness, features[:, MELS + 1], strict=True):
            if self._usual is None:
                self._usual = now.copy()
            step = now - self._usual
            change = float(np.add.reduce(np.abs(step))) / _BANDS  # the mean, at a third of its cost
            self._usual += _FOLLOW * step
            self._voiced += 0.1 * ((float(voiced) + 1) / 2 - self._voiced)
            going = self._run >= _HOPS
            still = change < (_CHANGED if going else _STEADY)
            audible = loud > (_FADED if going else _LOUD) and self._voiced > _VOICED
            self._run = self._run + 1 if still and audible else 0
            self._flags.append(_HOPS <= self._run < _LONGEST)

    def lips(self, curves: Floats, closure: Floats, voice: Floats) -> None:
        """Put what is kept over the next hops, in place.

        Args:
            curves: ``(hops, len(CHANNELS))``.
            closure: ``(hops,)`` in [0, 1].
            voice: ``(hops,)`` in [0, 1].
        """
        flags, self._flags = self._flags[: len(curves)], self._flags[len(curves) :]
        for row, steady in enumerate(flags):
            own = np.concatenate([curves[row], closure[row : row + 1], voice[row : row + 1]])
            if steady and not self._was_steady:
                self._keep(own)
            self._was_steady = steady
            self._recent.append(own)
            if self._kept is None:
                continue
            self._share = 1.0 if steady else self._share - 1.0 / _RETURN
            if self._share <= 0:
                self._kept = None
                continue
            mixed = own + np.float32(self._share) * (self._kept - own)
            curves[row], closure[row], voice[row] = mixed[:-2], mixed[-2], mixed[-1]

    def _keep(self, own: Floats) -> None:
        """Keep the mean of the last lips if they are open."""
        kept = np.mean(self._recent or [own], axis=0, dtype=np.float32)
        is_open = float(np.maximum(kept[:-2] @ GAP_WEIGHTS, 0.0)) > _OPEN and kept[-2] < 0.5
        self._kept = kept if is_open else None
