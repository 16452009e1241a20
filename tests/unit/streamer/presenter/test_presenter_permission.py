"""Whom a recorded presentation shows: nobody who did not agree to be recorded."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import av
import numpy as np

from tests.fakes.processes.fake_server import put_avatar
from tests.unit.streamer.presenter.test_presenter_direction import Stage
from visavis.streamer.avatars.store import AvatarStore
from visavis.streamer.config import LimitsConfig
from visavis.streamer.media.files.recorder import Recorder
from visavis.streamer.presenter.face import Choices, Face
from visavis.streamer.presenter.permission import Permission
from visavis.streamer.trust.consent import Purpose, Terms

SIDE = 64
NAMES = ("Ada", "Ben", "Cem")


def cast(folder: Path) -> tuple[AvatarStore, list[tuple[str, str]]]:
    """Ada and Cem agreed to everything, Ben to presenting alone."""
    people = [put_avatar(folder, name[0].lower(), name, "#777777") for name in NAMES]
    store = AvatarStore(folder, LimitsConfig(), 256)
    agree(store, people[1].id, "present")
    return store, [(one.name, store.bundle(one.id, "present")) for one in people]


def agree(store: AvatarStore, avatar_id: str, *purposes: Purpose) -> None:
    record = dataclasses.replace(store.get(avatar_id))
    store.consents.give(record, Terms(purposes=purposes))


def recorder_at(folder: Path) -> Recorder:
    recorder = Recorder(folder / "take.mp4", SIDE, SIDE, 25)
    for frame in range(25):
        put(recorder, frame)
    return recorder


def put(recorder: Recorder, frame: int) -> None:
    picture = np.full((SIDE * 3 // 2, SIDE), 100, np.uint8)
    recorder.put(frame, picture, np.zeros(1920, np.int16))


def test_who_may_not_be_recorded_is_left_out_and_the_show_goes_on(tmp_path: Path) -> None:
    store, bundles = cast(tmp_path)
    permission, stage = Permission(store.refusal), Stage()
    choices = Choices(bundles, refusal=permission.refuses)
    face = Face(stage, choices, [])  # type: ignore[arg-type]
    permission.recorder = recorder_at(tmp_path)
    face.press("a")
    assert stage.pressed == [] and choices.worn == {0}
    assert face.said.startswith("Ben is not shown: The consent for this avatar does not cover rec")
    face.press("a")  # again: whoever comes behind them
    assert stage.pressed == [("change", {"bundle": bundles[2][1]})] and face.said == ""
    face.press("a")
    face.press("a")
    assert face.said.startswith("Ben") and stage.pressed[1:] == [
        ("change", {"bundle": bundles[0][1]})
    ]
    assert not permission.ends(bundles[0][1]) and not permission.recorder.problem
    permission.recorder.close()


def test_without_a_recording_everybody_is_shown_who_may_be(tmp_path: Path) -> None:
    store, bundles = cast(tmp_path)
    choices = Choices(bundles, refusal=Permission(store.refusal).refuses)
    store.consents.withdraw("c" * 32)
    assert choices.step() == "" and choices.avatar == 1
    assert "was withdrawn" in choices.step() and choices.avatar == 1


def test_who_agrees_no_longer_to_be_recorded_ends_the_recording_alone(tmp_path: Path) -> None:
    store, bundles = cast(tmp_path)
    permission = Permission(store.refusal)
    permission.recorder = recorder = recorder_at(tmp_path)
    assert permission.ends(bundles[0][1]) == "" == recorder.problem
    while recorder.frames < 25:  # written by a thread of its own
        time.sleep(0.01)
    agree(store, "a" * 32, "present", "call")
    assert permission.ends(bundles[0][1]) == "", "the show goes on"
    assert recorder.problem.startswith("The recording take.mp4 has stopped: The consent for this")
    assert permission.refuses(bundles[1][1]) == "", "nobody is recorded any more"
    put(recorder, 25)
    recorder.close()
    assert recorder.frames == 25
    with av.open(str(tmp_path / "take.mp4")) as film:
        assert len(list(film.decode(video=0))) <= 25, "what was recorded under it stays"
    store.consents.withdraw("a" * 32)
    assert "withdrawn" in permission.ends(bundles[0][1])
