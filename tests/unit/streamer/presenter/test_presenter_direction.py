"""A look, a mood and another framing in mid-presentation."""

from __future__ import annotations

import threading
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from tests.fakes.fake_pipeline import FakePipelines
from visavis.models.coefficients import COUNT, INDEX
from visavis.streamer.presenter.engine import LiveAvatar
from visavis.streamer.presenter.face import Choices, Face
from visavis.streamer.presenter.presenter import Figures
from visavis.streamer.presenter.script.direction import LOOKS, DirectedPipeline
from visavis.streamer.worker.pipeline.motion_models import load_motion
from visavis.streamer.worker.pipeline.pipeline import RATE, SlotSpec

STEP = RATE // 25


class Still:
    """A pipeline of a face at rest."""

    def __init__(self) -> None:
        self.moods: list[str] = []
        self.styles: list[float] = []

    def push(self, pcm: np.ndarray, heard: np.ndarray | None = None) -> np.ndarray:
        return np.zeros((len(pcm) // STEP, COUNT), np.float32)

    def set_mood(self, name: str, style: float = 1.0) -> None:
        self.moods.append(name)
        self.styles.append(style)


def test_another_mood_keeps_how_strongly_one_moves() -> None:
    """A script's ``[warm]`` took ``--style`` away."""
    pipeline = Still()
    directed = DirectedPipeline(pipeline, 25, style=0.4)  # type: ignore[arg-type]
    directed.mood("warm")
    directed.push(np.zeros(STEP, np.float32))
    directed.set_mood("lively", 1.5)  # as a slot does
    directed.mood("neutral")
    directed.push(np.zeros(STEP, np.float32))
    assert pipeline.moods == ["warm", "lively", "neutral"]
    assert pipeline.styles == [0.4, 1.5, 1.5]


def test_a_look_is_taken_and_given_up_smoothly() -> None:
    directed = DirectedPipeline(Still(), 25)  # type: ignore[arg-type]
    silence = np.zeros(STEP, np.float32)
    directed.look("right")
    rows = [directed.push(silence)[0] for _ in range(40)]
    yaw = np.array([row[INDEX["headYaw"]] for row in rows])
    gaze = np.array([row[INDEX["gazeYaw"]] for row in rows])
    assert yaw[-1] > 0.12 and gaze[-1] > 0.18
    assert (np.diff(yaw) >= 0).all() and np.diff(yaw).max() < 0.03
    assert gaze[4] / gaze[-1] > yaw[4] / yaw[-1], "the eyes go first"
    directed.look("camera")
    rows = [directed.push(silence)[0] for _ in range(60)]
    assert abs(rows[-1][INDEX["headYaw"]]) < 0.005


@pytest.mark.parametrize("where", sorted(LOOKS))
def test_every_look_has_a_direction(where: str) -> None:
    directed = DirectedPipeline(Still(), 25)  # type: ignore[arg-type]
    directed.look(where)
    row = directed.push(np.zeros(40 * STEP, np.float32))[-1]
    right, down = LOOKS[where]
    assert np.sign(round(float(row[INDEX["headYaw"]]), 3)) == np.sign(right)
    assert np.sign(round(float(row[INDEX["headPitch"]]), 3)) == np.sign(down)


def test_a_mood_changes_the_face_that_the_models_make() -> None:
    models = load_motion("cpu")
    silence = np.zeros(RATE * 6, np.float32)

    def smile(mood: str | None) -> float:
        stream = models.stream(seed=3)
        stream.push(silence[:RATE])
        if mood is not None:
            stream.set_mood(mood)
        return float(stream.push(silence)[-75:, INDEX["mouthSmileLeft"]].mean())

    assert smile("warm") > smile(None) + 0.02 and smile("serious") < smile("warm")
    with pytest.raises(ValueError, match="mood"):
        models.stream().set_mood("furious")


@pytest.fixture
def avatar(tmp_path: Path) -> LiveAvatar:
    path = tmp_path / "anna.vav"
    path.write_bytes(b"")
    (tmp_path / "broken.vav").write_bytes(b"")
    spec = SlotSpec(str(path), canvas="512x512")
    return LiveAvatar(spec, FakePipelines())  # type: ignore[arg-type]


def test_another_framing_and_a_broken_avatar(avatar: LiveAvatar, tmp_path: Path) -> None:
    told: list[str] = []
    avatar.change(told.append, framing="head")
    avatar.settle(10)
    assert avatar.spec.framing == "head" and not told
    avatar.change(told.append, bundle=str(tmp_path / "broken.vav"))
    avatar.settle(10)
    assert "cannot be shown" in told[0] and avatar.spec.bundle.endswith("anna.vav")
    avatar.close()


class Stage:
    """What the face looks at and presses."""

    def __init__(self) -> None:
        self.figures = Figures(level=0.5)
        self.muted = False
        self.delay_ms = 98.0
        self.stopped = threading.Event()
        self.source = types.SimpleNamespace(paused=False)
        self.pressed: list[tuple[str, Any]] = []
        self.avatar = types.SimpleNamespace(
            loading=False,
            mood=lambda name: self.pressed.append(("mood", name)),
            change=lambda told, **fields: self.pressed.append(("change", fields)),
        )

    def problems(self) -> list[str]:
        return ["The microphone is gone."]

    def stop(self) -> None:
        self.stopped.set()


def test_keys_do_what_the_face_says() -> None:
    stage, slides = Stage(), []
    choices = Choices([("Anna", "a.vav"), ("Ben", "b.vav")])
    console = Console(record=True, width=100, force_terminal=True)
    face = Face(
        stage,  # type: ignore[arg-type]
        choices,
        ["Sound: VisavisMicrophone."],
        lambda: slides.append(1),
        console,
    )
    for key in ("m", " ", "n", "o", "f", "a", "x", ""):
        face.press(key)
    assert stage.muted and stage.source.paused and slides == [1]
    assert stage.pressed == [
        ("mood", "warm"),
        ("change", {"framing": "photo"}),
        ("change", {"bundle": "b.vav"}),
    ]
    console.print(face.draw())
    text = console.export_text()
    for words in ("muted", "98 ms", "Ben, warm, photo", "VisavisMicrophone", "is gone", "q quit"):
        assert words in text
    face.press("q")
    assert stage.stopped.is_set()
