"""Every measure of one person's pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.benchmarks.quality import measures
from visavis.benchmarks.quality.motion import life
from visavis.benchmarks.quality.motion.speech import Recordings
from visavis.benchmarks.quality.pictures import psnr, sharpness
from visavis.benchmarks.quality.renderer.photos_groups import face_box, shape_change
from visavis.benchmarks.quality.vlogger import temporal
from visavis.benchmarks.quality.vlogger.blur import cpbd
from visavis.benchmarks.quality.vlogger.naturalness import Pristine, niqe
from visavis.models.appearance.enrol import Tracker
from visavis.models.appearance.face.basis import load_basis
from visavis.models.appearance.identity import Identity
from visavis.models.arrays import Floats, Image
from visavis.models.coefficients import COUNT, INDEX
from visavis.models.renderer.renderer import Renderer
from visavis.streamer.worker.pipeline.motion_models import load_motion

FPS = 25
RATE = 16_000
_PAUSE_S = 0.4  # between recordings
_LOOK_AHEAD_MS = 40
_STILLS = 4  # frames of speech that are measured one by one
_NIQE_SIDE = 512
_LID_OPEN = 0.05


@dataclass(frozen=True)
class Script:
    """What everybody says.

    Attributes:
        pcm: ``(samples,)`` at 16 kHz.
        phones: ``(start, end, ARPAbet)`` in it.
        curves: ``(S, T, COUNT)`` coefficients, a row for each seed.
        silence: ``(K, COUNT)`` coefficients without any sound.
    """

    pcm: NDArray[np.float32]
    phones: list[measures.Phone]
    curves: Floats
    silence: Floats


def make_script(recordings: Recordings, seeds: int, silence_s: float = 20.0) -> Script:
    """Join recordings and let the motion predictor speak them once per seed."""
    pieces, phones, at = [], [], 0
    for recording in recordings.values():
        phones += [(a + at / RATE, b + at / RATE, name) for a, b, name in recording.labels]
        pieces += [recording.pcm, np.zeros(round(_PAUSE_S * RATE), np.float32)]
        at += len(pieces[-2]) + len(pieces[-1])
    pcm = np.concatenate(pieces).astype(np.float32)
    models, frames = load_motion("cpu"), len(pcm) * FPS // RATE
    padded = np.concatenate([pcm, np.zeros(RATE, np.float32)])

    def curve(seed: int, sound: NDArray[np.float32]) -> Floats:
        stream = models.stream(fps=FPS, look_ahead_ms=_LOOK_AHEAD_MS, seed=seed)
        return np.asarray(stream.push(sound))

    curves = np.stack([curve(seed, padded)[:frames] for seed in range(seeds)])
    return Script(pcm, phones, curves, curve(0, np.zeros(round(silence_s * RATE), np.float32)))


def measure(
    identity: Identity,
    renderer: Renderer,
    tracker: Tracker,
    pristine: Pristine,
    script: Script,
    drawn_s: float,
) -> dict[str, float]:
    """Measure one person.

    Args:
        identity: the enrolled person.
        renderer: draws them.
        tracker: finds the face in pictures.
        pristine: of NIQE.
        script: what is said.
        drawn_s: seconds of it that are drawn; landmarks and lips are measured on all of it.
    """
    curves = script.curves[0]
    drawn = curves[: max(3, round(drawn_s * FPS))]
    return {
        **_stills(identity, renderer, tracker, pristine, drawn),
        **_over_time(renderer, drawn, script.silence),
        **_lips(renderer, curves, script),
        **_motion(renderer, script),
    }


def _stills(
    identity: Identity, renderer: Renderer, tracker: Tracker, pristine: Pristine, drawn: Floats
) -> dict[str, float]:
    photo = renderer._pictures.photo
    weight = _face_weight(renderer)
    rows: dict[str, list[float]] = {}
    steps = np.linspace(0, len(drawn) - 1, _STILLS + 2).round().astype(int)[1:-1]
    for step in steps:
        picture = renderer.render(drawn[step]).copy()
        shown = renderer.shown()
        back = cv2.remap(photo, shown, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        inside = cv2.remap(weight.astype(np.float32), shown, None, cv2.INTER_LINEAR)
        found = {
            "niqe": niqe(_large(picture), pristine), "cpbd": cpbd(picture),
            "sharpness": sharpness(picture, inside) / max(sharpness(photo, weight), 1e-6),
            "landmarks_percent": shape_change(tracker, photo, picture),
            "backwarped_psnr": psnr(picture, back, inside),
        }  # fmt: skip
        for name, value in found.items():
            rows.setdefault(name, []).append(value)
    own = {"photo_niqe": niqe(_large(photo), pristine), "photo_cpbd": cpbd(photo)}
    return {name: float(np.nanmean(values)) for name, values in rows.items()} | own


def _large(picture: Image) -> Image:
    if picture.shape[0] == _NIQE_SIDE:
        return picture
    way = cv2.INTER_AREA if picture.shape[0] > _NIQE_SIDE else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (_NIQE_SIDE,) * 2, interpolation=way), np.uint8)


def _face_weight(renderer: Renderer) -> NDArray[np.float64]:
    x0, y0, x1, y1 = face_box(renderer)
    weight = np.zeros((renderer.size, renderer.size))
    weight[y0:y1, x0:x1] = 1.0
    return weight


def _over_time(renderer: Renderer, drawn: Floats, silence: Floats) -> dict[str, float]:
    x0, y0, x1, y1 = face_box(renderer)
    part = np.s_[y0:y1, x0:x1]

    def faces(curves: Floats) -> Iterator[Image]:
        return (renderer.render(vector)[part].copy() for vector in curves)

    lids = silence[:, [INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]]].max(1)
    still = silence[lids < _LID_OPEN][: len(drawn)]
    small = (cv2.resize(f, (96, 96), interpolation=cv2.INTER_AREA) for f in faces(still))
    return {
        "flicker": measures.flicker(np.asarray(f, np.uint8) for f in small),
        "warping_error": temporal.warping_error(faces(drawn)),
    }


def _lips(renderer: Renderer, curves: Floats, script: Script) -> dict[str, float]:
    aperture = np.array([renderer.mouth_opening(v) for v in curves])
    closed, open_ = measures.tokens(aperture, script.phones, FPS)
    envelope = measures.speech_envelope(script.pcm, RATE, FPS)
    followed = measures.follow(aperture, envelope, FPS)
    return {
        "closures": measures.closure_at_false_rate(closed, open_).recall,
        "lip_r": followed.r, "lip_lag_ms": followed.lag_ms,
    }  # fmt: skip


def landmarks_of(renderer: Renderer, curves: Floats, *, posed: bool) -> NDArray[np.float64]:
    """Return the landmarks ``(T, N, 2)`` in pixels where the renderer puts them.

    Args:
        renderer: of the person.
        curves: ``(T, COUNT)``.
        posed: whether head and torso move too.
    """
    vertices = load_basis().landmarks
    vertices, rig = vertices[vertices >= 0], renderer.rig
    out = np.empty((len(curves), len(vertices), 2))
    for t, vector in enumerate(curves):
        face = vector.copy()
        if not posed:
            face[INDEX["headPitch"] : COUNT] = 0.0
        points = rig.pose(rig.express(rig.map(face)), renderer._pose(face))
        out[t] = points[vertices, :2]
    return out


def _motion(renderer: Renderer, script: Script) -> dict[str, float]:
    unit = renderer.rig.unit
    every = np.stack([landmarks_of(renderer, c[::5], posed=True) for c in script.curves])
    face = landmarks_of(renderer, script.curves[0][::5], posed=False)
    smooth = landmarks_of(renderer, script.curves[0], posed=True)
    return {
        "jitter": temporal.jitter(smooth, unit),
        "diversity": temporal.diversity(every, unit),
        "expression_range": temporal.movement(face, unit),
    }


def life_of(script: Script) -> dict[str, float]:
    """Return blinks and head of the curves, which are everybody's alike."""
    rows = [life.blinks(c, FPS) | life.head(c, FPS) for c in script.curves]
    return {name: float(np.nanmean([r[name] for r in rows])) for name in rows[0]}
