"""One session's motion: samples in, frames of coefficients out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.models.arrays import ease
from visavis.models.coefficients import COUNT, INDEX
from visavis.models.motion.behaviour import Behaviour, Drive
from visavis.models.motion.body import BodyClock, Listener
from visavis.models.motion.curves import CHANNEL, CHANNELS, expand
from visavis.models.motion.eyes import BehaviourConfig
from visavis.models.motion.features import HOP
from visavis.models.motion.flow import checked_mood
from visavis.models.motion.layout import STEP_HOPS
from visavis.models.motion.pooling import FramePool
from visavis.models.motion.predictor import Graph, MotionPredictor, Prediction, head_of
from visavis.models.motion.steady import SteadySound
from visavis.models.shipped import checked

MOTION_GRAPH = Path(__file__).resolve().parents[1] / "weights" / "motion" / "motion.onnx"
FLOW_GRAPH = MOTION_GRAPH.with_name("flow.onnx")

_TRAINING = "visavis train motion --recipe"
LATE_MS = 10
"""By so much lips follow the sound.

People's own mouths follow its envelope by 10 to 40 ms, and beside four speakers on video lips
without this come early. More would show closures after their sound: at 20 ms two bilabials in a
hundred are lost, at 30 more (``visavis bench quality people``, ``video``).
"""


def eager_ms(fps: int, look_ahead_ms: int) -> int:
    """Return how much sooner than its look-ahead says an eager stream makes a frame.

    Lips follow the sound by ``LATE_MS``, so a frame's last hop is not in them and need not be
    waited for; where frames do not end with hops, half of it is. Never more than the look-ahead.
    """
    spare = LATE_MS if 100 % fps == 0 else LATE_MS // 2
    return min(spare, look_ahead_ms)


EASE_S = 0.2  # a barge-in brings the face to rest within this
_SMILE = np.array([INDEX["mouthSmileLeft"], INDEX["mouthSmileRight"]])
_LIPS = tuple(
    INDEX[n] for n in INDEX if n.startswith(("jaw", "mouth", "tongue")) and "Smile" not in n
)


def load_motion_engine_path() -> Path:
    """Return the shipped graph of the lips after checking it against its manifest.

    Raises:
        FileNotFoundError: the weights are not there.
        ValueError: the file is not the one its manifest describes.
    """
    return checked(MOTION_GRAPH, "motion", _TRAINING)


def load_flow_engine_path() -> Path:
    """Return the shipped graph of head, brows and smile after checking it likewise.

    Raises:
        FileNotFoundError: the weights are not there.
        ValueError: the file is not the one its manifest describes.
    """
    return checked(FLOW_GRAPH, "motion", _TRAINING, "flow_sha256")


def checked_pcm(pcm: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return samples that are safe to use: finite and within [-1, 1].

    Raises:
        ValueError: not a one-dimensional float32 or float64 array.
    """
    if not isinstance(pcm, np.ndarray) or pcm.dtype not in (np.float32, np.float64):
        kind = getattr(pcm, "dtype", type(pcm).__name__)
        raise ValueError(f"Sound must be float32 samples in [-1, 1], not {kind}.")
    if pcm.ndim != 1:
        raise ValueError(f"Sound must be one channel of samples, not of shape {pcm.shape}.")
    if len(pcm) and not np.maximum.reduce(np.abs(pcm)) <= 1.0:  # nor is a NaN a number below 1
        pcm = np.nan_to_num(pcm, nan=0.0, posinf=0.0, neginf=0.0).clip(-1.0, 1.0)
    return pcm.astype(np.float32)


def _mean(values: NDArray[np.float32]) -> float:
    """Return the mean of a few values; ``ndarray.mean`` takes three times as long on them."""
    return float(np.add.reduce(values)) / max(len(values), 1)


