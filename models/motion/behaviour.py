"""The rest of the body's life: blinks, gaze and breath; without a flow, head and brows too.

Everything is drawn from one seeded generator, one frame at a time in a fixed order, so the same
seed and the same speech give the same motion whatever the chunking. Each number below names its
source; where two sources differ the calmer one is taken, because the avatar sits in a call.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from visavis.models.coefficients import COUNT, INDEX
from visavis.models.motion.eyes import BehaviourConfig, Blinks, Gaze, Pulse, mix
from visavis.models.motion.flow import DEGREE, write
from visavis.models.motion.nods import ListenerNods, NodConfig


@dataclass(frozen=True)
class Drive:
    """What the sound says about one frame.

    Attributes:
        voice: probability of speech, 0-1.
        loudness: 0 silent to about 1 at the speaker's loudest.
        jaw: jawOpen of the frame.
        heard: loudness of the other side, on the same scale.
    """

    voice: float = 0.0
    loudness: float = 0.0
    jaw: float = 0.0
    heard: float = 0.0


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
        made = (np.random.default_rng(s) for s in root.spawn(6))
        blink, gaze, breath, head, stress, answer = made
        strength = self._config.nod_degrees / BehaviourConfig.nod_degrees
        self._answers = ListenerNods(NodConfig(), answer, strength)
        self._blinks = Blinks(self._config, blink)
        self._gaze = Gaze(self._config, gaze)
        self._breath = _Breath(self._config, breath)
        self._head_rng, self._stress_rng = head, stress
        self._posture = _Drift(0.12, fps, 9)
        self._lively = _Drift(0.55, fps, 3)
        self._nod = Pulse(0.18, 0.34)
        self._brow = Pulse(0.14, 0.42)
        self._talking = 0.0
        self._attending = 0.0
        self._smile = self._config.smile_listen
        self._mean_stress = 0.1
        self._since_stress = 1.0
        self._follow = np.zeros(2)

    def set_config(self, config: BehaviourConfig) -> None:
        """Go on by other statistics; what is under way is finished."""
        self._config = config
        self._blinks.config = self._gaze.config = config

    def step(self, drive: Drive, body: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Return the next frame with the lips' coefficients at rest.

        Args:
            drive: what is heard.
            body: ``(flow.CHANNELS,)`` of the flow; None leaves head, brows and smile to this
                class.

        Returns:
            ``(COUNT,)`` float32.
        """
        dt = self._dt
        voice = min(max(drive.voice, 0.0), 1.0)
        talking = self._roles(voice, drive.heard)
        out = np.zeros(COUNT, np.float32)
        sight = self._gaze.step(dt, talking, self._attending)
        if self._gaze.shifted_degrees > 4.0:
            self._blinks.hurry(0.02 * self._gaze.shifted_degrees)
        blink = self._blinks.step(dt, talking)
        breath = self._breath.step(dt, voice)
        out[INDEX["torsoBreath"]] = breath
        out[INDEX["torsoShrug"]] = 0.05 * breath
        # A longer look away takes the head along a little, with a lag.
        self._follow += (0.22 * sight - self._follow) * dt / 0.35
        self._stress(drive)
        if body is None:
            self._own_body(out)
        else:
            write(body, out)
        self._accents(out, 1.0 if body is None else self._config.accent_share)
        out[INDEX["headYaw"]] += self._follow[0] * DEGREE
        out[INDEX["headPitch"]] += self._follow[1] * DEGREE
        out[INDEX["headPitch"]] += self._answers.step(dt, drive.heard, voice) * DEGREE
        self._eyes(out, sight, blink)
        return out

    @property
    def looks_away(self) -> bool:
        """Whether the eyes are averted from the viewer."""
        return self._gaze.averted

    def _roles(self, voice: float, heard: float) -> float:
        """Follow who speaks; return how much we do, 0-1."""
        dt = self._dt
        rate = dt / (0.25 if voice > self._talking else 1.2)
        self._talking += (voice - self._talking) * min(rate, 1.0)
        listening = 1.0 if heard > 0.35 and voice < 0.5 else 0.0
        rate = dt / (0.15 if listening > self._attending else 1.5)
        self._attending += (listening - self._attending) * min(rate, 1.0)
        return self._talking

    def _own_body(self, out: NDArray[np.float32]) -> None:
        """Head, torso and smile without a flow: slow drift."""
        config = self._config
        self._head(out)
        goal = mix(config.smile_listen, config.smile_talk, self._talking)
        goal *= 1.0 + 0.25 * float(np.clip(self._posture.now[8], -1.5, 1.5))  # a living face
        self._smile += (goal - self._smile) * self._dt / 0.8
        out[INDEX["mouthSmileLeft"]] = self._smile * 1.05
        out[INDEX["mouthSmileRight"]] = self._smile * 0.95
        for side in ("Left", "Right"):
            out[INDEX["cheekSquint" + side]] = 0.5 * self._smile
            out[INDEX["eyeSquint" + side]] = 0.4 * self._smile

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

    def _head(self, out: NDArray[np.float32]) -> None:
        """Write the head's pose and the torso's sway."""
        config = self._config
        noise = self._head_rng.standard_normal(12)
        posture = self._posture.step(noise[:9])
        lively = self._lively.step(noise[9:])
        share = mix(config.head_rest_share, 1.0, self._talking)
        sigma = np.array(config.head_talk_degrees) * share
        alive = 0.55 * self._talking
        pitch, yaw, roll = sigma * (0.85 * posture[:3] + alive * lively)
        out[INDEX["headPitch"]] = pitch * DEGREE
        out[INDEX["headYaw"]] = yaw * DEGREE
        out[INDEX["headRoll"]] = roll * DEGREE
        out[INDEX["headX"]] = 0.016 * share * posture[3] + 0.004 * yaw
        out[INDEX["headY"]] = 0.010 * share * posture[4] + 0.004 * pitch
        out[INDEX["headZ"]] = 0.014 * share * posture[5]
        out[INDEX["torsoSway"]] = 0.45 * DEGREE * posture[6]
        out[INDEX["torsoLean"]] = DEGREE * (0.45 * posture[7] + 0.5 * self._talking)

    def _eyes(self, out: NDArray[np.float32], sight: NDArray[np.float64], blink: float) -> None:
        """The eyes turn against the head so that the line of sight stays (vestibulo-ocular)."""
        yaw = float(sight[0]) - float(out[INDEX["headYaw"]]) / DEGREE
        pitch = float(sight[1]) - float(out[INDEX["headPitch"]]) / DEGREE
        out[INDEX["gazeYaw"]] = yaw * DEGREE
        out[INDEX["gazePitch"]] = pitch * DEGREE
        lowered = 0.02 * max(0.0, pitch)  # lids follow a look down
        for side in ("Left", "Right"):
            out[INDEX["eyeBlink" + side]] = min(1.0, max(blink, lowered))

    def _accents(self, out: NDArray[np.float32], share: float) -> None:
        """Add nods and raised brows on stress; a flow draws a part of them itself."""
        out[INDEX["headPitch"]] += (
            share * self._config.nod_degrees * self._nod.step(self._dt) * DEGREE
        )
        lift = share * self._brow.step(self._dt) * self._config.brow_size
        out[INDEX["browInnerUp"]] += 0.26 * lift
        for side in ("Left", "Right"):
            out[INDEX["browOuterUp" + side]] += 0.18 * lift


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
