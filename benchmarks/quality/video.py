"""``python -m visavis.benchmarks.quality.video``: lips measured on rendered pictures.

The face tracker looks at every frame that motion and renderer make of a recording, as it would at
a filmed person. DIR holds recordings and ``phones.json``: ``{name: [[start, end, ARPAbet]]}``.

Closure rule: a bilabial counts with its narrowest frame within its interval widened by 20 ms, a
vowel with its narrowest frame within its inner 60 %; the threshold is the largest that takes at
most 5 % of the vowels as closed, and a fixed one of 0.03 eye distances beside it.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from visavis.benchmarks.common import BenchmarkError, astronaut_jpeg, write_json
from visavis.benchmarks.quality import measures
from visavis.benchmarks.quality.sheet import Strip, draw
from visavis.models.appearance.identity import Identity
from visavis.models.appearance.photo.tracker import FaceLandmarks, MediaPipeTracker
from visavis.models.motion.stream import MotionStream
from visavis.models.renderer.renderer import Renderer
from visavis.streamer.avatars.enrolment import enrol_photo_sync
from visavis.streamer.media.files.audio_file import read_all
from visavis.streamer.worker.pipeline.motion_models import load_motion
from visavis.streamer.worker.pipeline.picture_models import load_pictures

FPS = 25
SILENCE_S = 1.6  # appended to each recording
_SETTLE_S = 0.6  # after speech, before silence counts: lips close, look-ahead passes
_FIXED_THRESHOLD = 0.03
_SHORTEST_S = 1.2
_ON_SHEET = 5
# Inner lips, upper against lower, at the middle and to both sides of it.
_INNER_LIPS = ((13, 14), (82, 87), (312, 317))


@dataclass(frozen=True)
class Clip:
    """One recording as it was drawn.

    Attributes:
        name: its file's stem.
        pcm: 16 kHz, silence appended.
        phones: what is said when.
        aperture: measured by the tracker, ``(frames,)``.
        drawn: what the renderer says its lips are apart, ``(frames,)``.
        head: tracked nose bridge over time in eye distances, ``(frames, 2)``.
        crops: mouth pictures.
        lost: frames in which the tracker saw no face.
    """

    name: str
    pcm: NDArray[np.float32]
    phones: list[measures.Phone]
    aperture: NDArray[np.float64]
    drawn: NDArray[np.float64]
    head: NDArray[np.float64]
    crops: list[NDArray[np.uint8]]
    lost: int


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--photo", type=Path, help="one photo")
    who.add_argument("--astronaut", action="store_true", help="scikit-image's photo (default)")
    parser.add_argument("--speech", type=Path, required=True, help="recordings and phones.json")
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--size", type=int, default=512, choices=(256, 384, 512))
    parser.add_argument("--look-ahead-ms", type=int, default=80)
    parser.add_argument("--json", type=Path, help="where the result goes; default: stdout")
    parser.add_argument("--sheet", type=Path, help="a PNG of mouths at named phones")
    args = parser.parse_args(argv)
    cv2.setNumThreads(1)
    try:
        clips = _clips(args)
    except BenchmarkError as error:
        sys.stderr.write(f"visavis bench: {error}\n")
        return 1
    settings = {"size": args.size, "fps": FPS, "look_ahead_ms": args.look_ahead_ms}
    write_json(args.json, {"benchmark": "video", "settings": settings, **summarise(clips)})
    if args.sheet:
        strips = [
            Strip(c.name, c.pcm, MotionStream.SAMPLE_RATE, FPS, c.phones, c.aperture, c.crops)
            for c in clips[:_ON_SHEET]
        ]
        Image.fromarray(draw(strips)).save(args.sheet)
    return 0


def summarise(clips: list[Clip]) -> dict[str, Any]:
    """Return every figure over the clips."""
    lags, controls, silent, speaking, closed, open_ = [], [], [], [], [], []
    for clip in clips:
        envelope = measures.speech_envelope(clip.pcm, MotionStream.SAMPLE_RATE, FPS)
        talk = _speech_frames(clip)
        lags.append(measures.follow(clip.aperture[talk], envelope[talk], FPS))
        # The same mouth against the sound half a clip away: what chance would score.
        shifted = np.roll(envelope[talk], int(talk.sum()) // 2)
        controls.append(measures.correlation(clip.aperture[talk], shifted))
        speaking.append(clip.aperture[talk])
        silent.append(clip.aperture[_quiet_frames(clip)])
        found = measures.tokens(clip.aperture, clip.phones, FPS)
        closed += found[0]
        open_ += found[1]
    apart = np.concatenate(speaking)
    rest = np.concatenate(silent)
    return {
        "clips": len(clips),
        "frames": int(sum(len(c.aperture) for c in clips)),
        "lost_frames": sum(c.lost for c in clips),
        "envelope_r0_median": _round(np.median([lag.r0 for lag in lags])),
        "envelope_r_median": _round(np.median([lag.r for lag in lags])),
        "envelope_r_control": _round(np.median(controls)),
        "lag_ms_median": _round(np.median([lag.lag_ms for lag in lags]), 0),
        "lag_ms_quartiles": [
            _round(q, 0) for q in np.percentile([x.lag_ms for x in lags], (25, 75))
        ],
        "aperture_p50": _round(np.median(apart)),
        "aperture_p95": _round(np.percentile(apart, 95)),
        "aperture_silence_p50": _round(np.median(rest)),
        "aperture_silence_p95": _round(np.percentile(rest, 95)),
        "closure_at_5_percent": asdict(measures.closure_at_false_rate(closed, open_)),
        "closure_fixed": asdict(measures.closure_at(closed, open_, _FIXED_THRESHOLD)),
        "silence_flicker_grey_levels": _round(np.mean([_flicker(c) for c in clips])),
        "head_sigma_eye_distances": _round(np.median([c.head.std(axis=0).max() for c in clips])),
        "tracker_against_renderer_r": _round(
            np.median([measures.correlation(c.aperture, c.drawn) for c in clips])
        ),
    }


def _speech_frames(clip: Clip) -> NDArray[np.bool_]:
    """Return the frames from the first phone to just after the last."""
    spoken = [(start, end) for start, end, phone in clip.phones if phone != "SIL"]
    middles = (np.arange(len(clip.aperture)) + 0.5) / FPS
    inside: NDArray[np.bool_] = (middles >= spoken[0][0] - 0.1) & (middles <= spoken[-1][1] + 0.2)
    return inside


def _quiet_frames(clip: Clip) -> NDArray[np.bool_]:
    return measures.silent_frames(clip.phones, len(clip.aperture), FPS, _SETTLE_S)


def _flicker(clip: Clip) -> float:
    quiet = np.flatnonzero(_quiet_frames(clip))
    tail = quiet[quiet > len(clip.crops) // 2]
    return measures.flicker(clip.crops[i] for i in tail)


def _round(value: float | np.floating[Any], digits: int = 3) -> float:
    return round(float(value), digits)


def _clips(args: argparse.Namespace) -> list[Clip]:
    try:
        labels = json.loads((args.speech / "phones.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BenchmarkError(f"There is no phones.json in {args.speech}.") from error
    files = {p.stem: p for p in args.speech.iterdir() if p.suffix in (".flac", ".wav", ".ogg")}
    names = [n for n in sorted(labels) if n in files and labels[n][-1][1] >= _SHORTEST_S]
    if not names:
        raise BenchmarkError(f"No recording in {args.speech} is long enough and aligned.")
    places = np.linspace(0, len(names) - 1, min(args.clips, len(names))).round().astype(int)
    renderer = load_pictures("cpu").renderer(_identity(args), args.size)
    models = load_motion("cpu")
    tracker = MediaPipeTracker()
    clips = []
    for place in places:
        name = names[place]
        phones = [(float(a), float(b), str(p)) for a, b, p in labels[name]]
        motion = models.stream(fps=FPS, look_ahead_ms=args.look_ahead_ms, seed=int(place))
        clips.append(_clip(name, files[name], phones, motion, renderer, tracker))
        sys.stderr.write(f"{name}: {len(clips[-1].aperture)} frames\n")
    tracker.close()
    return clips


def _identity(args: argparse.Namespace) -> Identity:
    photo = args.photo.read_bytes() if args.photo else astronaut_jpeg()
    with tempfile.TemporaryDirectory() as scratch:
        bundle = Path(scratch) / "identity.vav"
        enrol_photo_sync(photo, bundle, size=args.size, timeout_s=120)
        return Identity.from_bytes(io.BytesIO(bundle.read_bytes()).getvalue())


def _clip(
    name: str,
    path: Path,
    phones: list[measures.Phone],
    motion: MotionStream,
    renderer: Renderer,
    tracker: MediaPipeTracker,
) -> Clip:
    rate = motion.SAMPLE_RATE
    pcm = np.concatenate([read_all(path, rate), np.zeros(int(SILENCE_S * rate), np.float32)])
    # What the look-ahead holds back is pushed out by more silence and not looked at.
    frames = motion.push(np.concatenate([pcm, np.zeros(rate, np.float32)]))
    frames = frames[: len(pcm) * FPS // rate]
    aperture, drawn, head, crops, lost = [], [], [], [], 0
    view, seen = _View(), None
    for values in frames:
        picture = renderer.render(values)
        found = view.look(tracker, picture)
        lost += found is None
        seen = found or seen
        if seen is None:
            raise BenchmarkError(f"The tracker sees no face in the first frame of {name}.")
        aperture.append(inner_lip_gap(seen))
        drawn.append(renderer.mouth_opening(values))
        head.append(seen.points[168, :2] / seen.inter_ocular_px)
        crops.append(view.mouth(picture))
    return Clip(
        name, pcm, phones, np.array(aperture), np.array(drawn), np.array(head, float), crops, lost
    )


def inner_lip_gap(face: FaceLandmarks) -> float:
    """Return the widest of three inner-lip gaps over the distance between the eye centres."""
    upper, lower = (face.points[list(side), :2] for side in zip(*_INNER_LIPS, strict=True))
    return float(np.linalg.norm(upper - lower, axis=1).max()) / face.inter_ocular_px


class _View:
    """The same part of every frame, large enough for the tracker to see the lips."""

    _SIDE = 512

    def __init__(self) -> None:
        self._face: tuple[int, int, int] | None = None
        self._mouth: tuple[int, int, int] | None = None

    def look(self, tracker: MediaPipeTracker, picture: NDArray[np.uint8]) -> FaceLandmarks | None:
        if self._face is None or self._mouth is None:
            faces = tracker.detect(picture)
            if not faces:
                return None
            points, unit = faces[0].points, faces[0].inter_ocular_px
            limit = picture.shape[0]
            self._face = _square(points[1, :2], 4.6 * unit, limit)
            self._mouth = _square(points[[13, 14], :2].mean(axis=0), 1.5 * unit, limit)
        x, y, side = self._face
        close = cv2.resize(
            picture[y : y + side, x : x + side],
            (self._SIDE, self._SIDE),
            interpolation=cv2.INTER_CUBIC,
        )
        return tracker.track(np.asarray(close, np.uint8))

    def mouth(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        assert self._mouth is not None
        x, y, side = self._mouth
        return picture[y : y + side, x : x + side].copy()


def _square(centre: NDArray[np.float32], side: float, limit: int) -> tuple[int, int, int]:
    length = min(limit, round(side))
    x, y = (int(np.clip(round(float(c) - length / 2), 0, limit - length)) for c in centre)
    return x, y, length


if __name__ == "__main__":
    sys.exit(main())
