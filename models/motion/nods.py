"""A listener's nods as a point process: short trains after the other's phrases.

The flow has them in what it learned from, but such rare events are what a small flow in one or
two steps leaves out first (measured: a tenth of them), so they are drawn here, as blinks are.
Delay, number and tempo after Hadar et al. (1985) and Ward and Tsukahara (2000).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from visavis.models.motion.eyes import Pulse


@dataclass(frozen=True)
class NodConfig:
    """Statistics of a listener's nods.

    Attributes:
        after_phrase: probability that a phrase of the other is answered.
        within_per_s: rate of answers while the other goes on speaking.
        delay_s: from the end of the phrase, from and to.
        degrees: size of the first nod, from and to; each further one is three quarters.
        period_s: from nod to nod in a train.
        phrase_s: how long the other must have spoken.
        pause_s: how long a silence ends a phrase.
    """

    after_phrase: float = 0.45
    within_per_s: float = 0.05
    delay_s: tuple[float, float] = (0.05, 0.40)
    degrees: tuple[float, float] = (2.2, 4.6)
    period_s: float = 0.42
    phrase_s: float = 0.8
    pause_s: float = 0.18


class ListenerNods:
    """Nods of one listener; seeded, one step per frame.

    Args:
        config: their statistics.
        rng: of this process alone.
        strength: scales sizes and, less, how often.
    """

    _HEARD, _SILENT = 0.35, 0.25  # loudness with which speech begins and ends

    def __init__(self, config: NodConfig, rng: np.random.Generator, strength: float = 1.0) -> None:
        self._config, self._rng, self._strength = config, rng, strength
        self._pulse = Pulse(0.17, 0.23)
        self._spoken = 0.0
        self._paused = 1e9
        self._left = 0
        self._wait = 0.0
        self._size = 0.0

    def step(self, dt: float, heard: float, voice: float) -> float:
        """Return degrees of headPitch for this frame.

        Args:
            dt: seconds since the last frame.
            heard: loudness of the other side, 0-1.
            voice: our own voice, 0-1; who speaks does not nod to the other.
        """
        if heard > self._HEARD:
            self._spoken, self._paused = self._spoken + dt, 0.0
        elif heard < self._SILENT:
            self._paused += dt
        quiet = voice < 0.5
        # The draw is made in every frame: what is heard does not shift the generator.
        chance, first, size, count = self._rng.random(4)
        config = self._config
        if self._left == 0 and quiet:
            often = min(1.0, 0.5 + 0.5 * self._strength)
            ended = self._paused >= config.pause_s and self._spoken >= config.phrase_s
            within = self._paused == 0.0 and chance < config.within_per_s * often * dt
            if (ended and chance < config.after_phrase * often) or within:
                self._left = 1 + int(count > 0.4) + int(count > 0.8)
                low, high = config.delay_s
                self._wait = low + (high - low) * first
                small, big = config.degrees
                self._size = (small + (big - small) * size) * self._strength
        if self._paused >= config.pause_s:
            self._spoken = 0.0
        self._wait -= dt
        if self._left > 0 and self._wait <= 0:
            if quiet:
                self._pulse.start(self._size)
            self._left = self._left - 1 if quiet else 0
            self._size *= 0.75
            self._wait += config.period_s
        return self._pulse.step(dt)
