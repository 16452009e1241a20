"""The child that looks at the camera's pictures before a photo is taken, and keeps none.

``python -P -m visavis.streamer.avatars.look_child JOB``. It reads raw pictures of one size from
stdin, so that there is nothing to decode, and answers each with one line of JSON: where the face
is, in shares of the picture's side, or ``{}`` where there is none.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visavis.streamer.avatars.sandbox import ProcessLimits, confine

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIDE = 144  # px; three bytes a pixel fit into the smallest request
FRAME_BYTES = SIDE * SIDE * 3
_FOREHEAD, _CHIN, _NOSE = 10, 152, 1
_EYE_CORNERS = (33, 133), (263, 362)  # outer and inner, of the right and the left eye
_LIDS = (159, 145), (386, 374)
_LIPS, _MOUTH_CORNERS = (13, 14), (78, 308)


def main(argument: str) -> None:
    """Look until stdin ends."""
    job = json.loads(argument)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print goes nowhere near the answers
    held = confine(
        ProcessLimits(**job["limits"]), readable=[Path(p) for p in job["readable"]],
        writable=[Path(job["folder"])],
    )  # fmt: skip
    if missing := [measure for measure in job["demand"] if measure not in held]:
        _say(out, {"open": missing})
        return
    import numpy as np

    from visavis.models.appearance.tracker.provider import open_tracker

    tracker = open_tracker(job.get("tracker", "auto"))
    _say(out, {"ready": True})
    while len(data := sys.stdin.buffer.read(FRAME_BYTES)) == FRAME_BYTES:
        picture = np.frombuffer(data, np.uint8).reshape(SIDE, SIDE, 3)
        face = tracker.track(np.ascontiguousarray(picture))
        _say(out, {} if face is None else measure(face.points))


def _say(out: Any, message: dict[str, Any]) -> None:
    out.write(json.dumps(message) + "\n")
    out.flush()


def measure(points: NDArray[np.float32]) -> dict[str, float]:
    """Return what guidance needs to know of a face.

    Args:
        points: ``(478, 3)`` in pixels of a picture of ``SIDE``.

    Returns:
        ``x`` and ``y`` of the middle and the ``height`` from hairline to chin, in shares of the
        side; ``turned``: how far the nose is from the middle of the eyes, positive to the
        picture's right, and ``eyes`` and ``mouth``: how far they are open, both in shares of their
        width; ``roll`` in degrees, clockwise.
    """
    import numpy as np

    flat = points[:, :2].astype(np.float64)
    top, chin = flat[_FOREHEAD], flat[_CHIN]
    right, left = (flat[list(corners)].mean(axis=0) for corners in _EYE_CORNERS)
    across = left - right
    apart = max(1e-6, float(np.hypot(*across)))
    nose = float((flat[_NOSE] - (right + left) / 2) @ across / apart**2)
    eyes = [_open(flat, lids, corners) for lids, corners in zip(_LIDS, _EYE_CORNERS, strict=True)]
    x, y = (flat.min(axis=0) + flat.max(axis=0)) / 2
    return {
        "x": float(x) / SIDE,
        "y": float(y) / SIDE,
        "height": float(np.hypot(*(chin - top))) / SIDE,
        "turned": nose,
        "roll": float(np.degrees(np.arctan2(across[1], across[0]))),
        "eyes": float(np.mean(eyes)),
        "mouth": _open(flat, _LIPS, _MOUTH_CORNERS),
    }


def _open(flat: NDArray[np.float64], between: tuple[int, int], corners: tuple[int, int]) -> float:
    import numpy as np

    gap = float(np.hypot(*(flat[between[0]] - flat[between[1]])))
    return gap / max(1e-6, float(np.hypot(*(flat[corners[0]] - flat[corners[1]]))))


if __name__ == "__main__":
    main(sys.argv[1])
