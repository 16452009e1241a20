"""When somebody begins and stops to speak, for programs that show it.

Nothing waits for this: lips follow the sound itself. It is for turn-taking and for a ring around a
picture.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import webrtcvad
from numpy.typing import NDArray

RATE = 16_000
_BLOCK = RATE // 50  # 20 ms, one of the three lengths that webrtcvad takes
_MODE = 2  # of 0-3; 3 misses quiet speakers, 1 takes fans for speech
_STARTS_S = 0.16  # of voice without a break; webrtcvad itself draws a click out to 0.12
_STOPS_S = 0.5  # without voice; the pauses between words are shorter


class Speaking:
    """Finds begin and end of speech in a stream of mono int16 at 16 kHz.

    Attributes:
        on: whether somebody speaks.
        position: media time up to which it is known.
    """

    def __init__(self) -> None:
        self.on = False
        self._vad: Any = webrtcvad.Vad(_MODE)
        self._rest = np.zeros(0, np.int16)
        self.position = 0
        self._same = 0  # samples in a row that speak against the present state

    def push(self, position: int, samples: NDArray[np.int16]) -> list[tuple[int, bool]]:
        """Take sound; return the changes that it brings.

        Args:
            position: media time of its first sample; a gap is taken for silence that was cut out.
            samples: any number.

        Returns:
            ``(media time in samples, whether somebody speaks from there)``, in order.
        """
        self.position = position - len(self._rest)
        self._rest = np.concatenate([self._rest, samples])
        changes: list[tuple[int, bool]] = []
        while len(self._rest) >= _BLOCK:
            block, self._rest = self._rest[:_BLOCK], self._rest[_BLOCK:]
            self.position += _BLOCK
            if self._differs(block):
                self.on = not self.on
                changes.append((self.position, self.on))
        return changes

    def _differs(self, block: NDArray[np.int16]) -> bool:
        voiced = self._vad.is_speech(block.astype("<i2").tobytes(), RATE)
        self._same = self._same + _BLOCK if voiced != self.on else 0
        if self._same < RATE * (_STOPS_S if self.on else _STARTS_S):
            return False
        self._same = 0
        return True
