"""From the 64 coefficients of the vocabulary to weights of the face basis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from visavis.models.arrays import Floats, smoothstep
from visavis.models.coefficients import ARKIT, INDEX

# Beyond these a warped photo stops looking like a person.
_LIMIT = {
    "jawOpen": 0.75, "mouthPucker": 0.75, "mouthFunnel": 0.45, "mouthStretchLeft": 0.35,
    "mouthStretchRight": 0.35, "mouthRollLower": 0.7, "mouthRollUpper": 0.7, "jawForward": 0.6,
    "jawLeft": 0.5, "jawRight": 0.5, "mouthLeft": 0.5, "mouthRight": 0.5, "cheekPuff": 0.7,
    "mouthLowerDownLeft": 0.8, "mouthLowerDownRight": 0.8, "mouthUpperUpLeft": 0.7,
    "mouthUpperUpRight": 0.7, "noseSneerLeft": 0.6, "noseSneerRight": 0.6,
    "mouthShrugLower": 0.7, "mouthShrugUpper": 0.7, "mouthSmileLeft": 0.8,
    "mouthSmileRight": 0.8, "mouthFrownLeft": 0.8, "mouthFrownRight": 0.8,
}  # fmt: skip
GAZE_LIMIT = float(np.radians(28.0))


class _ExpressionTuning(NamedTuple):
    """How far coefficients move lips and eyes.

    Set by eye on rendered portraits, not fitted.
    """

    rounding: float = 0.95  # of pucker plus funnel
    # mouthClose over jawOpen
    seal_from: float = 0.45
    seal_full: float = 0.80
    press_seals: float = 0.15  # of jawOpen that a full press holds together
    # jawOpen (or its like) from which lips part, and are free
    asked: tuple[float, float] = (0.015, 0.07)
    look_side: float = np.radians(30.0)  # radians of gaze at a full eyeLookIn/Out
    look_up: float = np.radians(22.0)  # at a full eyeLookUp
    look_down: float = np.radians(28.0)  # at a full eyeLookDown


_TUNING = _ExpressionTuning()


@dataclass(frozen=True)
class Eye:
    """One eye in one frame.

    Attributes:
        blink: 0 open, 1 closed.
        yaw: radians towards the viewer's right.
        pitch: radians down.
    """

    blink: float
    yaw: float
    pitch: float


@dataclass(frozen=True)
class Expression:
    """One frame's expression.

    Attributes:
        weights: of the basis, blinks left out, in the order of its names.
        seal: 0 lips as the shapes say, 1 lips closed whatever the shapes say.
        jaw: clamped jawOpen.
        tongue: 0 at rest, 1 out.
        round: 0 at rest, 1 lips drawn together and forward.
        tuck: 0 at rest, 1 lower lip under the upper teeth.
        eyes: left and right, subject's sides.
    """

    weights: Floats
    seal: float
    jaw: float
    tongue: float
    round: float
    tuck: float
    eyes: tuple[Eye, Eye]


class ExpressionMap:
    """Maps coefficients to basis weights, within what looks plausible."""

    def __init__(self, names: tuple[str, ...]) -> None:
        """Prepare for a basis with these expression names (``_L``/``_R``)."""
        self._names = names
        self._matrix = np.zeros((len(names), len(ARKIT)), np.float32)
        for column, name in enumerate(ARKIT):
            if name.startswith(("eyeBlink", "eyeLook")):
                continue
            for row, target in enumerate(names):
                plain = target.replace("_L", "Left").replace("_R", "Right")
                if plain == name or (target[:-2] == name and target[-2:] in ("_L", "_R")):
                    self._matrix[row, column] = 1.0
        self._top = np.array([_LIMIT.get(n, 1.0) for n in ARKIT], np.float32)
        self._row = {n: i for i, n in enumerate(names)}

    def __call__(self, coefficients: Floats) -> Expression:
        """Map one ``(COUNT,)`` vector of finite numbers."""
        c = np.clip(coefficients[: len(ARKIT)], 0.0, self._top).astype(np.float32)
        jaw = float(c[INDEX["jawOpen"]])
        close = min(float(c[INDEX["mouthClose"]]), jaw)
        c[INDEX["mouthClose"]] = close
        round_lips = float(c[INDEX["mouthPucker"]] + c[INDEX["mouthFunnel"]])
        if round_lips > _TUNING.rounding:
            c[INDEX["mouthPucker"]] *= _TUNING.rounding / round_lips
            c[INDEX["mouthFunnel"]] *= _TUNING.rounding / round_lips
        # Round lips and wide lips share one muscle ring.
        narrow = 1.0 - 0.6 * min(1.0, round_lips)
        for name in ("mouthSmile", "mouthStretch", "mouthDimple"):
            c[INDEX[name + "Left"]] *= narrow
            c[INDEX[name + "Right"]] *= narrow
        weights = self._matrix @ c
        tuck = self._tuck(c)
        seal = self._seal(c, jaw, close) * (1.0 - tuck)
        rounded = min(1.0, float(c[INDEX["mouthPucker"]] + 0.6 * c[INDEX["mouthFunnel"]]) / 0.85)
        eyes = (self._eye(coefficients, "Left"), self._eye(coefficients, "Right"))
        self._lids_follow(weights, eyes)
        tongue = float(c[INDEX["tongueOut"]])
        return Expression(weights, seal, jaw, tongue, rounded, tuck, eyes)

    @staticmethod
    def _tuck(c: Floats) -> float:
        """Return how far the lower lip is under the upper teeth: it rolls in, the upper does not.

        Closed lips roll both; a press with the lower lip alone is no tuck either.
        """
        press = 0.5 * float(c[INDEX["mouthPressLeft"]] + c[INDEX["mouthPressRight"]])
        rolled = float(c[INDEX["mouthRollLower"]]) - 2.0 * float(c[INDEX["mouthRollUpper"]]) - press
        return smoothstep(0.06, 0.28, rolled)

    @staticmethod
    def _seal(c: Floats, jaw: float, close: float) -> float:
        """Return how far the lips must be closed whatever the single shapes leave open.

        mouthClose as large as jawOpen means closed lips; so does a face in which nothing asks
        for open ones (a smile, a pucker or a press alone keeps them together).
        """

        def both(name: str) -> float:
            return 0.5 * float(c[INDEX[name + "Left"]] + c[INDEX[name + "Right"]])

        asked = (
            (jaw - close)
            + 0.8 * (both("mouthLowerDown") + both("mouthUpperUp"))
            + 0.6 * float(c[INDEX["mouthFunnel"]])
            + 0.3 * both("noseSneer")
            + float(c[INDEX["tongueOut"]])
        )
        asked -= _TUNING.press_seals * both("mouthPress")
        closed = smoothstep(_TUNING.seal_from, _TUNING.seal_full, close / max(jaw, 0.04))
        return max(closed, 1.0 - smoothstep(_TUNING.asked[0], _TUNING.asked[1], asked))

    def _eye(self, coefficients: Floats, side: str) -> Eye:
        def value(name: str) -> float:
            return min(1.6, max(-1.6, float(coefficients[INDEX[name]])))

        # The subject's left eye looks out towards the viewer's right.
        outward = value(f"eyeLookOut{side}") - value(f"eyeLookIn{side}")
        outward = outward if side == "Left" else -outward
        yaw = value("gazeYaw") + outward * _TUNING.look_side
        pitch = (
            value("gazePitch")
            + value(f"eyeLookDown{side}") * _TUNING.look_down
            - value(f"eyeLookUp{side}") * _TUNING.look_up
        )
        yaw = min(GAZE_LIMIT, max(-GAZE_LIMIT, yaw))
        pitch = min(GAZE_LIMIT, max(-0.8 * GAZE_LIMIT, pitch))
        return Eye(min(1.0, max(0.0, value(f"eyeBlink{side}"))), yaw, pitch)

    def _lids_follow(self, weights: Floats, eyes: tuple[Eye, Eye]) -> None:
        for eye, side in zip(eyes, ("_L", "_R"), strict=True):
            down, out = eye.pitch, eye.yaw if side == "_L" else -eye.yaw
            open_part = 1.0 - eye.blink
            weights[self._row["eyeLookDown" + side]] = (
                max(0.0, down) / _TUNING.look_down * open_part
            )
            weights[self._row["eyeLookUp" + side]] = max(0.0, -down) / _TUNING.look_up * open_part
            weights[self._row["eyeLookOut" + side]] = max(0.0, out) / _TUNING.look_side * open_part
            weights[self._row["eyeLookIn" + side]] = max(0.0, -out) / _TUNING.look_side * open_part
