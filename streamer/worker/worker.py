"""A worker process: fixed slots, each with motion, renderer, ring and encoder.

Started by the edge process as ``python -P -m visavis.streamer.worker.worker`` with one end
of a Unix socket pair; it has no other way in or out. Three threads: the media thread reads messages
and encodes at ticks, the compute thread runs the models, the loader opens avatars beside the live
ones.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from visavis.streamer.errors import BadRequest
from visavis.streamer.media.picture_ring import PictureRing
from visavis.streamer.trust.marks.mark import Marking
from visavis.streamer.worker import protocol
from visavis.streamer.worker.frames import RawForm
from visavis.streamer.worker.memory import give_back, limit_arenas, settle
from visavis.streamer.worker.overload import OverloadGuard
from visavis.streamer.worker.pipeline.pipeline import (
    DRAWN,
    RATE,
    Pipelines,
    SlotSpec,
    WorkerSettings,
)
from visavis.streamer.worker.protocol import Decoder, Kind, Message, ProtocolError, control
from visavis.streamer.worker.scheduler import Scheduler
from visavis.streamer.worker.slot import Slot

logger = logging.getLogger(__name__)
_SWITCH_INTERVAL_S = 0.0005  # so that the media thread need not wait 5 ms for the interpreter lock
_CALIBRATION_FRAMES = 25
_LOADING_S = 4.0  # after an opening began, within which late frames are no overload


class Worker:
    """Serves one edge process until it hangs up.

    Args:
        connection: the socket to the edge process.
        settings: slots and engine.
        pipelines: what makes the models of a session.
    """

    def __init__(
        self, connection: socket.socket, settings: WorkerSettings, pipelines: Pipelines
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._marking = Marking(settings.label)
        self._pipelines = pipelines
        self._sending = threading.Lock()
        self._epochs: dict[int, int] = {}  # slot -> its present opening; none while it is closed
        self._changing = threading.Lock()  # of slots: closing must not meet a slot being filled
        self._scheduler = Scheduler(self._slot_failed, threads=settings.compute_threads)
        self._overload = OverloadGuard(time.monotonic)
        self._loading_until = 0.0
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="loader")
        self._measurer = ThreadPoolExecutor(1, thread_name_prefix="measurer")
        self._measuring: Future[None] | None = None
        self._somebody_came = threading.Event()  # and measuring is not worth their time
        self._handlers: dict[Kind, Callable[[Message], None]] = {
            Kind.OPEN: self._open,
            Kind.CLOSE: self._close,
            Kind.PCM: self._pcm,
            Kind.HEARD: self._heard,
            Kind.MOTION: self._motion,
            Kind.PICTURES: self._pictures,
            Kind.TICK: self._tick,
            Kind.KEYFRAME: lambda m: self._on_slot(m, Slot.request_keyframe),
            Kind.BITRATE: self._bitrate,
            Kind.MANNER: self._manner,
            Kind.INTERRUPT: lambda m: self._on_slot(m, Slot.interrupt),
            Kind.AVATAR: self._avatar,
            Kind.CALIBRATE: self._calibrate,
            Kind.PING: self._pong,
        }

    def run(self) -> None:
        """Serve until the edge process closes the connection or asks to shut down."""
        self._scheduler.start()
        light = self._pipelines.light
        self._send(control(Kind.READY, pid=os.getpid(), slots=self._settings.slots, light=light))
        decoder = Decoder()
        try:
            while data := self._connection.recv(1 << 16):
                for message in decoder.feed(data):
                    if message.kind is Kind.SHUTDOWN:
                        return
                    self._handle(message)
        except (ConnectionError, ProtocolError) as error:
            logger.info("connection ended: %s", error)
        finally:
            self._scheduler.stop()
            self._somebody_came.set()
            self._loader.shutdown(wait=False, cancel_futures=True)
            self._measurer.shutdown(wait=False, cancel_futures=True)

    def _handle(self, message: Message) -> None:
        handler = self._handlers.get(message.kind)
        if handler is None or message.slot >= self._settings.slots:
            raise ProtocolError(f"A worker does not take {message.kind.name}.")
        try:
            handler(message)
        except ProtocolError:
            raise
        except Exception as error:  # an encoder's bug must stay in its slot
            logger.exception("slot %d failed", message.slot)
            if self._is_present(message):
                self._scheduler.remove(message.slot)
            self._say_failed(message.slot, message.epoch, error)

    def _send(self, message: Message) -> None:
        with self._sending:
            self._connection.sendall(message.encode())

    def _slot_failed(self, index: int, slot: Slot, error: Exception) -> None:
        self._say_failed(index, slot.epoch, error)

    def _say_failed(self, index: int, epoch: int, error: Exception) -> None:
        words = f"{type(error).__name__}: {error}"
        self._send(control(Kind.SLOT_FAILED, index, error=words).of(epoch))

    def _say_drawn(self, index: int, epoch: int, frame: int) -> None:
        with contextlib.suppress(OSError):  # the edge has gone, which the media thread will see
            self._send(protocol.drawn_message(index, frame).of(epoch))

    def _is_present(self, message: Message) -> bool:
        """Whether a message means the slot's present opening, not one that has ended."""
        return self._epochs.get(message.slot) == message.epoch

    def _pong(self, message: Message) -> None:
        effort, full = self._overload.effort, self._overload.exhausted
        self._send(
            control(Kind.PONG, busy_s=self._scheduler.busy_s, effort=effort.name, exhausted=full)
        )

    def _on_slot(self, message: Message, action: Callable[[Slot], None]) -> None:
        slot = self._scheduler.get(message.slot)
        if slot is not None and slot.epoch == message.epoch:
            action(slot)
            self._scheduler.wake()

    def _open(self, message: Message) -> None:
        spec = SlotSpec.from_json(message.json())
        index = message.slot
        epoch = message.epoch
        self._somebody_came.set()
        with self._changing:
            self._epochs[index] = epoch
            self._scheduler.remove(index)
        self._loading_until = time.monotonic() + _LOADING_S

        def load() -> None:
            try:
                raw: RawForm | None = "i420" if spec.codec == "RAW" else None
                slot = Slot(
                    spec,
                    self._pipelines.open(spec),
                    epoch=epoch,
                    raw=raw,
                    drawn=lambda frame: self._say_drawn(index, epoch, frame),
                    marking=self._marking,
                )
            except Exception as error:  # a broken bundle must not take the worker down
                logger.error("slot %d could not be opened: %s", index, error)
                self._say_failed(index, epoch, error)
                return
            with self._changing:
                if self._epochs.get(index) != epoch:
                    return  # closed, or opened for somebody else, while this was loading
                slot.ease(self._overload.effort)
                self._scheduler.put(index, slot)
            self._send(control(Kind.OPENED, index).of(epoch))

        self._loader.submit(load)

    def _close(self, message: Message) -> None:
        with self._changing:
            if not self._is_present(message):
                return  # of an opening that has made place for another one already
            del self._epochs[message.slot]
            self._scheduler.remove(message.slot)
        if not self._epochs:
            self._overload.rest()
        self._loader.submit(self._tidy)

    def _tidy(self) -> None:
        if self._scheduler.idle:
            give_back()

    def _pcm(self, message: Message) -> None:
        position, samples = protocol.read_pcm(message)
        self._on_slot(message, lambda slot: slot.feed(position, samples))

    def _heard(self, message: Message) -> None:
        samples = protocol.read_pcm(message)[1]
        self._on_slot(message, lambda slot: slot.hear_other(samples))

    def _motion(self, message: Message) -> None:
        on = message.json().get("on") is True
        self._on_slot(message, lambda slot: slot.share_motion(on))

    def _pictures(self, message: Message) -> None:
        """Put every picture into shared memory as well, or no longer."""
        path = str(message.json().get("path", ""))
        try:
            ring = PictureRing(Path(path), writes=True) if path else None
        except BadRequest as error:  # who looks there sees none; the session has its other viewers
            logger.error("slot %d gives no pictures: %s", message.slot, error)
            return
        self._on_slot(message, lambda slot: slot.share_pictures(ring))

    def _tick(self, message: Message) -> None:
        frame = protocol.read_tick(message)
        slot = self._scheduler.get(message.slot)
        if slot is None or slot.epoch != message.epoch:
            return
        before = slot.stale
        packet = slot.tick(frame)
        if packet is not None:
            self._scheduler.wake()  # a tick makes room for a picture
            self._send(packet.message(message.slot).of(message.epoch))
            # An avatar being loaded costs everybody a few frames and says nothing of later.
            loading = time.monotonic() < self._loading_until
            if self._overload.tick(slot.stale > before and not loading):
                self._ease_all()
        for number, values in slot.take_motion(frame):
            said = protocol.coefficients_message(message.slot, number, values)
            self._send(said.of(message.epoch))

    def _ease_all(self) -> None:
        effort = self._overload.effort
        logger.warning("effort is now %s for %d sessions", effort.name, self._scheduler.count)
        for slot in self._scheduler.slots():
            slot.ease(effort)

    def _bitrate(self, message: Message) -> None:
        kbps = int(message.json().get("kbps", 0))
        self._on_slot(message, lambda slot: slot.set_bitrate(kbps))

    def _manner(self, message: Message) -> None:
        """Take a mood and a style, or a direction to look into."""
        said = message.json()
        if "mood" in said:
            mood, style = str(said["mood"]), float(said["style"])
            self._on_slot(message, lambda slot: slot.set_mood(mood, style))
        if "yaw" in said:
            yaw, pitch = float(said["yaw"]), float(said["pitch"])
            self._on_slot(message, lambda slot: slot.look(yaw, pitch))

    def _avatar(self, message: Message) -> None:
        values = message.json()
        slot, index = self._scheduler.get(message.slot), message.slot
        if slot is None or slot.epoch != message.epoch:
            return

        def load() -> None:
            try:
                spec = slot.spec
                slot.show(self._pipelines.drawer(str(values["bundle"]), spec.size, spec.view))
            except Exception as error:
                logger.error("avatar of slot %d could not be loaded: %s", index, error)
                state = {"state": "failed", "error": str(error)}
            else:
                state = {"state": "ready"}
                self._scheduler.wake()
            said = control(Kind.AVATAR_STATE, index, id=values.get("id", ""), **state)
            self._send(said.of(message.epoch))

        self._loader.submit(load)

    def _calibrate(self, message: Message) -> None:
        values = message.json()
        if self._measuring is not None and not self._measuring.done():
            return
        self._somebody_came.clear()

        def measure() -> None:
            spec = SlotSpec.from_json(values)
            try:
                cost = time_pipeline(self._pipelines, spec, self._somebody_came.is_set)
            except Exception as error:
                logger.warning("calibration failed: %s", error)
                return
            if cost is not None:
                self._send(control(Kind.CALIBRATED, frame_ms=cost * 1e3))

        self._measuring = self._measurer.submit(measure)


