"""A slot and the scheduler, with a pipeline whose every value is known."""

from __future__ import annotations

import threading
from pathlib import Path

import av
import numpy as np
import pytest

from tests.fakes.fake_pipeline import FakeDrawer, FakePipelines
from visavis.models.motion.stream import eager_ms
from visavis.streamer.worker.pipeline.pipeline import RATE, AvatarPipeline, SlotSpec
from visavis.streamer.worker.scheduler import Scheduler
from visavis.streamer.worker.slot import Slot

STEP = RATE // 25
AHEAD = (80 - eager_ms(25, 80)) * RATE // 1000


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    path = tmp_path / "anna.vav"
    path.write_bytes(b"")
    return str(path)


def make(bundle: str, **changes: object) -> Slot:
    spec = SlotSpec(bundle, size=256, **changes)  # type: ignore[arg-type]
    return Slot(spec, FakePipelines().open(spec))


def drain(slot: Slot) -> None:
    while slot.deadline() is not None:
        slot.work()


def feed(slot: Slot, start: int, count: int, level: int = 0) -> None:
    slot.feed(start, np.full(count, level, np.int16))


def test_a_frame_is_there_once_its_sound_and_the_look_ahead_are(bundle: str) -> None:
    slot = make(bundle)
    feed(slot, 0, STEP + AHEAD - 1)
    drain(slot)
    assert slot.tick(0) is None
    feed(slot, STEP + AHEAD - 1, 1)
    drain(slot)
    packet = slot.tick(0)
    assert packet is not None and packet.keyframe and not packet.repeated and packet.frame == 0


def test_chunking_does_not_matter(bundle: str) -> None:
    rng = np.random.default_rng(0)
    sound = (rng.standard_normal(RATE) * 3000).astype(np.int16)
    outputs = []
    for chunk in (7, 160, 641, RATE):
        slot = make(bundle)
        slot.share_motion(True)
        for at in range(0, RATE, chunk):
            slot.feed(at, sound[at : at + chunk])
            slot.work()
        outputs.append([values.tobytes() for _, values in slot.take_motion(RATE)])
    assert all(o == outputs[0] for o in outputs) and len(outputs[0]) == 23


def test_a_slot_that_opens_late_starts_at_the_next_frame(bundle: str) -> None:
    slot = make(bundle)
    feed(slot, 10 * STEP + 5, 2 * STEP + AHEAD)
    drain(slot)
    packet = slot.tick(11)
    assert packet is not None and packet.late == 0 and not packet.repeated


def test_missing_and_repeated_sound_keep_the_count(bundle: str) -> None:
    slot = make(bundle)
    feed(slot, 0, STEP)
    feed(slot, 3 * STEP, STEP)  # two frames of sound never came
    feed(slot, 3 * STEP, STEP)  # and this one twice
    feed(slot, 4 * STEP, AHEAD)
    drain(slot)
    assert slot.known == 4


def test_interrupt_drops_what_waits_but_not_the_count(bundle: str) -> None:
    slot = make(bundle)
    feed(slot, 0, 2 * STEP + AHEAD, 8000)
    slot.work()
    slot.work()
    feed(slot, 2 * STEP + AHEAD, STEP, 8000)
    slot.interrupt()
    assert slot.tick(0) is None, "the picture that waited is gone"
    drain(slot)
    packet = slot.tick(2)
    assert packet is not None and packet.frame == 2
    level = decode(packet.data)[128, 128]
    quiet = make(bundle)
    feed(quiet, 0, STEP + AHEAD)
    drain(quiet)
    resting = quiet.tick(0)
    assert resting is not None
    assert abs(int(level) - int(decode(resting.data)[128, 128])) < 4


def decode(data: bytes) -> np.ndarray:
    decoder = av.CodecContext.create("h264", "r")
    frames = [*decoder.decode(av.Packet(data)), *decoder.decode(None)]
    return frames[0].to_ndarray()[:256]


