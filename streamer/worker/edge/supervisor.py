"""Keeps a worker running: a standby takes over when it dies, and every session goes on."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from enum import Enum, auto
from typing import Any

from visavis.streamer.clock import Clock
from visavis.streamer.errors import AtCapacity, Unprocessable
from visavis.streamer.worker import protocol
from visavis.streamer.worker.edge.client import COMMAND, WorkerClient
from visavis.streamer.worker.edge.place import SlotLife, SlotListener, WorkerSlot
from visavis.streamer.worker.pipeline.pipeline import SlotSpec, WorkerSettings
from visavis.streamer.worker.protocol import Kind, Message, Packet, control

logger = logging.getLogger(__name__)
PING_S = 0.5
SILENT_S = 3.0  # without any message, a worker counts as hung
HUNG_S = 5.0  # one piece of work must not take longer
OPEN_S = 20.0
READY_S = 300.0  # from start to ready; the first time, inner loops are compiled
STANDBY_DELAY_S = 1.0  # lets the first worker have the machine while it loads
MAX_REOPENINGS = 3  # of one slot whose models keep failing
_SMOOTHING = 0.02
MAX_STANDBY_WAIT_S = 60.0  # between tries to have a second worker
CRASH_WINDOW_S = 30.0
CRASH_LIMIT = 6  # crashes within the window, beyond which starting waits


class Life(Enum):
    """What a supervisor is doing."""

    STARTING = auto()
    UP = auto()
    TAKING_OVER = auto()
    CLOSED = auto()


class Supervisor:
    """Owns the worker processes.

    Args:
        settings: what workers are started with.
        clock: monotonic time.
        command: how to start one.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        clock: Clock,
        *,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.restarts = 0
        self.frame_ms: float | None = None  # what a frame costs, measured in quiet
        self.live_frame_ms: float | None = None  # and what it costs live, smoothed
        self.effort = "FULL"  # what every frame gets now
        self.exhausted = False  # whether nothing is left to give under overload
        self._settings = settings
        self._clock = clock
        self._command = tuple(command)
        self._active: WorkerClient | None = None
        self._standby: WorkerClient | None = None
        self._starting: WorkerClient | None = None  # waited for, to become the active one
        self._loop: asyncio.AbstractEventLoop | None = None
        self._given_up = False
        self._slots: dict[int, WorkerSlot] = {}
        self._free = deque(range(settings.slots))
        self._tasks: set[asyncio.Task[None]] = set()
        self._heard_at = 0.0
        self._crashes: deque[float] = deque(maxlen=CRASH_LIMIT)
        self._standby_failures = 0  # in a row
        self._epochs = itertools.count(1)
        self._light: bool | None = None  # what the first worker decided, for all after it
        self.life = Life.STARTING
        self._up = asyncio.Event()

    # ------------------------------------------------------------------ life

    async def start(self) -> None:
        """Start the first worker and return when it is ready.

        Raises:
            ConnectionError: it ended before it was, or nobody wants it any more.
        """
        self._loop = asyncio.get_running_loop()
        client = await self._spawn()
        await self._get_ready(client)
        self._take(client)
        self._task(self._watch())
        self._task(self._prepare_standby(STANDBY_DELAY_S))

    def give_up(self) -> None:
        """Let :meth:`start` fail at once; may be called from a signal handler."""
        self._given_up = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop_starting)

    def _stop_starting(self) -> None:
        if self._starting is not None:
            self._starting.abandon("it was told to stop.")

    async def close(self) -> None:
        """End every process and task."""
        self._live(Life.CLOSED)
        clients = (self._active, self._standby, self._starting)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(client.close() for client in clients if client is not None))

    @property
    def up(self) -> bool:
        """Whether a worker is ready."""
        return self.life is Life.UP

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids, the active worker's first."""
        clients = [c for c in (self._active, self._standby) if c is not None and not c.gone]
        return tuple(c.pid for c in clients)

    @property
    def has_standby(self) -> bool:
        """Whether a second worker is ready to take over."""
        standby = self._standby
        return standby is not None and not standby.gone and standby.ready.done()

    # ------------------------------------------------------------------ slots

    async def open(self, spec: SlotSpec, listener: SlotListener) -> WorkerSlot:
        """Open a slot and return when its models are loaded.

        Raises:
            AtCapacity: every slot is taken, or no worker is up.
            Unprocessable: the avatar cannot be loaded.
        """
        if not self._free:
            raise AtCapacity("Every place on this server is taken.")
        slot = WorkerSlot(self, self._free.popleft(), spec, listener)
        self._slots[slot.index] = slot
        try:
            await asyncio.wait_for(self._up.wait(), OPEN_S)
            if slot.epoch == 0:  # else a worker that came up meanwhile has been asked
                self._ask_to_open(slot)
            await asyncio.wait_for(slot.settled.wait(), OPEN_S)
        except TimeoutError as error:
            self.release(slot)
            raise AtCapacity("The avatar took too long to load; try again.") from error
        except BaseException:
            self.release(slot)
            raise
        if slot.life is SlotLife.FAILED:
            self.release(slot)
            raise Unprocessable(
                "The avatar cannot be loaded; make it again from its photo.", code="avatar-damaged"
            )
        return slot

    def release(self, slot: WorkerSlot) -> None:
        """Give a slot back."""
        if self._slots.get(slot.index) is slot:
            del self._slots[slot.index]
            self._free.append(slot.index)
            slot.life = SlotLife.CLOSED
            self.send(Message(Kind.CLOSE, slot.index).of(slot.epoch))

    def _ask_to_open(self, slot: WorkerSlot) -> None:
        slot.epoch = next(self._epochs)
        self.send(control(Kind.OPEN, slot.index, **slot.spec.to_json()).of(slot.epoch))

    def send(self, message: Message) -> None:
        """Send to the active worker, if there is one."""
        if self._active is not None and self.up:
            self._active.send(message)

    def calibrate(self, spec: SlotSpec) -> None:
        """Have the cost of a frame measured; only while nobody is live."""
        if not self._slots:
            self.send(control(Kind.CALIBRATE, **spec.to_json()))

    # ------------------------------------------------------------------ messages

    def _received(self, client: WorkerClient, message: Message) -> None:
        if client is not self._active:
            return
        self._heard_at = self._clock.now()
        if message.kind is Kind.PONG:
            said = message.json()
            self.effort, self.exhausted = (
                str(said.get("effort", "FULL")),
                said.get("exhausted") is True,
            )
            if float(said.get("busy_s", 0)) > HUNG_S:
                logger.error("worker %d hangs", client.pid)
                client.kill()
            return
        if message.kind is Kind.CALIBRATED:
            self.frame_ms = float(message.json()["frame_ms"])
            return
        slot = self._slots.get(message.slot)
        if slot is not None and slot.epoch == message.epoch:
            self._received_by(slot, message)

    def _received_by(self, slot: WorkerSlot, message: Message) -> None:
        if message.kind is Kind.PACKET:
            if slot.life is SlotLife.OPEN:
                packet = protocol.read_packet(message)
                self._observe(packet)
                slot.listener.on_packet(packet)
        elif message.kind is Kind.DRAWN:
            if slot.life is SlotLife.OPEN:
                slot.listener.on_drawn(protocol.read_tick(message))
        elif message.kind is Kind.COEFFICIENTS:
            if slot.life is SlotLife.OPEN:
                slot.listener.on_motion(*protocol.read_coefficients(message))
        elif message.kind is Kind.OPENED:
            before, slot.life = slot.life, SlotLife.OPEN
            slot.settled.set()
            if before is SlotLife.LOST:
                slot.reopened()
                slot.listener.on_worker("recovered")
        elif message.kind is Kind.AVATAR_STATE:
            values = message.json()
            slot.listener.on_avatar(values["id"], values["state"], values.get("error", ""))
        elif message.kind is Kind.SLOT_FAILED:
            self._slot_failed(slot, str(message.json().get("error", "")))

    def _observe(self, packet: Packet) -> None:
        """Follow what frames cost live, for as long as nothing was measured in quiet."""
        if not packet.repeated:
            last = packet.busy_ms if self.live_frame_ms is None else self.live_frame_ms
            self.live_frame_ms = last + _SMOOTHING * (packet.busy_ms - last)

    def _slot_failed(self, slot: WorkerSlot, error: str) -> None:
        logger.error("slot %d failed: %s", slot.index, error)
        if slot.life is SlotLife.OPENING:
            slot.life = SlotLife.FAILED
            slot.settled.set()
            return
        slot.reopenings += 1
        if slot.reopenings > MAX_REOPENINGS:
            slot.life = SlotLife.FAILED
            slot.listener.on_slot_failed("The avatar stopped working; start again.")
            return
        self._mark_lost(slot)
        self._ask_to_open(slot)

    def _mark_lost(self, slot: WorkerSlot) -> None:
        if slot.life is SlotLife.OPEN:
            slot.life = SlotLife.LOST
            slot.listener.on_worker("lost")

    # ------------------------------------------------------------------ processes

    async def _spawn(self) -> WorkerClient:
        settings = self._settings
        if settings.light is None:
            settings = replace(settings, light=self._light)

        def received(message: Message) -> None:
            self._received(client, message)

        client = WorkerClient(received, self._client_lost)
        await client.start(self._command, settings)
        return client

    async def _get_ready(self, client: WorkerClient) -> None:
        """Wait until a worker has loaded its models.

        Raises:
            ConnectionError: it ended before, or took too long and was ended.
        """
        self._starting = client
        if self._given_up:
            self._stop_starting()
        try:
            said = await asyncio.wait_for(asyncio.shield(client.ready), READY_S)
        except TimeoutError:
            client.kill()
            raise ConnectionError(f"The avatar engine was not ready in {READY_S:g} s.") from None
        self._starting = None  # only now: whoever closes while it is waited for has to end it
        if self._light is None and isinstance(light := said.get("light"), bool):
            self._light = light

    def _take(self, client: WorkerClient) -> None:
        """Let a ready worker serve."""
        self._active = client
        self._heard_at = self._clock.now()
        self._live(Life.UP)

    def _live(self, life: Life) -> None:
        if self.life is not Life.CLOSED:
            self.life = life
        if self.life is Life.UP:
            self._up.set()
        else:
            self._up.clear()

    def _client_lost(self, client: WorkerClient) -> None:
        self._task(client.reap())
        if self.life is Life.CLOSED:
            return
        if client is self._standby:
            self._standby = None
            # One that dies before it is ready will do so again: each try waits twice as long.
            self._standby_failures = 0 if client.was_ready else self._standby_failures + 1
            wait_s = min(MAX_STANDBY_WAIT_S, PING_S * 2**self._standby_failures)
            self._task(self._prepare_standby(wait_s))
        elif client is self._active and self.up:
            self.restarts += 1
            self._crashes.append(self._clock.now())
            self._live(Life.TAKING_OVER)
            for slot in list(self._slots.values()):
                self._mark_lost(slot)
            self._task(self._take_over())

    async def _take_over(self) -> None:
        """Put the standby, or a new worker, in the place of the lost one and reopen every slot."""
        while self.life is not Life.CLOSED:
            client, self._standby = self._standby, None
            try:
                await self._breathe()
                if client is None or client.gone:
                    client = await self._spawn()
                await self._get_ready(client)
            except (ConnectionError, OSError) as error:
                logger.error("a worker could not be started: %s", error)
                self._crashes.append(self._clock.now())
                continue
            break
        else:
            return
        self._take(client)
        for slot in list(self._slots.values()):
            if slot.life is not SlotLife.FAILED:
                self._ask_to_open(slot)
        self._task(self._prepare_standby(STANDBY_DELAY_S))

    async def _breathe(self) -> None:
        """Wait when workers crash faster than anybody could use them."""
        now = self._clock.now()
        if len(self._crashes) == CRASH_LIMIT and now - self._crashes[0] < CRASH_WINDOW_S:
            await self._clock.sleep_until(now + CRASH_WINDOW_S / CRASH_LIMIT)

    async def _prepare_standby(self, delay_s: float) -> None:
        await self._clock.sleep_until(self._clock.now() + delay_s)
        await self._breathe()
        if self._standby is None and self.life is not Life.CLOSED:
            try:
                self._standby = await self._spawn()
            except OSError as error:
                logger.error("a standby worker could not be started: %s", error)

    async def _watch(self) -> None:
        """Ping the active worker and end it when it answers no more."""
        while True:
            await self._clock.sleep_until(self._clock.now() + PING_S)
            if not self.up or self._active is None:
                continue
            if self._clock.now() - self._heard_at > SILENT_S:
                logger.error("worker %d is silent", self._active.pid)
                self._heard_at = self._clock.now()
                self._active.kill()
            else:
                self._active.send(Message(Kind.PING))

    def _task(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_log_failure)


def _log_failure(task: asyncio.Task[None]) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        if (error := task.exception()) is not None:
            logger.error("a task of the supervisor failed", exc_info=error)
