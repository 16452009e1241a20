"""The rest of the body's life: blinks, gaze, head, brows, breath and a hint of a smile.

Everything is drawn from one seeded generator, one frame at a time in a fixed order, so the same
seed and the same speech give the same motion whatever the chunking. Each number below names its
source; where two sources differ the calmer one is taken, because the avatar sits in a call.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.coefficients import COUNT, INDEX

DEGREE = float(np.pi / 180.0)


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
        saccade_base_s, saccade_per_degree_s: main sequence (Bahill et al., 1975; 20-30 ms and
            2.2-2.7 ms per degree).
        avert_max_degrees: Eyes Alive draws -6.9 ln(P / 15.7); a call keeps it below this.
        head_talk_degrees: sigma of pitch, yaw and roll while talking. Captured free talk reaches
            3, 5 and 2; read speech 0.3-1.5.
        head_rest_share: of that, at rest.
        nod_degrees: size of a stress nod; Munhall et al., 2004, tie head motion to prominence.
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
    saccade_base_s: float = 0.025
    saccade_per_degree_s: float = 0.0024
    avert_max_degrees: float = 11.0
    head_talk_degrees: tuple[float, float, float] = (0.9, 1.3, 0.8)
    head_rest_share: float = 0.6
    nod_degrees: float = 1.8
    breaths_per_minute: float = 15.0
    smile_listen: float = 0.10
    smile_talk: float = 0.04


@dataclass(frozen=True)
class Drive:
    """What the sound says about one frame.

    Attributes:
        voice: probability of speech, 0-1.
        loudness: 0 silent to about 1 at the speaker's loudest.
        jaw: jawOpen of the frame.
    """

    voice: float = 0.0
    loudness: float = 0.0
    jaw: float = 0.0


@dataclass
class _Drift:
    """Two one-pole low-passes in a row over white noise, scaled to unit variance."""

    cutoff_hz: float
    fps: int
    channels: int
    first: NDArray[np.float64] = field(init=False)
    second: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self._keep = float(np.exp(-2 * np.pi * self.cutoff_hz / self.fps))
        a, b = self._keep, 1 - self._keep
        self._scale = 1.0 / np.sqrt(b**4 * (1 + a * a) / (1 - a * a) ** 3)
        self.first = np.zeros(self.channels)
        self.second = np.zeros(self.channels)

    def step(self, noise: NDArray[np.float64]) -> NDArray[np.float64]:
        self.first += (1 - self._keep) * (noise - self.first)
        self.second += (1 - self._keep) * (self.first - self.second)
        return self.now

    @property
    def now(self) -> NDArray[np.float64]:
        """The latest values."""
        return self.second * self._scale


@dataclass
class _Pulse:
    """A rise and fall that may be started again while it lasts; minimum-jerk flanks."""

    rise_s: float
    fall_s: float
    age: float = 1e9
    size: float = 0.0

    def start(self, size: float) -> None:
        self.age, self.size = 0.0, size

    def step(self, dt: float) -> float:
        self.age += dt
        return self.size * self.at(self.age)

    def at(self, age: float) -> float:
        if age < self.rise_s:
            return _minimum_jerk(age / self.rise_s)
        return 1.0 - _minimum_jerk((age - self.rise_s) / self.fall_s)


def _minimum_jerk(x: float) -> float:
    x = min(max(x, 0.0), 1.0)
    return x * x * x * (10.0 - 15.0 * x + 6.0 * x * x)


class _Blinks:
    """A renewal process with gamma intervals whose clock runs faster while talking."""

    _SHAPE = 2.2  # of the gamma: two blinks hardly ever follow at once, long pauses happen

    def __init__(self, config: BehaviourConfig, rng: np.random.Generator) -> None:
        self._config = config
        self._rng = rng
        self._due = self._interval() * rng.random()
        self._clock = 0.0
        self._pulse = _Pulse(config.blink_down_s, config.blink_up_s)

    def _interval(self) -> float:
        return float(self._rng.gamma(self._SHAPE, 1.0 / self._SHAPE))

    def hurry(self, share: float) -> None:
        """Bring the next blink nearer by a share of an interval; gaze shifts do that."""
        self._clock += share

    def step(self, dt: float, talking: float) -> float:
        config = self._config
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


class _Gaze:
    """Hold on the viewer, avert, come back; saccades on the main sequence."""

    # Eyes Alive, table of saccade directions in percent, 0 to 315 degrees.
    _DIRECTIONS = np.array([15.54, 6.46, 17.69, 7.44, 16.80, 7.89, 20.38, 7.79])

    def __init__(self, config: BehaviourConfig, rng: np.random.Generator) -> None:
        self._config = config
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
        config = self._config
        self._duration = config.saccade_base_s + config.saccade_per_degree_s * size
        self.shifted_degrees = size

    def _here(self) -> NDArray[np.float64]:
        share = _minimum_jerk(self._age / self._duration)
        return self._from + (self._to - self._from) * share

    def step(self, dt: float, talking: float) -> NDArray[np.float64]:
        """Return (yaw, pitch) of the line of sight in degrees, relative to the viewer."""
        config, rng = self._config, self._rng
        self.shifted_degrees = 0.0
        self._age += dt
        self._left -= dt
        self._until_small -= dt
        if self._left <= 0:
            self.averted = not self.averted
            if self.averted:
                mean = _mix(config.avert_listen_s, config.avert_talk_s, talking)
                drawn = -6.9 * np.log(rng.uniform(0.8, 15.0) / 15.7)
                size = min(float(drawn) + 1.5, config.avert_max_degrees)
                octant = int(np.searchsorted(self._cumulative, rng.random()))
                angle = (octant + rng.uniform(-0.5, 0.5)) * np.pi / 4
                # 90 degrees is up in the table; gazePitch counts down.
                self._saccade(np.array([size * np.cos(angle), -0.7 * size * np.sin(angle)]))
            else:
                mean = _mix(config.hold_listen_s, config.hold_talk_s, talking)
                self._saccade(rng.normal(0.0, 0.5, 2))
            self._left = max(0.24, float(rng.gamma(2.0, mean / 2.0)))  # no glance is shorter
            self._until_small = float(rng.exponential(1.2))
        elif self._until_small <= 0:
            # Between the viewer's eyes and mouth, a degree or so.
            around = self._to if self.averted else np.zeros(2)
            self._saccade(around + rng.normal(0.0, 0.6, 2))
            self._until_small = float(0.25 + rng.exponential(1.2))
        return self._here()


def _mix(rest: float, talk: float, talking: float) -> float:
    return rest + (talk - rest) * talking


class _Breath:
    """Inhale and exhale; speech rides on a long exhalation and a pause lets air in quickly."""

    def __init__(self, config: BehaviourConfig, rng: np.random.Generator) -> None:
        self._period = 60.0 / config.breaths_per_minute
        self._rng = rng
        self._inhaling = False
        self._target_s = 0.6 * self._period
        self._age = self._target_s * float(rng.random())
        self._start = 1.0
        self._pause = 1.0
        self.level = 0.5

    def step(self, dt: float, voice: float) -> float:
        speaking = voice > 0.5
        self._pause = 0.0 if speaking else self._pause + dt
        self._age += dt
        tired = self.level < 0.55 and 0.16 < self._pause < 0.6
        if self._inhaling and (self._age >= self._target_s or speaking):
            self._turn(False, (1.9 if speaking else 0.6) * self._period)
        elif not self._inhaling and speaking and self._target_s < self._period:
            self._turn(False, 1.9 * self._period)
        elif not self._inhaling and not speaking and (tired or self._age >= self._target_s):
            self._turn(True, 0.5 if tired else 0.4 * self._period)
        x = min(self._age / self._target_s, 1.0)
        shape = 0.5 - 0.5 * np.cos(np.pi * x)
        goal = 1.0 if self._inhaling else 0.0
        wanted = self._start + (goal - self._start) * shape
        self.level += (wanted - self.level) * min(1.0, dt / 0.08)
        return float(self.level)

    def _turn(self, inhaling: bool, seconds: float) -> None:
        self._inhaling, self._age, self._start = inhaling, 0.0, float(self.level)
        self._target_s = seconds * float(self._rng.uniform(0.85, 1.15))


class Behaviour:
    """Everything but the lips, one frame per step.

    Args:
        fps: frames per second.
        seed: the whole course of the behaviour.
        config: its statistics.
    """

    def __init__(self, fps: int = 25, seed: int = 0, config: BehaviourConfig | None = None) -> None:
        self._config = config or BehaviourConfig()
        self._dt = 1.0 / fps
        root = np.random.SeedSequence(seed)
        # A generator of its own for each process: one of them drawing more leaves the rest alone.
        blink, gaze, breath, head, stress = (np.random.default_rng(s) for s in root.spawn(5))
        self._blinks = _Blinks(self._config, blink)
        self._gaze = _Gaze(self._config, gaze)
        self._breath = _Breath(self._config, breath)
        self._head_rng, self._stress_rng = head, stress
        self._posture = _Drift(0.12, fps, 9)
        self._lively = _Drift(0.55, fps, 3)
        self._nod = _Pulse(0.18, 0.34)
        self._brow = _Pulse(0.14, 0.42)
        self._talking = 0.0
        self._smile = self._config.smile_listen
        self._mean_stress = 0.1
        self._since_stress = 1.0
        self._follow = np.zeros(2)

    def step(self, drive: Drive) -> NDArray[np.float32]:
        """Return the next frame ``(COUNT,)`` float32, with the lips' coefficients at rest."""
        dt, config = self._dt, self._config
        voice = min(max(drive.voice, 0.0), 1.0)
        rate = dt / (0.25 if voice > self._talking else 1.2)
        self._talking += (voice - self._talking) * min(rate, 1.0)
        talking = self._talking
        out = np.zeros(COUNT, np.float32)
        self._stress(drive)
        sight = self._gaze.step(dt, talking)
        if self._gaze.shifted_degrees > 4.0:
            self._blinks.hurry(0.02 * self._gaze.shifted_degrees)
        blink = self._blinks.step(dt, talking)
        head = self._head(out, drive, sight)
        self._eyes(out, sight, head, blink)
        self._brows(out)
        breath = self._breath.step(dt, voice)
        out[INDEX["torsoBreath"]] = breath
        out[INDEX["torsoShrug"]] = 0.05 * breath
        goal = _mix(config.smile_listen, config.smile_talk, talking)
        goal *= 1.0 + 0.25 * float(np.clip(self._posture.now[8], -1.5, 1.5))  # a living face
        self._smile += (goal - self._smile) * dt / 0.8
        out[INDEX["mouthSmileLeft"]] = self._smile * 1.05
        out[INDEX["mouthSmileRight"]] = self._smile * 0.95
        for side in ("Left", "Right"):
            out[INDEX["cheekSquint" + side]] = 0.5 * self._smile
            out[INDEX["eyeSquint" + side]] = 0.4 * self._smile
        return out

    def _stress(self, drive: Drive) -> None:
        """Start a nod and lift the brows on a prominent syllable, not too often."""
        self._since_stress += self._dt
        force = drive.voice * drive.loudness * (0.3 + drive.jaw)
        prominent = force > 1.35 * self._mean_stress and drive.voice > 0.5
        self._mean_stress += (force - self._mean_stress) * self._dt / 1.0
        if not prominent or self._since_stress < 0.7:
            return
        nods, brows = self._stress_rng.random(2)
        size = self._stress_rng.uniform(0.5, 1.2)
        self._since_stress = 0.0
        if nods < 0.5 and self._nod.age > 0.5:
            self._nod.start(float(size))
        if brows < 0.35 and self._brow.age > 0.5:
            self._brow.start(float(size))

    def _head(
        self, out: NDArray[np.float32], drive: Drive, sight: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Write the head's pose and the torso's sway; return (yaw, pitch) in degrees."""
        config = self._config
        noise = self._head_rng.standard_normal(12)
        posture = self._posture.step(noise[:9])
        lively = self._lively.step(noise[9:])
        share = _mix(config.head_rest_share, 1.0, self._talking)
        sigma = np.array(config.head_talk_degrees) * share
        alive = 0.55 * self._talking
        pitch, yaw, roll = sigma * (0.85 * posture[:3] + alive * lively)
        pitch += config.nod_degrees * self._nod.step(self._dt)
        # A longer look away takes the head along a little, with a lag.
        self._follow += (0.22 * sight - self._follow) * self._dt / 0.35
        yaw += self._follow[0]
        pitch += self._follow[1]
        out[INDEX["headPitch"]] = pitch * DEGREE
        out[INDEX["headYaw"]] = yaw * DEGREE
        out[INDEX["headRoll"]] = roll * DEGREE
        out[INDEX["headX"]] = 0.016 * share * posture[3] + 0.004 * yaw
        out[INDEX["headY"]] = 0.010 * share * posture[4] + 0.004 * pitch
        out[INDEX["headZ"]] = 0.014 * share * posture[5]
        out[INDEX["torsoSway"]] = 0.45 * DEGREE * posture[6]
        out[INDEX["torsoLean"]] = DEGREE * (0.45 * posture[7] + 0.5 * self._talking)
        return np.array([yaw, pitch])

    def _eyes(
        self,
        out: NDArray[np.float32],
        sight: NDArray[np.float64],
        head: NDArray[np.float64],
        blink: float,
    ) -> None:
        """The eyes turn against the head so that the line of sight stays (vestibulo-ocular)."""
        yaw, pitch = sight - head
        out[INDEX["gazeYaw"]] = yaw * DEGREE
        out[INDEX["gazePitch"]] = pitch * DEGREE
        lowered = 0.02 * max(0.0, float(pitch))  # lids follow a look down
        for side in ("Left", "Right"):
            out[INDEX["eyeBlink" + side]] = min(1.0, max(blink, lowered))

    def _brows(self, out: NDArray[np.float32]) -> None:
        lift = self._brow.step(self._dt)
        out[INDEX["browInnerUp"]] = 0.26 * lift
        for side in ("Left", "Right"):
            out[INDEX["browOuterUp" + side]] = 0.18 * lift


def with_eye_look(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a copy of ``(..., COUNT)`` with gaze also written as ARKit's eyeLook coefficients.

    For rigs that know only ARKit; our renderer reads ``gazeYaw`` and ``gazePitch`` and would see
    the turn twice. A coefficient of 1 stands for 30 degrees.
    """
    out = values.copy()
    yaw, pitch = (values[..., INDEX[n]] / (30 * DEGREE) for n in ("gazeYaw", "gazePitch"))
    # The viewer's right is the subject's left: the left eye turns out, the right eye in.
    pairs = {
        "eyeLookOutLeft": yaw, "eyeLookInRight": yaw, "eyeLookInLeft": -yaw,
        "eyeLookOutRight": -yaw, "eyeLookDownLeft": pitch, "eyeLookDownRight": pitch,
        "eyeLookUpLeft": -pitch, "eyeLookUpRight": -pitch,
    }  # fmt: skip
    for name, value in pairs.items():
        out[..., INDEX[name]] = np.clip(value, 0.0, 1.0)
    return out