class MotionStream:
    """Samples in, frames of coefficients out, independent of how the samples are chunked.

    Args:
        engine: runs the motion graph.
        fps: frames per second of media time.
        look_ahead_ms: 0-120; the longest trained look-ahead that fits is used.
        seed: of the behaviour.
        mood: ``neutral``, ``warm``, ``serious``, ``lively`` or ``conversational``.
        style: 0 (hardly moving) to 2 (twice as much); 1 is a calm call.
        flow: runs the flow graph; without it head, brows and smile drift by simple rules.
        flow_steps: 1, 2 or 4 steps of the flow.

    Raises:
        ValueError: a number is out of range or there is no such mood.
    """

    SAMPLE_RATE = 16000

    def __init__(
        self,
        engine: Graph,
        *,
        fps: int = 25,
        look_ahead_ms: int = 80,
        seed: int = 0,
        mood: str = "neutral",
        style: float = 1.0,
        flow: Graph | None = None,
        flow_steps: int = 2,
    ) -> None:
        if not 1 <= fps <= 100:
            raise ValueError(f"Frames per second must be between 1 and 100, not {fps}.")
        checked_mood(mood, style)
        self._head = head_of(look_ahead_ms)
        self._fps = fps
        self._wait = look_ahead_ms * self.SAMPLE_RATE // 1000
        self._predictor = MotionPredictor(engine)
        self._behaviour = Behaviour(fps, seed, BehaviourConfig.of(mood, style))
        self._body = BodyClock(flow, fps, seed, mood, style, flow_steps) if flow else None
        self._last = np.zeros(COUNT, np.float32)
        self._held = np.zeros(COUNT, np.float32)
        self._ease, self._ease_s = 1.0, EASE_S
        self._restart()

    @property
    def fps(self) -> int:
        """Frames per second of media time."""
        return self._fps

    def hurry(self) -> None:
        """Make each frame :func:`eager_ms` sooner; to be said before any sound.

        The lips are the same; what the flow is told of the newest 40 ms is a mean without their
        last hop.
        """
        look_ahead_ms = self._wait * 1000 // self.SAMPLE_RATE
        early_ms = eager_ms(self._fps, look_ahead_ms)
        self._wait = (look_ahead_ms - early_ms) * self.SAMPLE_RATE // 1000

    def _restart(self) -> None:
        self._state = self._predictor.init_state(1)
        self._pool = FramePool()
        self._steady = SteadySound()
        self._listener = Listener()
        if self._body is not None:
            self._body.restart()
        self._frame = 0
        self._pcm = np.zeros(0, np.float32)
        self._received = 0  # samples since the restart
        self._hops = 0  # hops the predictor has seen
        self._first_hop = 0  # hop of the first row of the queues
        self._skip = self._head // 10  # predictions that belong before the first sample
        self._curves = np.zeros((0, len(CHANNELS)), np.float32)
        self._closure = np.zeros(0, np.float32)
        self._voice = np.zeros(0, np.float32)
        self._loudness = np.zeros(0, np.float32)
        self._heard = np.zeros((0, 2), np.float32)

    def set_mood(self, mood: str, style: float = 1.0) -> None:
        """Go on in another mood; smile, head and gaze move over as they would by themselves.

        Raises:
            ValueError: there is no such mood or style.
        """
        checked_mood(mood, style)
        self._behaviour.set_config(BehaviourConfig.of(mood, style))
        if self._body is not None:
            self._body.set_mood(mood, style)

    def reset(self, shown: NDArray[np.float32] | None = None, ease_s: float = EASE_S) -> None:
        """Barge-in: forget the past; the lips ease from where they are.

        Frames count from zero again at the next pushed sample. Head, gaze and blinks go on.

        Args:
            shown: ``(COUNT,)`` to ease from; None is the last frame that was made.
            ease_s: seconds until the lips are at rest.
        """
        self._held = (self._last if shown is None else shown).copy()
        self._ease, self._ease_s = 0.0, ease_s
        self._restart()

    def push(
        self, pcm: NDArray[np.float32], heard: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Take samples and return the frames that became complete.

        Args:
            pcm: ``(samples,)`` float32 in [-1, 1], mono at 16 kHz, any number. What is not
                finite counts as 0, what is out of range is clipped.
            heard: the other side's sound of the same moments, likewise; None means silence.

        Returns:
            ``(k, COUNT)`` float32.

        Raises:
            ValueError: wrong dtype or shape, or the two differ in length.
        """
        pcm = checked_pcm(pcm)
        if heard is not None:
            heard = checked_pcm(heard)
            if len(heard) != len(pcm):
                raise ValueError(
                    f"Both sides must have the same number of samples, not {len(pcm)} and "
                    f"{len(heard)}."
                )
        self._pcm = np.concatenate([self._pcm, pcm])
        self._listener.push(heard, len(pcm))
        self._received += len(pcm)
        frames: list[NDArray[np.float32]] = []
        taken = 0
        while self._received >= (due := self._end_of(self._frame) + self._wait):
            if not frames:
                self._heard = np.concatenate([self._heard, self._listener.hops()])
            taken = self._run_to(due // HOP, taken)
            frames.append(self._make_frame())
            self._frame += 1
        self._pcm = self._pcm[taken:]
        return np.stack(frames) if frames else np.zeros((0, COUNT), np.float32)

    def _end_of(self, frame: int) -> int:
        """First sample after ``frame``."""
        return -(-(frame + 1) * self.SAMPLE_RATE // self._fps)

    def _run_to(self, hop: int, taken: int) -> int:
        """Run the predictor up to ``hop``; return how much of the buffer is used."""
        while self._hops < hop:
            count = min(STEP_HOPS, hop - self._hops)
            block = self._pcm[taken : taken + count * HOP]
            self._keep(self._predictor.step(block[None], self._state, self._head))
            taken += count * HOP
            self._hops += count
        return taken

    def _keep(self, got: Prediction) -> None:
        skip = min(self._skip, got.curves.shape[1])
        self._skip -= skip
        curves, closure = got.curves[0, skip:].copy(), got.closure[0, skip:].copy()
        voice = 1.0 - got.phones[0, skip:, 0]
        self._steady.hear(got.features[0], got.loudness[0])
        self._steady.lips(curves, closure, voice)
        self._curves = np.concatenate([self._curves, curves])
        self._closure = np.concatenate([self._closure, closure])
        self._voice = np.concatenate([self._voice, voice])
        self._loudness = np.concatenate([self._loudness, got.loudness[0]])

    def _make_frame(self) -> NDArray[np.float32]:
        """Pool the hops of the current frame and add the behaviour."""
        # A hop belongs to the frame that its centre falls into.
        start = self._hop_after(self._frame) - self._first_hop
        end = self._hop_after(self._frame + 1) - self._first_hop
        last = min(max(end - LATE_MS // 10, 0), len(self._curves))
        first = min(max(start - LATE_MS // 10, 0), max(last - 1, 0))
        lips = self._pool.frame(self._curves[first:last], self._closure[first:last])
        newest = self._heard[start + self._head // 10 : end + self._head // 10, 0]
        drive = Drive(
            _mean(self._voice[first:last]),
            _mean(self._loudness[first:last]),
            float(lips[0]),
            _mean(newest) if len(newest) else 0.0,
        )
        face = self._behaviour.step(drive, self._draw_body())
        self._drop(first)
        smile = face[_SMILE]
        expand(lips, face)
        face[_SMILE] += smile
        shapes = face[: INDEX["tongueOut"] + 1]
        np.minimum(np.maximum(shapes, 0.0, out=shapes), 1.0, out=shapes)
        self._blend(face)
        self._last = face
        return face.copy()

    def _draw_body(self) -> NDArray[np.float32] | None:
        """Run the flow's ticks that this frame completes; return head, brows and the rest."""
        if self._body is None:
            return None
        for hop in self._body.due(self._frame):
            first = hop - self._first_hop
            ahead = first + min(self._head, 80) // 10
            rows, later = slice(first, first + STEP_HOPS), slice(ahead, ahead + STEP_HOPS)
            own = (
                _mean(self._voice[rows]),
                _mean(self._loudness[rows]),
                _mean(self._loudness[later]),
                _mean(self._curves[rows, CHANNEL["jawOpen"]]),
            )
            self._body.tick(np.array(own, np.float32), self._heard[later].mean(axis=0))
        return self._body.at(self._frame)

    def _drop(self, first: int) -> None:
        """Forget hops before ``first`` that no later frame and no later tick needs."""
        if self._body is not None:
            first = min(first, self._body.next_hop - self._first_hop)
        for name in ("_curves", "_closure", "_voice", "_loudness", "_heard"):
            setattr(self, name, getattr(self, name)[first:])
        self._first_hop += first

    def _hop_after(self, frame: int) -> int:
        """Return the first hop whose centre is not before the start of ``frame``."""
        return -(-(2 * frame * 100 - self._fps) // (2 * self._fps))

    def _blend(self, face: NDArray[np.float32]) -> None:
        """After a reset, move from the held lips to the new ones within ``EASE_S``."""
        if self._ease >= 1.0:
            return
        self._ease = min(1.0, self._ease + 1.0 / (self._fps * self._ease_s))
        share = np.float32(ease(self._ease))
        lips = list(_LIPS)
        face[lips] = self._held[lips] * (1 - share) + face[lips] * share