def test_backlog_is_silenced_not_kept(bundle: str) -> None:
    slot = make(bundle)
    for i in range(40):
        feed(slot, i * RATE // 20, RATE // 20, 9000)
    assert all(not s.any() for _, s in list(slot._inbox)[:-1])
    drain(slot)
    assert slot.known == (2 * RATE - AHEAD) // STEP


def test_frames_behind_the_ticks_are_not_drawn(bundle: str) -> None:
    slot = make(bundle)
    feed(slot, 0, STEP + AHEAD)
    drain(slot)
    slot.tick(0)
    slot.tick(10)
    feed(slot, STEP + AHEAD, 12 * STEP)
    drain(slot)
    packet = slot.tick(11)
    assert packet is not None and not packet.repeated
    assert packet.dropped >= 8


def test_a_new_avatar_begins_with_a_keyframe(bundle: str) -> None:
    slot = make(bundle)
    feed(slot, 0, 3 * STEP + AHEAD)
    slot.work()
    slot.work()
    assert slot.tick(0).keyframe  # type: ignore[union-attr]
    slot.show(FakeDrawer("zoe", 256))  # type: ignore[arg-type]
    drain(slot)
    assert slot.tick(1).keyframe  # type: ignore[union-attr]
    assert not slot.tick(2).keyframe  # type: ignore[union-attr]


def test_the_most_urgent_slot_is_served_first(bundle: str) -> None:
    scheduler = Scheduler(lambda index, slot, error: None)
    early, late = make(bundle), make(bundle)
    for slot in (early, late):
        feed(slot, 0, STEP + AHEAD)
        drain(slot)
    late.tick(0)
    early.tick(5)  # five frames further: its next frame is overdue
    for slot in (early, late):
        feed(slot, STEP + AHEAD, STEP)
    scheduler.put(0, late)
    scheduler.put(1, early)
    chosen = scheduler.pick()
    assert chosen is not None and chosen[0] == 1


def test_two_threads_work_on_two_slots_and_never_both_on_one(bundle: str) -> None:
    meeting, alone = threading.Barrier(2, timeout=5), threading.Event()
    inside: set[Slot] = set()

    class Meeting:
        """Returns from work only when the other slot is being worked on too."""

        def __init__(self, slot: Slot) -> None:
            self.slot, self.left = slot, 5

        def deadline(self) -> float | None:
            return 0.0 if self.left else None

        def work(self) -> None:
            assert self.slot not in inside, "a slot's models belong to one thread at a time"
            inside.add(self.slot)
            meeting.wait()
            self.left -= 1
            inside.discard(self.slot)
            if not self.left:
                alone.set()

    errors: list[Exception] = []
    scheduler = Scheduler(lambda index, slot, error: errors.append(error), threads=2)
    for index in (0, 1):
        scheduler.put(index, Meeting(make(bundle)))  # type: ignore[arg-type]
    scheduler.start()
    try:
        assert alone.wait(5) and not errors
    finally:
        scheduler.stop()


def test_a_model_that_raises_loses_its_slot_only(bundle: str, tmp_path: Path) -> None:
    broken = tmp_path / "raising.vav"
    broken.write_bytes(b"")
    failed = threading.Event()
    drawn = threading.Event()
    scheduler = Scheduler(lambda index, slot, error: failed.set())
    scheduler.start()
    try:
        scheduler.put(0, make(str(broken)))
        scheduler.put(1, make(bundle))
        for i in range(40):
            for index in (0, 1):
                slot = scheduler.get(index)
                if slot is not None:
                    feed(slot, i * STEP, STEP)
                    scheduler.wake()
            survivor = scheduler.get(1)
            assert survivor is not None
            if survivor.tick(i) is not None:
                drawn.set()
            if failed.wait(0.02) and drawn.is_set():
                break
        assert failed.is_set() and drawn.is_set()
        assert scheduler.get(0) is None and scheduler.get(1) is not None
    finally:
        scheduler.stop()


class CountingMotion:
    """Counts as the real stream does: from zero again after a reset."""

    fps = 25

    def __init__(self) -> None:
        self.received = self.emitted = 0

    def push(self, pcm: np.ndarray) -> np.ndarray:
        self.received += len(pcm)
        rows = 0
        while self.received >= (self.emitted + 1) * STEP + AHEAD:
            self.emitted += 1
            rows += 1
        return np.zeros((rows, 2), np.float32)

    def reset(self, shown: np.ndarray | None = None, ease_s: float = 0.0) -> None:
        self.received = self.emitted = 0


def test_the_pipeline_keeps_count_over_a_reset() -> None:
    pipeline = AvatarPipeline(CountingMotion(), FakeDrawer("x", 256))  # type: ignore[arg-type]
    total = frames = 0
    rng = np.random.default_rng(0)
    for i in range(200):
        count = int(rng.integers(1, 900))
        total += count
        frames += len(pipeline.push(np.zeros(count, np.float32)))
        if i % 17 == 0:
            pipeline.reset()
        assert frames == max(0, (total - AHEAD) // STEP)


def test_sound_far_ahead_keeps_every_picture_for_its_tick(bundle: str) -> None:
    slot = make(bundle)
    feed(slot, 0, STEP + AHEAD)
    drain(slot)
    slot.tick(0)
    feed(slot, STEP + AHEAD, 12 * STEP, 8000)  # four times what the ring holds
    drain(slot)
    for frame in range(1, 13):
        packet = slot.tick(frame)
        assert packet is not None and not packet.repeated and not packet.late, frame
        drain(slot)
    assert packet.dropped == 0


def test_an_interruption_shows_at_the_next_tick_however_far_ahead_sound_was(bundle: str) -> None:
    slot = make(bundle)
    feed(slot, 0, 9 * STEP + AHEAD, 8000)
    drain(slot)
    for frame in range(3):
        slot.tick(frame)
        drain(slot)
    slot.interrupt()
    drain(slot)
    packets = [slot.tick(3)]
    for frame in range(4, 9):
        drain(slot)
        packets.append(slot.tick(frame))
    assert all(p is not None and not p.repeated for p in packets)
    assert slot.known == 9
    feed(slot, 9 * STEP + AHEAD, STEP, 8000)
    drain(slot)
    following = slot.tick(9)
    assert following is not None and not following.repeated


def test_an_interruption_before_the_first_tick_makes_nothing_again(bundle: str) -> None:
    slot = make(bundle)
    feed(slot, 0, 9 * STEP + AHEAD, 8000)
    drain(slot)
    slot.interrupt()
    drain(slot)
    assert slot.known == 9 and slot.tick(4) is None
