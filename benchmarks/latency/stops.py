"""How long a mouth goes on after speech was stopped, from the coefficients it is drawn from.

A Vis-à-vis server tells every frame's coefficients on its data channel ``motion`` and burns the
frame's media time into its picture. So it is known when a viewer saw which lips, and a nod, a blink
or a compression artefact is no mouth. The time is that at which the picture was *shown*: encoding,
network, jitter buffer and display are in it.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.models.coefficients import INDEX
from visavis.streamer.session.channels.motion_channel import decode

LIPS = tuple(
    INDEX[n] for n in INDEX if n.startswith(("jaw", "mouth", "tongue")) and "Smile" not in n
)
_SHARE = 1 / 6  # of what speech did: less is still; as for pictures (benchmarks/detect.py)
_SPEECH_MS = 1000.0  # before a stop: what the mouth does while there is speech
_REST_MS = (600.0, 1000.0)  # after a stop: by then any mouth has come to rest
_KNOWN = 0.9  # of the frames shown around a stop whose coefficients must have come
_LEAST_LIPS = 0.02  # of a coefficient; a mouth that speaks moves more


@dataclass(frozen=True)
class ShownLips:
    """The lips that were seen.

    Attributes:
        wall: milliseconds at which each frame was first shown, ascending, shape (frames,).
        lips: its coefficients, shape (frames, len(LIPS)); NaN where the message was lost.
    """

    wall: NDArray[np.float64]
    lips: NDArray[np.float32]


def shown_lips(frames: Sequence[dict[str, Any]], messages: Sequence[str]) -> ShownLips | None:
    """Bring together what was shown and what was said about it; None if nothing was said.

    Args:
        frames: ``wall``, ``mediaMs`` and ``valid`` of every shown picture.
        messages: of the channel ``motion``, base64.
    """
    said: dict[int, NDArray[np.float32]] = {}
    for message in messages:
        motion = decode(base64.b64decode(message))
        said[int(motion.frame * 1000 // motion.fps)] = motion.values[list(LIPS)]
    if not said:
        return None
    first: dict[int, float] = {}
    for frame in sorted(frames, key=lambda f: f["wall"]):
        if frame["valid"]:
            first.setdefault(frame["mediaMs"], frame["wall"])
    nothing = np.full(len(LIPS), np.nan, np.float32)
    lips = [said.get(media, nothing) for media in first]
    return ShownLips(np.array(list(first.values())), np.array(lips, np.float32))


def lips_still_after(shown: ShownLips, stop: float) -> float:
    """Return the wall time of the first frame with lips at rest after a stop, or NaN.

    At rest means: from here on no lip coefficient is further from where it ends up than a sixth of
    what the largest did, at its 80th percentile, in the second before. A stop at which the mouth
    was shut already has nothing to measure and gives NaN.
    """
    wall = shown.wall
    near = (wall > stop - _SPEECH_MS) & (wall <= stop + _REST_MS[1])
    known = np.isfinite(shown.lips[:, 0])
    if near.sum() < 10 or known[near].mean() < _KNOWN:
        return float("nan")
    wall, lips = wall[near & known], shown.lips[near & known]
    end = (wall > stop + _REST_MS[0]) & (wall <= stop + _REST_MS[1])
    speech = wall <= stop
    if min(end.sum(), speech.sum()) < 3:
        return float("nan")
    away = np.abs(lips - np.median(lips[end], axis=0)).max(axis=1)
    usual = float(np.percentile(away[speech], 80))
    threshold = _SHARE * usual
    if usual < _LEAST_LIPS or away[speech][-1] <= threshold:
        return float("nan")
    after = np.flatnonzero(~speech)
    moving = after[away[after] > threshold]
    still = int(moving[-1]) + 1 if len(moving) else int(after[0])
    return float(wall[still]) if still < len(wall) else float("nan")
