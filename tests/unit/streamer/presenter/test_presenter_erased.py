"""A face that was erased leaves the virtual camera as well, by whatever process it was erased."""

from __future__ import annotations

import time
from pathlib import Path

from tests.fakes.fake_pipeline import FakePipelines
from visavis.streamer.presenter.engine import LiveAvatar
from visavis.streamer.worker.pipeline.pipeline import DRAWN, SlotSpec


def seconds_of(avatar: LiveAvatar, count: int) -> None:
    for second in range(count):
        for frame in range(second * 25, second * 25 + 25):
            avatar.release(frame)
        avatar.settle(10)


def test_what_is_erased_is_shown_no_longer(tmp_path: Path) -> None:
    bundle = tmp_path / "anna.vav"
    bundle.write_bytes(b"")
    avatar = LiveAvatar(SlotSpec(str(bundle), size=64), FakePipelines(), now=time.monotonic)
    avatar.start()
    try:
        seconds_of(avatar, 2)
        assert avatar.failure == ""
        bundle.unlink()
        seconds_of(avatar, 1)
        assert avatar.failure == "This avatar was deleted."
    finally:
        avatar.close()


def test_the_drawn_person_is_no_file_and_stays() -> None:
    avatar = LiveAvatar(SlotSpec(DRAWN, size=64), FakePipelines(), now=time.monotonic)
    avatar.start()
    seconds_of(avatar, 1)
    assert avatar.failure == ""
    avatar.close()
