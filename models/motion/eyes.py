"""Blinks and gaze as explicit point processes, tied to speech, to listening and to each other."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class BehaviourConfig:
    """Statistics of the behaviour.

    Attributes:
        blinks_rest: per minute at rest (Bentivoglio et al., 1997: 17).
        blinks_talk: per minute in conversation (same: 26).
        blink_down_s: lid closing time (Trutoiu et al., 2011: about 90 ms).
        blink_up_s: lid opening time (same: about 240 ms).
        hold_talk_s, avert_talk_s: mean gaze at the partner and away while talking
            (Lee, Badler and Badler, "Eyes Alive", 2002, frames at 30 Hz: 3.1 and 0.93 s).
        hold_listen_s, avert_listen_s: the same while listening (7.9 and 0.43 s).
        return_s: how soon eyes that are averted come back once the other speaks.
        saccade_base_s, saccade_per_degree_s: main sequence (Bahill et al., 1975; 20-30 ms and
            2.2-2.7 ms per degree).
        avert_max_degrees: Eyes Alive draws -6.9 ln(P / 15.7); a call keeps it below this.
        head_talk_degrees: sigma of pitch, yaw and roll while talking. Captured free talk reaches
            3, 5 and 2; read speech 0.3-1.5.
        head_rest_share: of that, at rest.
        nod_degrees: size of a stress nod; Munhall et al., 2004, tie head motion to prominence.
        brow_size: factor of raised brows on stress.
        accent_share: of nods and brows on stress that come on top of a flow's own.
        breaths_per_minute: at rest (12-20 published for adults).
        smile_listen, smile_talk: mouthSmile at rest and while talking.
    """

    blinks_rest: float = 17.0
    blinks_talk: float = 26.0
    blink_down_s: float = 0.090
    blink_up_s: float = 0.240
    hold_talk_s: float = 3.1
    avert_talk_s: float = 0.93
    hold_listen_s: float = 7.9
    avert_listen_s: float = 0.43
    return_s: float = 0.25
    saccade_base_s: float = 0.025
    saccade_per_degree_s: float = 0.0024
    avert_max_degrees: float = 11.0
    head_talk_degrees: tuple[float, float, float] = (0.9, 1.3, 0.8)
    head_rest_share: float = 0.6
    nod_degrees: float = 1.8
    brow_size: float = 1.0
    accent_share: float = 0.6
    breaths_per_minute: float = 15.0
    smile_listen: float = 0.10
    smile_talk: float = 0.04

    @classmethod
    def of(cls, mood: str, style: float) -> BehaviourConfig:
        """Return the statistics of a mood and a style, for a body without a flow."""
        plain = cls()
        smile, size = {
            "warm": (2.2, 1.0), "serious": (0.0, 0.7), "lively": (1.6, 3.0),
            "conversational": (1.0, 3.0),
        }.get(mood, (1.0, 1.0))  # fmt: skip
        free = mood in ("lively", "conversational")
        pitch, yaw, roll = (size * style * s for s in plain.head_talk_degrees)
        return replace(
            plain,
            # Who looks for words looks away more often and further than who reads.
            hold_talk_s=2.4 if free else plain.hold_talk_s,
            avert_talk_s=1.2 if free else plain.avert_talk_s,
            avert_max_degrees=15.0 if free else plain.avert_max_degrees,
            head_talk_degrees=(pitch, yaw, roll),
            nod_degrees=min(size, 1.3) * style * plain.nod_degrees,
            brow_size=min(size, 1.4) * style,
            smile_listen=smile * style * plain.smile_listen,
            smile_talk=smile * style * plain.smile_talk,
        )


@dataclass
class Pulse:
    """A rise and fall that may be started again while it lasts; minimum-jerk flanks."""

    rise_s: float
    fall_s: float
    age: float = 1e9
    size: float = 0.0

    def start(self, size: float) -> None:
        """Begin anew with this peak."""
        self.age, self.size = 0.0, size

    def step(self, dt: float) -> float:
        """Advance and return the value."""
        self.age += dt
        return self.size * self.at(self.age)

    def at(self, age: float) -> float:
        """Return the shape, 0-1, so many seconds after its start."""
        if age < self.rise_s:
            return minimum_jerk(age / self.rise_s)
        return 1.0 - minimum_jerk((age - self.rise_s) / self.fall_s)


def minimum_jerk(x: float) -> float:
    """Return the smoothest way from 0 to 1 (Flash and Hogan, 1985)."""
    x = min(max(x, 0.0), 1.0)
    return x * x * x * (10.0 - 15.0 * x + 6.0 * x * x)


class Blinks:
    """A renewal process with gamma intervals whose clock runs faster while talking."""

    _SHAPE = 2.2  # of the gamma: two blinks hardly ever follow at once, long pauses happen

    def __init__(self, config: BehaviourConfig, rng: np.random.Generator) -> None:
        self.config = config
        self._rng = rng
        self._due = self._interval() * rng.random()
        self._clock = 0.0
        self._pulse = Pulse(config.blink_down_s, config.blink_up_s)

    def _interval(self) -> float:
        return float(self._rng.gamma(self._SHAPE, 1.0 / self._SHAPE))

    def hurry(self, share: float) -> None:
        """Bring the next blink nearer by a share of an interval; gaze shifts do that."""
        self._clock += share

    def step(self, dt: float, talking: float) -> float:
        """Advance and return how shut the lids are, 0-1."""
        config = self.config
        rate = config.blinks_rest + (config.blinks_talk - config.blinks_rest) * talking
        self._clock += rate / 60.0 * dt
        before = self._pulse.age
        value = self._pulse.step(dt)
        if before < config.blink_down_s < self._pulse.age:
            value = self._pulse.size  # the closed moment falls between two frames: show it
        if self._clock >= self._due and self._pulse.age > 0.4:
            self._clock = 0.0
            self._due = self._interval()
            # Begins somewhere within this frame.
            self._pulse.start(float(self._rng.uniform(0.92, 1.0)))
            self._pulse.age = float(self._rng.uniform(0.0, dt))
        return value


class Gaze:
    """Hold on the viewer, avert, come back; saccades on the main sequence."""

    # Eyes Alive, table of saccade directions in percent, 0 to 315 degrees.
    _DIRECTIONS = np.array([15.54, 6.46, 17.69, 7.44, 16.80, 7.89, 20.38, 7.79])

    def __init__(self, config: BehaviourConfig, rng: np.random.Generator) -> None:
        self.config = config
        self._rng = rng
        self._cumulative = np.cumsum(self._DIRECTIONS / self._DIRECTIONS.sum())
        self.averted = False
        self._left = float(rng.exponential(config.hold_listen_s))
        self._until_small = 1.0
        self._from = np.zeros(2)
        self._to = np.zeros(2)
        self._age = 1.0
        self._duration = 0.03
        self.shifted_degrees = 0.0  # of the saccade that began in this frame, else 0

    def _saccade(self, target: NDArray[np.float64]) -> None:
        here = self._here()
        size = float(np.hypot(*(target - here)))
        self._from, self._to, self._age = here, target, 0.0
        config = self.config
        self._duration = config.saccade_base_s + config.saccade_per_degree_s * size
        self.shifted_degrees = size

    def _here(self) -> NDArray[np.float64]:
        share = minimum_jerk(self._age / self._duration)
        return self._from + (self._to - self._from) * share

    def step(self, dt: float, talking: float, attending: float = 0.0) -> NDArray[np.float64]:
        """Return (yaw, pitch) of the line of sight in degrees, relative to the viewer.

        Args:
            dt: seconds since the last frame.
            talking: 0-1.
            attending: 0-1; somebody speaks to us, and a listener looks back soon.
        """
        config, rng = self.config, self._rng
        if self.averted and attending > 0.5:
            self._left = min(self._left, config.return_s)
        self.shifted_degrees = 0.0
        self._age += dt
        self._left -= dt
        self._until_small -= dt
        if self._left <= 0:
            self.averted = not self.averted
            if self.averted:
                mean = mix(config.avert_listen_s, config.avert_talk_s, talking)
                drawn = -6.9 * np.log(rng.uniform(0.8, 15.0) / 15.7)
                size = min(float(drawn) + 1.5, config.avert_max_degrees)
                octant = int(np.searchsorted(self._cumulative, rng.random()))
                angle = (octant + rng.uniform(-0.5, 0.5)) * np.pi / 4
                # 90 degrees is up in the table; gazePitch counts down.
                self._saccade(np.array([size * np.cos(angle), -0.7 * size * np.sin(angle)]))
            else:
                mean = mix(config.hold_listen_s, config.hold_talk_s, talking)
                self._saccade(rng.normal(0.0, 0.5, 2))
            self._left = max(0.24, float(rng.gamma(2.0, mean / 2.0)))  # no glance is shorter
            self._until_small = float(rng.exponential(1.2))
        elif self._until_small <= 0:
            # Between the viewer's eyes and mouth, a degree or so.
            around = self._to if self.averted else np.zeros(2)
            self._saccade(around + rng.normal(0.0, 0.6, 2))
            self._until_small = float(0.25 + rng.exponential(1.2))
        return self._here()


def mix(rest: float, talk: float, talking: float) -> float:
    """Return the value between two roles."""
    return rest + (talk - rest) * talking
