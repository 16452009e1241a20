"""Sound to face curves, streaming, many sessions as one batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from visavis.models.motion import caution
from visavis.models.motion.features import HOP, MELS, FrontEnd, FrontEndState, loudness_of
from visavis.models.motion.layout import LOOK_AHEADS_MS, NetConfig
from visavis.models.streaming import Mask

_LOOK_AHEADS = np.array(LOOK_AHEADS_MS)


class Graph(Protocol):
    """The part of an engine that is used here."""

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        """Run the graph once."""
        ...


@dataclass
class PredictorState:
    """What the predictor remembers of each slot.

    Attributes:
        front: samples and level of the front end.
        net: the graph's state tensors by name, each ``(batch, ...)`` float32.
        floor: ``(batch,)`` how quiet it was of late, see ``caution.py``.
    """

    front: FrontEndState
    net: dict[str, NDArray[np.float32]]
    floor: NDArray[np.float32]


@dataclass(frozen=True)
class Prediction:
    """What one step gives; hop ``k`` of it belongs ``look-ahead / 10 ms`` hops earlier.

    Attributes:
        curves: ``(batch, hops, len(CHANNELS))`` in [0, 1].
        closure: ``(batch, hops)`` probability that the lips are shut by a bilabial.
        phones: ``(batch, hops, len(CLASSES))`` probabilities.
        loudness: ``(batch, hops)`` of the *newest* hops, relative to the running level; about
            0 when silent and 1 at the loudest. Not delayed.
        features: ``(batch, hops, FEATURES)`` of the newest hops.
    """

    curves: NDArray[np.float32]
    closure: NDArray[np.float32]
    phones: NDArray[np.float32]
    loudness: NDArray[np.float32]
    features: NDArray[np.float32]


def head_of(look_ahead_ms: int) -> int:
    """Return the longest trained look-ahead (ms) that fits into ``look_ahead_ms``.

    Raises:
        ValueError: below zero or above what was trained.
    """
    if not 0 <= look_ahead_ms <= LOOK_AHEADS_MS[-1]:
        raise ValueError(
            f"The look-ahead must be between 0 and {LOOK_AHEADS_MS[-1]} ms, not {look_ahead_ms}."
        )
    return max(ms for ms in LOOK_AHEADS_MS if ms <= look_ahead_ms)


class MotionPredictor:
    """Runs the motion graph; a ``StreamingModule``.

    Args:
        engine: anything that runs the motion graph.
        config: sizes the graph was exported with.
    """

    def __init__(self, engine: Graph, config: NetConfig | None = None) -> None:
        self._engine = engine
        self._shapes = (config or NetConfig()).states()
        self._front = FrontEnd()

    def init_state(self, batch: int) -> PredictorState:
        """Return the state of ``batch`` slots that have heard silence so far."""
        net = {name: np.zeros((batch, *s), np.float32) for name, s in self._shapes.items()}
        return PredictorState(self._front.init_state(batch), net, caution.start(batch))

    def reset(self, state: PredictorState, reset_mask: Mask) -> None:
        """Restart the slots where ``reset_mask`` (batch,) is true, in place."""
        self._front.reset(state.front, reset_mask)
        for tensor in state.net.values():
            tensor[reset_mask] = 0.0
        state.floor[reset_mask] = caution.start(1)

    def step(
        self,
        pcm: NDArray[np.float32],
        state: PredictorState,
        look_ahead_ms: int | NDArray[np.int64] = 80,
        exec_mask: Mask | None = None,
        reset_mask: Mask | None = None,
    ) -> Prediction:
        """Advance by whole 10 ms hops.

        Args:
            pcm: ``(batch, hops * 160)`` float32 in [-1, 1] at 16 kHz.
            state: updated in place.
            look_ahead_ms: one of ``LOOK_AHEADS_MS``, for all slots or ``(batch,)``.
            exec_mask: ``(batch,)``; slots where it is false stay exactly as they are.
            reset_mask: ``(batch,)``; slots that restart before this step.

        Raises:
            ValueError: the samples are no whole number of hops.
        """
        batch, samples = pcm.shape
        if samples == 0 or samples % HOP:
            raise ValueError(f"A step takes whole hops of {HOP} samples, not {samples}.")
        if reset_mask is not None:
            self.reset(state, reset_mask)
        features = self._front.step(pcm, state.front, exec_mask)
        wanted = np.empty((batch, 1))
        wanted[:, 0] = look_ahead_ms
        chosen = (wanted == _LOOK_AHEADS).astype(np.float32)
        out = self._engine.run({"features": features, "look_ahead": chosen, **state.net})
        for name, tensor in state.net.items():
            new = np.asarray(out[f"{name}_out"], np.float32)
            if exec_mask is None:
                tensor[:] = new
            else:
                tensor[exec_mask] = new[exec_mask]
        energy = features[..., MELS] * 4.0 - 6.0
        loudness = loudness_of(energy)
        floors, floor = caution.follow_floor(energy, state.floor)
        chosen_slots = slice(None) if exec_mask is None else exec_mask
        state.floor[chosen_slots] = floor[chosen_slots]
        return Prediction(
            np.asarray(out["curves"], np.float32),
            caution.cautious(np.asarray(out["closure"], np.float32), floors),
            np.asarray(out["phones"], np.float32),
            loudness,
            features,
        )
