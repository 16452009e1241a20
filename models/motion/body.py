"""The flow on the clock of a stream: ticks of 40 ms for frames of any rate, and a listener."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from visavis.models.motion.features import (
    HOP,
    LEVEL_FLOOR,
    MELS,
    SILENT_ENERGY,
    FrontEnd,
    follow_level,
    loudness_of,
)
from visavis.models.motion.flow import CHANNELS, RATE, SETTLE_S, FlowMotion, condition, gains_of
from visavis.models.motion.layout import STEP_HOPS
from visavis.models.motion.predictor import Graph

_SETTLES = np.float32(1.0 - np.exp(-1.0 / (RATE * SETTLE_S)))  # of the way, a tick
_VOICE_FLOOR = 0.15  # loudness below which the other side's voicing says nothing


class BodyClock:
    """Runs the flow once per 40 ms of media time and shows it to frames of any rate.

    Frames at 25 per second, or a divisor of it, get the tick that ends with them. Other rates
    get the line between two ticks that are complete, which costs them one tick (40 ms) of delay.

    Args:
        flow: runs the flow graph.
        fps: frames per second.
        seed: of the draws.
        mood, style: see ``MotionStream``.
        steps: of the flow.
    """

    def __init__(
        self, flow: Graph, fps: int, seed: int, mood: str, style: float, steps: int
    ) -> None:
        self._flow = FlowMotion(flow, steps)
        self._state = self._flow.init_state(1, [seed])
        self._fps, self._mood, self._style = fps, mood, style
        self._slow_gain, self._quick_gain = gains_of(mood)
        self._slow = np.zeros(CHANNELS, np.float32)
        self._late = 0 if RATE % fps == 0 else 1
        self._before = np.zeros(CHANNELS, np.float32)
        self._now = np.zeros(CHANNELS, np.float32)
        self._ticks = 0

    def set_mood(self, mood: str, style: float) -> None:
        """Draw in another mood from the next tick on."""
        self._mood, self._style = mood, style

    def restart(self) -> None:
        """Count media time from zero again; the body stays where it is."""
        self._ticks = 0

    @property
    def next_hop(self) -> int:
        """First hop of the next tick."""
        return self._ticks * STEP_HOPS

    def due(self, frame: int) -> Iterator[int]:
        """Yield the first hop of every tick that ends by the end of ``frame``.

        ``tick`` must be called for each before the next is asked for.
        """
        while (self._ticks + 1) * self._fps <= (frame + 1) * RATE:
            yield self.next_hop

    def tick(self, own: NDArray[np.float32], heard: NDArray[np.float32]) -> None:
        """Draw one tick from ``(4,)`` of our own sound and ``(2,)`` of the other side's."""
        given = condition(own, heard, self._mood, self._style)
        self._before = self._now
        drawn = self._flow.step(given[None], self._state)[0]
        self._slow += (drawn - self._slow) * _SETTLES
        self._now = self._slow_gain * self._slow + self._quick_gain * (drawn - self._slow)
        self._ticks += 1

    def at(self, frame: int) -> NDArray[np.float32]:
        """Return ``(CHANNELS,)`` values for ``frame``, whose ticks have been drawn."""
        if not self._late:
            return self._now
        share = np.float32((frame + 1) * RATE / self._fps - self._ticks)
        share = np.clip(share, 0.0, 1.0)
        return self._before + share * (self._now - self._before)


class Listener:
    """The other side's sound as loudness and voicing per hop.

    Sound comes in blocks of 10 ms, a frame wants to know every 40: what came meanwhile goes through
    the front end at once, which costs little more than one block of it.
    """

    def __init__(self) -> None:
        self._front = FrontEnd()
        self._state = self._front.init_state(1)
        self._waiting = [np.zeros(0, np.float32)]

    def push(self, heard: NDArray[np.float32] | None, samples: int) -> None:
        """Take samples; None is so many of silence."""
        self._waiting.append(np.zeros(samples, np.float32) if heard is None else heard)

    def hops(self) -> NDArray[np.float32]:
        """Return ``(hops, 2)`` float32 that are complete and were not asked for before."""
        pcm = self._waiting[0] if len(self._waiting) == 1 else np.concatenate(self._waiting)
        hops = len(pcm) // HOP
        self._waiting = [pcm[hops * HOP :]]
        pcm = pcm[: hops * HOP]
        if hops == 0:
            return np.zeros((0, 2), np.float32)
        if not pcm.any() and not self._state.tail.any():
            return self._hush(hops)
        features = self._front.step(pcm[None], self._state)[0]
        loud = loudness_of(features[:, MELS] * 4.0 - 6.0)
        voicing = (features[:, MELS + 1] + 1.0) / 2.0
        return np.stack([loud, voicing * (loud > _VOICE_FLOOR)], axis=1).astype(np.float32)

    def _hush(self, hops: int) -> NDArray[np.float32]:
        """Do what the front end would do with silence after silence, without its transforms."""
        if self._state.level[0] > LEVEL_FLOOR:
            energy = np.full((1, hops), SILENT_ENERGY, np.float32)
            _, level = follow_level(energy, self._state.level)
            self._state.level[:] = level
        return np.zeros((hops, 2), np.float32)
