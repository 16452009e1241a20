"""From an interruption to a still mouth, with the shipped models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.fakes.fake_pipeline import FakeDrawer
from tests.unit.models.motion.motion_sounds import speech_like
from visavis.models.coefficients import INDEX
from visavis.streamer.worker.pipeline.pipeline import RATE, AvatarPipeline, SlotSpec
from visavis.streamer.worker.slot import Slot

HOP = RATE // 100
UNDER_WAY = 2  # packets of speech that were in the network when the viewer interrupted
LIPS = [INDEX[n] for n in INDEX if n.startswith(("jawOpen", "mouth")) and "Smile" not in n]
MODELS_MS = 200  # of the 250; the rest is drawing, the ring, encoding and the viewer


class Talking:
    """A slot fed in packets of 10 ms, whose coefficients are kept as they become known."""

    def __init__(self, bundle: Path) -> None:
        from visavis.streamer.worker.pipeline.motion_models import load_motion

        motion = load_motion("cpu", 1).stream(fps=25, look_ahead_ms=80, seed=3)
        self.slot = Slot(
            SlotSpec(str(bundle), size=64), AvatarPipeline(motion, FakeDrawer("a", 64))
        )
        self.slot.share_motion(True)
        self.samples = 0
        self.lips: list[tuple[int, np.ndarray]] = []  # samples pushed so far, coefficients

    def hear(self, pcm: np.ndarray) -> None:
        for at in range(0, len(pcm) - HOP + 1, HOP):
            self.slot.feed(self.samples, (pcm[at : at + HOP] * 32_767).astype(np.int16))
            self.samples += HOP
            while self.slot.deadline() is not None:
                self.slot.work()
            for _, row in self.slot.take_motion(1 << 40):
                self.lips.append((self.samples, row[LIPS]))


@pytest.mark.parametrize("seconds", [0.9, 2.43, 3.1])
def test_the_mouth_is_still_in_time(tmp_path: Path, seconds: float) -> None:
    talking = Talking(tmp_path / "a.vav")
    voice = speech_like(seconds + 1.0, seed=4)
    stop = int(seconds * 100) * HOP
    talking.hear(voice[:stop])
    usual = float(np.percentile([np.abs(row).max() for _, row in talking.lips], 80))
    assert usual > 0.05, "it has been speaking"
    talking.slot.interrupt()
    interrupted = talking.samples
    talking.hear(voice[stop : stop + UNDER_WAY * HOP])
    talking.hear(np.zeros(RATE))
    after = [(at, row) for at, row in talking.lips if at > interrupted]
    rest = after[-1][1]
    before = [row for at, row in talking.lips if at <= interrupted][-1]
    assert np.abs(before - rest).max() > usual / 6, "the mouth was open"
    moving = [at for at, row in after if np.abs(row - rest).max() > usual / 6]
    still_at = max(moving, default=interrupted)
    next_frame = min((at for at, _ in after if at > still_at), default=still_at)
    assert (next_frame - interrupted) * 1000 / RATE <= MODELS_MS
