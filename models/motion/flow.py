"""The part of motion that sound does not determine: head, brows, cheeks, smile and torso.

A few-step flow network draws *commands*, 25 a second; fixed second-order plants, as a neck or a
cheek is one, turn commands into motion. So the motion is smooth and bounded whatever is drawn:
there is nothing that could jitter or drift. This module is what runs live (NumPy and an engine);
``flow_network.py`` is the network and ``simulate.py`` what it was trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.models.coefficients import COUNT, INDEX
from visavis.models.motion.predictor import Graph
from visavis.models.streaming import Mask

RATE = 25  # commands per second
DEGREE = float(np.pi / 180.0)
MOODS: tuple[str, ...] = ("neutral", "warm", "serious", "lively")
"""What the network was trained for."""
MANNERS: tuple[str, ...] = (*MOODS, "conversational")
"""What can be asked for: ``conversational`` is a neutral face that talks freely."""
STEPS: tuple[int, ...] = (1, 2, 4)

# name: (unit of a command in radians, inter-ocular distances or coefficient; natural frequency of
# its plant in Hz). Units are about one standard deviation of a lively talker.
_CHANNELS: dict[str, tuple[float, float]] = {
    "headPitch": (2.0 * DEGREE, 2.0), "headYaw": (3.0 * DEGREE, 1.6),
    "headRoll": (1.5 * DEGREE, 1.5),
    "headX": (0.020, 1.2), "headY": (0.015, 1.2), "headZ": (0.020, 1.0),
    "browInnerUp": (0.15, 3.0), "browDownLeft": (0.12, 2.5), "browDownRight": (0.12, 2.5),
    "browOuterUpLeft": (0.12, 3.0), "browOuterUpRight": (0.12, 3.0),
    "cheekSquint": (0.10, 1.3), "eyeSquint": (0.08, 1.6),
    "mouthSmileLeft": (0.12, 1.2), "mouthSmileRight": (0.12, 1.2),
    "torsoLean": (1.0 * DEGREE, 0.6), "torsoSway": (0.6 * DEGREE, 0.6),
    "torsoShrug": (0.10, 1.2),
}  # fmt: skip
NAMES: tuple[str, ...] = tuple(_CHANNELS)
CHANNELS = len(NAMES)
INDEX_OF = {name: i for i, name in enumerate(NAMES)}
UNITS = np.array([u for u, _ in _CHANNELS.values()], np.float32)
_OMEGA = np.array([2 * np.pi * f for _, f in _CHANNELS.values()], np.float32)
_DECAY = np.exp(-_OMEGA * np.float32(1.0 / RATE))  # of the plants within a tick
LIMIT = 6.0  # units; no command goes beyond
KEEP = float(np.exp(-1.0 / (RATE * 6.0)))  # commands leak towards rest within 6 s
_POSITIVE = np.array([not n.startswith(("head", "torsoL", "torsoSw")) for n in NAMES])

# What the network draws, times these: where head, brows and torso rest for a second, and what they
# do within it. The simulator it learnt from knew people who read; beside those on video ``neutral``
# nodded too far, and who talks freely turns the head by 3-6 degrees (sigma of pitch and yaw) and
# tips it by 1-3, by moving to other places, not by larger nods.
_HEADS = ("headPitch", "headYaw", "headRoll", "headX", "headY", "headZ")
_SLOW: dict[str, dict[str, float]] = {
    "neutral": {"headPitch": 0.7, "headRoll": 1.2},
    "lively": {**dict.fromkeys(_HEADS, 1.9), "headPitch": 2.4, "headRoll": 2.2, "torso": 1.8},
    "conversational": {
        **dict.fromkeys(_HEADS, 3.2), "headPitch": 4.6, "headRoll": 3.4, "brow": 2.0, "torso": 2.8,
    },
}  # fmt: skip
_QUICK: dict[str, dict[str, float]] = {
    "neutral": {"headPitch": 0.7, "headRoll": 1.2},
    "lively": {**dict.fromkeys(_HEADS, 1.15), "torso": 1.2},
    "conversational": {**dict.fromkeys(_HEADS, 1.6), "headPitch": 1.25, "brow": 1.8, "torso": 1.6},
}
SETTLE_S = 0.45  # of the one-pole low-pass that tells the two apart

# What is known of a tick: own voice, loudness now, loudness ahead, jaw; the other side's
# loudness and voicing; mood, one of four; style.
CONDITIONS = 6 + len(MOODS) + 1


@dataclass(frozen=True)
class FlowConfig:
    """Sizes of the flow network.

    Attributes:
        inner: width of the history's encoder before its recurrent layer.
        hidden: of the recurrent layer.
        width: of the velocity field's layers.
    """

    inner: int = 96
    hidden: int = 160
    width: int = 192


def condition(
    drive: NDArray[np.float32], heard: NDArray[np.float32], mood: str, style: float
) -> NDArray[np.float32]:
    """Return the condition of one tick.

    Args:
        drive: ``(4,)`` voice, loudness, loudness ahead, jaw.
        heard: ``(2,)`` loudness and voicing of the other side.
        mood: one of ``MANNERS``.
        style: 0 (hardly moving) to 2 (twice as much).
    """
    out = np.zeros(CONDITIONS, np.float32)
    out[:4], out[4:6] = drive, heard
    out[6 + MOODS.index(mood if mood in MOODS else "neutral")] = 1.0
    out[-1] = style
    return out


def checked_mood(mood: str, style: float) -> None:
    """Refuse what the network was not trained for.

    Raises:
        ValueError: the mood has no such name or the style is out of range.
    """
    if mood not in MANNERS:
        raise ValueError(f"The mood must be one of {', '.join(MANNERS)}, not {mood!r}.")
    if not 0.0 <= style <= 2.0:
        raise ValueError(f"The style must be between 0 and 2, not {style:g}.")


@dataclass
class FlowState:
    """What the flow remembers of each slot.

    Attributes:
        hidden: ``(batch, hidden)`` of the history's encoder.
        command: ``(batch, CHANNELS)`` last command in units.
        place, speed: ``(batch, CHANNELS)`` of the plants, in units and units per second.
        noise: a generator per slot.
    """

    hidden: NDArray[np.float32]
    command: NDArray[np.float32]
    place: NDArray[np.float32]
    speed: NDArray[np.float32]
    noise: list[np.random.Generator]


def plant(
    command: NDArray[np.float32], place: NDArray[np.float32], speed: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Let critically damped second-order systems follow a held command for one tick, exactly.

    Returns:
        The new place and speed, ``(batch, CHANNELS)`` each.
    """
    dt = np.float32(1.0 / RATE)
    away = place - command
    push = (speed + _OMEGA * away) * dt
    new_place = command + (away + push) * _DECAY
    new_speed = (speed - _OMEGA * push) * _DECAY
    return new_place.astype(np.float32, copy=False), new_speed.astype(np.float32, copy=False)