def time_pipeline(
    pipelines: Pipelines, spec: SlotSpec, give_up: Callable[[], bool] = lambda: False
) -> float | None:
    """Return the median seconds of processor time that one frame costs, encoding included.

    None if ``give_up`` said so meanwhile.
    """
    slot = Slot(spec, pipelines.open(spec), time.thread_time)
    rng = np.random.default_rng(0)
    block = RATE // spec.fps
    noise = (rng.standard_normal(block * _CALIBRATION_FRAMES) * 2000).astype(np.int16)
    costs: list[float] = []
    frame = 0
    for start in range(0, len(noise), block):
        if give_up():
            return None
        slot.feed(start, noise[start : start + block])
        began = time.thread_time()
        while slot.deadline() is not None:
            slot.work()
        if slot.tick(frame) is not None:
            costs.append(time.thread_time() - began)
            frame += 1
    return float(np.median(costs))


def warm_up(pipelines: Pipelines, settings: WorkerSettings) -> None:
    """Draw a few frames of the drawn person, so that compiled code is there for the first session.

    Never of an avatar: one that crashes what draws it would keep every server from starting.
    """
    try:
        time_pipeline(pipelines, SlotSpec(bundle=DRAWN, size=settings.size))
    except Exception as error:  # the first session is slower then
        logger.warning("warm-up failed: %s", error)


