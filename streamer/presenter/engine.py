"""An avatar in this process: sound in, raw pictures at their ticks out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from visavis.models.motion.stream import eager_ms
from visavis.streamer.presenter.script.direction import DirectedPipeline
from visavis.streamer.trust.marks.mark import MARKED, Marking
from visavis.streamer.trust.sealed import file_of
from visavis.streamer.worker.frames import RawForm, Shown
from visavis.streamer.worker.pipeline.pipeline import DRAWN, Pipelines, SlotSpec
from visavis.streamer.worker.scheduler import Scheduler
from visavis.streamer.worker.slot import Slot

logger = logging.getLogger(__name__)


def _gone(bundle: str) -> str:
    return "" if file_of(bundle).is_file() else "This avatar was deleted."


class LiveAvatar:
    """One slot with a thread that draws it and one that loads what comes next.

    Args:
        spec: avatar, canvas and frame rate.
        pipelines: makes its models.
        form: of the pictures that come out.
        now: monotonic seconds.
        drawn: called when a picture has been drawn, on the thread that draws.
        marking: what every picture carries.
        refusal: why a bundle may not be shown any more, in a sentence; empty if it may.
    """

    def __init__(
        self,
        spec: SlotSpec,
        pipelines: Pipelines,
        *,
        form: RawForm = "i420",
        now: Callable[[], float] = time.monotonic,
        drawn: Callable[[], None] = lambda: None,
        marking: Marking = MARKED,
        refusal: Callable[[str], str] = _gone,
    ) -> None:
        self.spec = spec
        self.failure = ""
        self._refusal = refusal
        self._started = False
        self._pipelines = pipelines
        self._pipeline = DirectedPipeline(pipelines.open(spec), spec.fps, spec.style)
        self._slot = Slot(
            spec, self._pipeline, now, raw=form, drawn=lambda frame: drawn(), marking=marking
        )
        self._scheduler = Scheduler(self._failed, now)
        self._scheduler.put(0, self._slot)
        self._loader = ThreadPoolExecutor(1, "loader")
        self._loading: Future[None] | None = None
        self._looking: Future[None] = Future()
        self._looking.set_result(None)

    def start(self) -> None:
        """Start drawing."""
        self._started = True
        self._scheduler.start()

    def _failed(self, index: int, slot: Slot, error: Exception) -> None:
        self.failure = f"The avatar cannot be drawn any more: {error}"

    def feed(self, position: int, samples: NDArray[np.int16]) -> None:
        """Take mono int16 sound at 16 kHz whose first sample is at ``position``."""
        self._slot.feed(position, samples)
        self._scheduler.wake()

    @property
    def early_ms(self) -> int:
        """How much of the look-ahead its models do not wait for."""
        return eager_ms(self.spec.fps, self.spec.look_ahead_ms)

    def ready(self, frame: int) -> bool:
        """Whether the picture of a frame, or of a later one, is drawn."""
        return self._slot.ready(frame)

    def release(self, frame: int) -> Shown | None:
        """Return what frame number ``frame`` shows; None before the first picture."""
        if frame % (self.spec.fps // 2) == 0 and self._looking.done():
            self._looking = self._loader.submit(self._look_for_bundle)
        shown = self._slot.release(frame)
        self._scheduler.wake()  # a tick makes room for a picture
        return shown

    def _look_for_bundle(self) -> None:
        """Twice a second: a face that was erased or withdrawn, by whatever process, is gone."""
        if self.spec.bundle != DRAWN and (why := self._refusal(self.spec.bundle)):
            self.failure = why

    def look(self, where: str) -> None:
        """Look somewhere: ahead, left, right, up or down."""
        self._pipeline.look(where)

    def mood(self, name: str) -> None:
        """Go on in another mood."""
        self._pipeline.mood(name)

    @property
    def loading(self) -> bool:
        """Whether another avatar or framing is on its way."""
        return self._loading is not None and not self._loading.done()

    def change(self, told: Callable[[str], None], **fields: str) -> None:
        """Show another avatar or framing as soon as it is loaded; ``told`` hears what failed."""
        if self.loading:
            return
        wanted = replace(self.spec, **fields)  # type: ignore[arg-type]

        def load() -> None:
            try:
                drawer = self._pipelines.drawer(wanted.bundle, wanted.size, wanted.view)
            except Exception as error:  # a damaged bundle must not end the presentation
                logger.debug("not loaded", exc_info=True)
                told(f"That cannot be shown: {error}")
                return
            self.spec = wanted
            self._slot.show(drawer)
            self._scheduler.wake()

        self._loading = self._loader.submit(load)

    def settle(self, limit_s: float) -> None:
        """Wait until what is on its way is shown, or was refused.

        Raises:
            TimeoutError: it takes longer.
        """
        for task in (self._loading, self._looking):
            if task is not None:
                task.result(limit_s)

    def close(self) -> None:
        """Stop drawing."""
        self._loader.shutdown(wait=False, cancel_futures=True)
        if self._started:  # else something was missing before it began
            self._scheduler.stop()