class FlowMotion:
    """Draws head, brow, cheek, smile and torso motion; a ``StreamingModule``.

    Args:
        engine: runs the flow graph.
        steps: 1, 2 or 4 evaluations of the field per command.
        config: sizes the graph was exported with.

    Raises:
        ValueError: another number of steps.
    """

    def __init__(self, engine: Graph, steps: int = 2, config: FlowConfig | None = None) -> None:
        if steps not in STEPS:
            raise ValueError(f"The flow takes 1, 2 or 4 steps, not {steps}.")
        self._engine = engine
        self._config = config or FlowConfig()
        self._steps = np.array([s == steps for s in STEPS], np.float32)

    def init_state(self, batch: int, seeds: Sequence[int] | None = None) -> FlowState:
        """Return the state of ``batch`` slots at rest; slot ``i`` has seed ``i`` by default."""
        seeds = range(batch) if seeds is None else seeds

        def zeros() -> NDArray[np.float32]:
            return np.zeros((batch, CHANNELS), np.float32)

        return FlowState(
            np.zeros((batch, self._config.hidden), np.float32),
            zeros(),
            zeros(),
            zeros(),
            [np.random.default_rng([seed, 0xF10]) for seed in seeds],
        )

    def reset(self, state: FlowState, reset_mask: Mask) -> None:
        """Restart the slots where ``reset_mask`` (batch,) is true, in place, from rest."""
        for array in (state.hidden, state.command, state.place, state.speed):
            array[reset_mask] = 0.0

    def step(
        self,
        conditions: NDArray[np.float32],
        state: FlowState,
        exec_mask: Mask | None = None,
        reset_mask: Mask | None = None,
    ) -> NDArray[np.float32]:
        """Advance by one tick of 40 ms.

        Args:
            conditions: ``(batch, CONDITIONS)``.
            state: updated in place.
            exec_mask: ``(batch,)``; slots where it is false stay exactly as they are.
            reset_mask: ``(batch,)``; slots that restart before this tick.

        Returns:
            ``(batch, CHANNELS)`` float32 in radians, inter-ocular distances and coefficients.
        """
        if reset_mask is not None:
            self.reset(state, reset_mask)
        batch = len(conditions)
        run = np.ones(batch, bool) if exec_mask is None else exec_mask
        noise = np.zeros((batch, CHANNELS), np.float32)
        for i in np.flatnonzero(run):
            noise[i] = state.noise[i].standard_normal(CHANNELS, np.float32)
        out = self._engine.run(
            {
                "condition": conditions.astype(np.float32),
                "command": state.command,
                "hidden": state.hidden,
                "noise": noise,
                "steps": np.repeat(self._steps[None], batch, axis=0),
            }
        )
        command = np.asarray(out["command_out"], np.float32)
        command = np.minimum(np.maximum(command, -LIMIT), LIMIT)
        place, speed = plant(command, state.place, state.speed)
        news = (np.asarray(out["hidden_out"], np.float32), command, place, speed)
        olds = (state.hidden, state.command, state.place, state.speed)
        for array, new in zip(olds, news, strict=True):
            if exec_mask is None:
                array[:] = new
            else:
                array[run] = new[run]
        return values_of(state.place)


def values_of(place: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn places in units ``(..., CHANNELS)`` into radians, distances and coefficients."""
    return np.where(_POSITIVE, np.maximum(place, 0.0), place) * UNITS


def gains_of(mood: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what a manner of moving makes of slow and of quick movement, ``(CHANNELS,)`` each."""

    def gains(asked: dict[str, float]) -> NDArray[np.float32]:
        groups = [next((g for g in ("brow", "torso") if n.startswith(g)), "") for n in NAMES]
        found = [asked.get(n, asked.get(g, 1.0)) for n, g in zip(NAMES, groups, strict=True)]
        return np.array(found, np.float32)

    return gains(_SLOW.get(mood, {})), gains(_QUICK.get(mood, {}))


def write(values: NDArray[np.float32], face: NDArray[np.float32]) -> None:
    """Write values ``(CHANNELS,)`` into coefficients ``(COUNT,)``, in place.

    The torso's shrug adds to what breathing does; everything else is set.
    """
    assert face.shape == (COUNT,)
    for name, value in zip(NAMES, values, strict=True):
        if name in ("cheekSquint", "eyeSquint"):
            face[[INDEX[name + "Left"], INDEX[name + "Right"]]] = value
        elif name == "torsoShrug":
            face[INDEX[name]] += value
        else:
            face[INDEX[name]] = value