def serve(make_pipelines: Callable[[WorkerSettings], Pipelines], *, warm: bool = True) -> None:
    """Run the process: read the command line, load, say ready, serve.

    Args:
        make_pipelines: loads the models.
        warm: draw before saying that sessions may come.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--settings", default="{}")
    args = parser.parse_args()
    limit_arenas()
    logging.basicConfig(
        level=os.environ.get("VISAVIS_WORKER_LOG", "WARNING"),
        format="%(asctime)s %(levelname)s worker %(name)s: %(message)s",
    )
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the edge's to handle
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    settings = WorkerSettings(**json.loads(args.settings))
    connection = socket.socket(fileno=args.fd)
    try:
        pipelines = make_pipelines(settings)
    except Exception as error:  # whatever is missing, the edge can say it in a sentence
        logger.debug("not started", exc_info=True)
        with contextlib.suppress(OSError):  # who asked may have been told to stop meanwhile
            connection.sendall(control(Kind.FAILED, error=str(error) or repr(error)).encode())
        sys.exit(3)
    if warm:
        warm_up(pipelines, settings)
    settle()  # what is loaded stays; collections look at sessions only and take no frame's time
    with contextlib.suppress(OSError):  # the edge is gone before it could be told anything
        Worker(connection, settings, pipelines).run()


def _real(settings: WorkerSettings) -> Pipelines:
    from visavis.streamer.worker.pipeline.pipeline import AvatarPipelines

    return AvatarPipelines(settings)


if __name__ == "__main__":
    serve(_real)
    os._exit(0)  # nothing to save, and a stuck model thread must not keep the process
