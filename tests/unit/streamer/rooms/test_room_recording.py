"""Recordings: both tracks in step, readable however they end, for those only who agreed."""

from __future__ import annotations

import asyncio
import shutil
import stat
import threading
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from visavis.streamer.errors import NotFound
from visavis.streamer.media.encoder import Codec, VideoEncoder, to_yuv
from visavis.streamer.rooms.recording import recording as recordings_module
from visavis.streamer.rooms.recording.film import Film, suffix_for
from visavis.streamer.rooms.recording.recording import Recording
from visavis.streamer.rooms.recording.shelf import Recordings
from visavis.streamer.webrtc.feed import Feed, FeedClock
from visavis.streamer.webrtc.rtp.tracks import OpusEncoder

FPS = 25
FIRST = 37  # frame that the session is at when it is recorded


class Person:
    """Flashes white and clicks at the start of every second of media time."""

    def __init__(self, codec: Codec = "H264") -> None:
        self.encoder = VideoEncoder(codec, size=256, fps=FPS, bitrate_kbps=600)
        self.opus = OpusEncoder()
        clock = FeedClock(lambda: 0.0, lambda: 0, lambda: 0.0)
        self.feed = Feed(codec, FPS, clock, self.encoder.request_keyframe, 0)
        self.frame = FIRST

    def go_on(self, seconds: float) -> None:
        for _ in range(round(seconds * FPS)):
            flash = self.frame % FPS == 0
            picture = np.full((256, 256, 3), 230 if flash else 20, np.uint8)
            data, keyframe = self.encoder.encode(to_yuv(picture))
            self.feed.picture(self.frame, data, keyframe)
            for part in range(4):
                start = (self.frame * 4 + part) * 480
                samples = np.zeros(480, np.int16)
                if flash:
                    samples[:] = 12_000 * np.sin(2 * np.pi * 1000 * np.arange(480) / 48_000)
                self.feed.sound(self.opus.encode(samples), start - self.opus.look_ahead)
            self.frame += 1


def watch(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the seconds of the flashes and of the clicks."""
    with av.open(str(path)) as file:
        flashes = [
            float(frame.time)
            for frame in file.decode(video=0)
            if frame.to_ndarray(format="gray").mean() > 120
        ]
    clicks: list[float] = []
    with av.open(str(path)) as file:
        for block in file.decode(audio=0):
            loud = np.abs(block.to_ndarray()).max() > 0.1
            start = float(block.time)
            if loud and (not clicks or start - clicks[-1] > 0.5):
                clicks.append(start)
    return np.array(flashes), np.array(clicks)


@pytest.fixture
def shelves(tmp_path: Path) -> Recordings:
    return Recordings(tmp_path)


def begin(shelves: Recordings, **more: Any) -> Recording:
    shelf = shelves.make("tea", "sitting")
    return Recording(shelf, FPS, lambda: {"ada", "ben"}, str.title, more.get("now", lambda: 0.0))


async def written(running: Recording) -> None:
    """Wait until everything so far has gone to the disk."""
    done = threading.Event()
    running._writer._work.put(done.set)
    assert await asyncio.to_thread(done.wait, 30)


@pytest.mark.parametrize("codec", ["H264", "VP8"])
async def test_picture_and_sound_are_in_step(shelves: Recordings, codec: Codec) -> None:
    person, running = Person(codec), begin(shelves)
    person.go_on(0.4)
    running.follow({"ada": person.feed})
    person.go_on(3.2)
    await running.end()
    (shelf,) = shelves.of("tea")
    (file,) = shelf.files
    assert file.file.endswith(suffix_for(codec)) and (file.person, file.name) == ("ada", "Ada")
    flashes, clicks = watch(shelves.file(shelf, file.file).path)
    assert len(flashes) == len(clicks) == 4
    assert np.abs(flashes - clicks).max() <= 0.02, "they lie together to a block of sound"
    assert shelf.agreed == {"ada", "ben"} and shelf.size() > 1000 and not shelf.problem


async def test_a_crash_costs_the_last_second_at_most(shelves: Recordings, tmp_path: Path) -> None:
    person, running = Person(), begin(shelves)
    running.follow({"ada": person.feed})
    person.go_on(5.0)
    await written(running)
    torn = tmp_path / "torn.mp4"
    (shelf,) = shelves.of("tea")
    shutil.copy(shelf.folder / shelf.files[0].file, torn)  # as the disk has it in this moment
    with av.open(str(torn)) as file:
        seconds = max(float(frame.time) for frame in file.decode(video=0))
    assert seconds >= 3.5
    await running.end()


async def test_who_comes_back_gets_a_second_file(shelves: Recordings) -> None:
    time = [0.0]
    running = begin(shelves, now=lambda: time[0])
    first, again = Person(), Person()
    running.follow({"ada": first.feed})
    first.go_on(1)
    running.follow({})
    assert not first.feed.is_heard
    time[0] = 7.5
    running.follow({"ada": again.feed})
    again.go_on(1)
    await running.end()
    (shelf,) = shelves.of("tea")
    assert [(f.person, f.starts_s) for f in shelf.files] == [("ada", 0.0), ("ada", 7.5)]
    assert shelf.seconds == 7.5


async def test_files_are_their_owners_alone_and_gone_when_erased(shelves: Recordings) -> None:
    person, running = Person(), begin(shelves)
    running.follow({"ada": person.feed})
    person.go_on(1)
    await running.end()
    (shelf,) = shelves.of("tea")
    path = shelves.file(shelf, shelf.files[0].file).path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(shelf.folder.stat().st_mode) == 0o700
    for wrong in ("../rooms.key", "recording.json", "02.mp4", "01.mp4/x"):
        with pytest.raises(NotFound):
            shelves.file(shelf, wrong)
    shelves.erase(shelf)
    assert not shelf.folder.exists() and shelves.of("tea") == []
    with pytest.raises(NotFound):
        shelves.get(shelf.id)


async def test_a_full_disk_ends_it_with_a_sentence(
    shelves: Recordings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordings_module, "_LEAST_FREE", 1 << 62)
    person, running = Person(), begin(shelves)
    running.follow({"ada": person.feed})
    person.go_on(3)
    await written(running)
    assert "nearly full" in running.problem
    await running.end()
    (shelf,) = shelves.of("tea")
    assert "nearly full" in shelf.problem
    watch(shelf.folder / shelf.files[0].file)


def test_a_damaged_record_is_skipped(shelves: Recordings) -> None:
    shelf = shelves.make("tea", "sitting")
    shelf.save()
    (shelf.folder / "recording.json").write_bytes(b"{")
    assert shelves.of("tea") == []


def test_a_film_needs_a_keyframe(tmp_path: Path) -> None:
    with pytest.raises((av.FFmpegError, ValueError, IndexError)):
        Film((tmp_path / "x.mp4").open("xb", buffering=0), ".mp4", b"nonsense", 0, FPS)
