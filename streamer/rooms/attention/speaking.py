"""Who speaks: voice activity with enough patience that a ring does not flicker.

Off the lip path: it hears what the models were given already, and only steers rings, layouts and
where the others look.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import webrtcvad
from numpy.typing import NDArray

RATE = 16_000
_FRAME = RATE // 50  # 20 ms, one of the three lengths that webrtcvad takes
_AGGRESSIVENESS = 2  # of 0-3
_BEGINS = 5  # voiced frames of the last _WINDOW with which somebody speaks
_WINDOW = 8
_ENDS = 35  # unvoiced frames in a row, 0.7 s, after which they have stopped
_QUIET = 90.0  # root mean square of int16 below which nothing is speech, -51 dB


class SpeakingDetector:
    """Decides for one microphone."""

    def __init__(self) -> None:
        self.speaking = False
        self._vad: Any = webrtcvad.Vad(_AGGRESSIVENESS)
        self._rest = np.zeros(0, np.int16)
        self._recent: list[bool] = []
        self._unvoiced = _ENDS

    def hear(self, samples: NDArray[np.int16]) -> bool:
        """Take sound, mono int16 at 16 kHz; return whether somebody speaks now."""
        sound = np.concatenate([self._rest, samples])
        whole = len(sound) // _FRAME * _FRAME
        self._rest = sound[whole:]
        for frame in sound[:whole].reshape(-1, _FRAME):
            self._take(frame)
        return self.speaking

    def hush(self) -> None:
        """Start over: the microphone is muted or gone."""
        self.speaking = False
        self._recent.clear()
        self._unvoiced = _ENDS
        self._rest = self._rest[:0]

    def _take(self, frame: NDArray[np.int16]) -> None:
        sound = frame.astype(np.float32)
        loud = float(sound @ sound) > _QUIET**2 * _FRAME
        voiced = loud and self._vad.is_speech(frame.tobytes(), RATE)
        self._recent = [*self._recent[1 - _WINDOW :], voiced]
        self._unvoiced = 0 if voiced else self._unvoiced + 1
        if sum(self._recent) >= _BEGINS:
            self.speaking = True
        elif self._unvoiced >= _ENDS:
            self.speaking = False
