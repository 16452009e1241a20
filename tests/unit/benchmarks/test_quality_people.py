"""What is measured on videos of people who talk."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.unit.models.appearance.test_fit import synthetic_face
from visavis.benchmarks.common import BenchmarkError
from visavis.benchmarks.quality import people, reenact, talking
from visavis.models.appearance.face.basis import load_basis
from visavis.models.appearance.face.fit import fit_expression, fit_face
from visavis.models.appearance.face.neutral import neutralise
from visavis.models.coefficients import INDEX

FPS = 25


def mouth(hertz: float, width: float, opening: float, scale: float = 100.0) -> np.ndarray:
    """Return landmarks of four seconds in which both swing by so many distances of the eyes."""
    time = np.arange(4 * FPS) / FPS
    swing = np.sin(2 * np.pi * hertz * time)
    points = np.zeros((len(time), 478, 3), np.float32)
    points[:, 263, 0] = scale
    points[:, 291, 0] = scale * (0.54 + width * swing)
    points[:, 14, 1] = scale * (0.1 + opening * swing)
    return points


@pytest.mark.parametrize("scale", [40.0, 200.0])
def test_amplitudes_are_those_of_the_speech_band(scale: float) -> None:
    figures = talking.moves(mouth(4.0, 0.02, 0.05, scale), FPS).figures()
    assert figures["width_band"] == pytest.approx(0.02 / np.sqrt(2), rel=0.05)
    assert figures["aperture_band"] == pytest.approx(0.05 / np.sqrt(2), rel=0.05)
    assert figures["width_mean"] == pytest.approx(0.54, abs=0.005)
    slow = talking.moves(mouth(0.25, 0.02, 0.05, scale), FPS).figures()
    assert slow["width_band"] < 0.003


def test_a_late_mouth_has_a_positive_lag() -> None:
    rng = np.random.default_rng(0)
    own = np.convolve(rng.standard_normal(120), np.ones(5) / 5, "same")
    late = np.roll(own, 2)
    r, lag = talking.follow(late, own, FPS)
    assert r > 0.95
    assert lag == 80.0
    assert talking.follow(own, late, FPS)[1] == -80.0
    assert talking.follow(late, own, FPS, 20)[0] < r


def write_video(path: Path, seconds: float, sound: bool) -> None:
    with av.open(str(path), "w") as out:
        video = out.add_stream("mpeg4", rate=FPS)
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        audio = out.add_stream("aac", rate=16000, layout="mono") if sound else None
        for _ in range(int(seconds * FPS)):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 90, np.uint8))
            out.mux(video.encode(frame))
        out.mux(video.encode())
        if audio is not None:
            tone = 0.3 * np.sin(np.arange(int(seconds * 16000)) / 9.0)
            heard = av.AudioFrame.from_ndarray(tone[None].astype(np.float32), "fltp", "mono")
            heard.sample_rate, heard.pts, heard.time_base = 16000, 0, Fraction(1, 16000)
            out.mux(audio.encode(heard))
            out.mux(audio.encode())


def test_videos_are_read_with_their_sound(tmp_path: Path) -> None:
    write_video(tmp_path / "talk.mp4", 3.0, sound=True)
    talk = talking.read_talk(tmp_path / "talk.mp4")
    assert talk.frames.shape == (75, 64, 64, 3)
    assert talk.fps == FPS
    assert len(talk.pcm) == pytest.approx(48000, abs=2100)
    assert np.abs(talk.pcm).max() > 0.2


def test_what_cannot_be_measured_is_said(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_video(tmp_path / "mute.mp4", 3.0, sound=False)
    write_video(tmp_path / "short.mp4", 1.0, sound=True)
    (tmp_path / "broken.mp4").write_bytes(b"no video" * 40)
    for name, why in (("mute", "no sound"), ("short", "shorter"), ("broken", "cannot be read")):
        with pytest.raises(BenchmarkError, match=why):
            talking.read_talk(tmp_path / f"{name}.mp4")
    assert people.main(["--videos", str(tmp_path / "nowhere")]) == 2
    assert "can be measured" in capsys.readouterr().err


def test_the_expression_of_another_frame_is_found() -> None:
    basis = load_basis()
    photo = fit_face(basis, synthetic_face())
    geometry = neutralise(basis, photo)
    other = synthetic_face(yaw=0.1, jawOpen=0.4)
    found = fit_expression(basis, photo, other)
    names = list(basis.expression_names)
    assert found.expression[names.index("jawOpen")] == pytest.approx(0.35, abs=0.1)
    assert found.expression[names.index("mouthPucker")] < 0.15
    assert np.degrees(found.angles[1] - photo.angles[1]) == pytest.approx(5.7, abs=1.5)
    values, angles = reenact.drive(basis, photo, geometry, np.stack([synthetic_face(), other]))
    assert values[0, :52].max() < 0.15
    assert values[1, INDEX["jawOpen"]] == pytest.approx(0.35, abs=0.12)
    assert angles[1, 1] == pytest.approx(5.7, abs=1.5)
