"""Keeps a worker running: a standby takes over when it dies, and every session goes on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from visavis.streamer.clock import Clock
from visavis.streamer.errors import AtCapacity, Unprocessable
from visavis.streamer.worker import protocol
from visavis.streamer.worker.client import COMMAND, WorkerClient
from visavis.streamer.worker.pipeline import SlotSpec, WorkerSettings
from visavis.streamer.worker.protocol import Kind, Message, Packet, control

logger = logging.getLogger(__name__)
PING_S = 0.5
SILENT_S = 3.0  # without any message, a worker counts as hung
HUNG_S = 5.0  # one piece of work must not take longer
OPEN_S = 20.0
STANDBY_DELAY_S = 1.0  # lets the first worker have the machine while it loads
MAX_REOPENINGS = 3  # of one slot whose models keep failing
_SMOOTHING = 0.02
CRASH_WINDOW_S = 30.0
CRASH_LIMIT = 6  # crashes within the window, beyond which starting waits


class SlotListener(Protocol):
    """Who uses a slot."""

    def on_packet(self, packet: Packet) -> None:
        """Take an encoded picture."""

    def on_worker(self, state: str) -> None:
        """Learn that the worker was ``lost`` or has ``recovered``."""

    def on_slot_failed(self, reason: str) -> None:
        """Learn that the slot cannot be brought back."""

    def on_avatar(self, avatar_id: str, state: str, error: str) -> None:
        """Learn that another avatar is ``ready`` or ``failed``."""

    def on_motion(self, frame: int, values: NDArray[np.float32]) -> None:
        """Take a frame's coefficients, asked for by :meth:`WorkerSlot.motion`."""


class WorkerSlot:
    """One session's place in the worker; survives the worker."""

    def __init__(
        self, supervisor: Supervisor, index: int, spec: SlotSpec, listener: SlotListener
    ) -> None:
        self.index = index
        self.spec = spec
        self.listener = listener
        self.opened = asyncio.Event()
        self.failure = ""
        self.reopenings = 0
        self.lost = False
        self.kbps: int | None = None  # what was asked for, if not the spec's
        self._motion = False
        self._supervisor = supervisor

    def pcm(self, position: int, samples: NDArray[np.int16]) -> None:
        """Send sound, mono int16 at 16 kHz."""
        if self.opened.is_set():
            self._send(protocol.pcm_message(self.index, position, samples))

    def heard(self, position: int, samples: NDArray[np.int16]) -> None:
        """Send the other side's sound, mono int16 at 16 kHz."""
        if self.opened.is_set():
            self._send(protocol.pcm_message(self.index, position, samples, Kind.HEARD))

    def motion(self, on: bool) -> None:
        """Ask for every frame's coefficients, here and after a restart, or no longer."""
        self._motion = on
        if self.opened.is_set():
            self._send(control(Kind.MOTION, self.index, on=on))

    def reopened(self) -> None:
        """Ask again for what a new worker does not know."""
        if self.kbps is not None:
            self.bitrate(self.kbps)
        if self._motion:
            self.motion(True)

    def tick(self, frame: int) -> None:
        """Release a frame."""
        if self.opened.is_set():
            self._send(protocol.tick_message(self.index, frame))

    def keyframe(self) -> None:
        """Ask for a keyframe."""
        self._send(Message(Kind.KEYFRAME, self.index))

    def bitrate(self, kbps: int) -> None:
        """Ask for another bitrate, here and after a restart."""
        self.kbps = kbps
        self._send(control(Kind.BITRATE, self.index, kbps=kbps))

    def interrupt(self) -> None:
        """Barge-in."""
        self._send(Message(Kind.INTERRUPT, self.index))

    def show(self, avatar_id: str, bundle: str) -> None:
        """Switch the avatar."""
        self.spec = replace(self.spec, bundle=bundle)
        self._send(control(Kind.AVATAR, self.index, id=avatar_id, bundle=bundle))

    def close(self) -> None:
        """Give the place back."""
        self._supervisor.release(self)

    def _send(self, message: Message) -> None:
        self._supervisor.send(message)


class Supervisor:
    """Owns the worker processes.

    Args:
        settings: what workers are started with.
        clock: monotonic time.
        command: how to start one.
        warm: returns the bundle that a starting worker should warm up with, or an empty string.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        clock: Clock,
        *,
        command: Sequence[str] = COMMAND,
        warm: Callable[[], str] = lambda: "",
    ) -> None:
        self.restarts = 0
        self.frame_ms: float | None = None  # what a frame costs, measured in quiet
        self.live_frame_ms: float | None = None  # and what it costs live, smoothed
        self.effort = "FULL"  # what every frame gets now
        self.exhausted = False  # whether nothing is left to give under overload
        self._settings = settings
        self._clock = clock
        self._command = tuple(command)
        self._warm = warm
        self._active: WorkerClient | None = None
        self._standby: WorkerClient | None = None
        self._slots: dict[int, WorkerSlot] = {}
        self._free = deque(range(settings.slots))
        self._tasks: set[asyncio.Task[None]] = set()
        self._heard_at = 0.0
        self._crashes: deque[float] = deque(maxlen=CRASH_LIMIT)
        self._closing = False
        self._up = asyncio.Event()

    # ------------------------------------------------------------------ life

    async def start(self) -> None:
        """Start the first worker and return when it is ready.

        Raises:
            ConnectionError: it ended before it was.
        """
        self._active = await self._spawn()
        await self._active.ready
        self._heard_at = self._clock.now()
        self._up.set()
        self._task(self._watch())
        self._task(self._prepare_standby(STANDBY_DELAY_S))

    async def close(self) -> None:
        """End every process and task."""
        self._closing = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for client in (self._active, self._standby):
            if client is not None:
                await client.close()

    @property
    def up(self) -> bool:
        """Whether a worker is ready."""
        return self._up.is_set()

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
            self.send(control(Kind.OPEN, slot.index, **spec.to_json()))
            await asyncio.wait_for(slot.opened.wait(), OPEN_S)
        except TimeoutError as error:
            self.release(slot)
            raise AtCapacity("The avatar took too long to load; try again.") from error
        except BaseException:
            self.release(slot)
            raise
        if slot.failure:
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
            self.send(Message(Kind.CLOSE, slot.index))

    def send(self, message: Message) -> None:
        """Send to the active worker, if there is one."""
        if self._active is not None and self._up.is_set():
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
        if slot is None:
            return
        if message.kind is Kind.PACKET:
            if slot.opened.is_set():
                packet = protocol.read_packet(message)
                self._observe(packet)
                slot.listener.on_packet(packet)
        elif message.kind is Kind.COEFFICIENTS:
            if slot.opened.is_set():
                slot.listener.on_motion(*protocol.read_coefficients(message))
        elif message.kind is Kind.OPENED:
            slot.opened.set()
            if slot.lost:
                slot.lost = False
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
        if not slot.opened.is_set() and not slot.lost:
            slot.failure = error or "unknown"
            slot.opened.set()
            return
        slot.reopenings += 1
        if slot.reopenings > MAX_REOPENINGS:
            slot.listener.on_slot_failed("The avatar stopped working; start again.")
            return
        self._mark_lost(slot)
        self.send(control(Kind.OPEN, slot.index, **slot.spec.to_json()))

    def _mark_lost(self, slot: WorkerSlot) -> None:
        was_open = slot.opened.is_set()
        slot.opened.clear()
        if was_open and not slot.lost:
            slot.lost = True
            slot.listener.on_worker("lost")

    # ------------------------------------------------------------------ processes

    async def _spawn(self) -> WorkerClient:
        settings = replace(self._settings, warm=self._warm())

        def received(message: Message) -> None:
            self._received(client, message)

        client = WorkerClient(received, self._client_lost)
        await client.start(self._command, settings)
        return client

    def _client_lost(self, client: WorkerClient) -> None:
        self._task(self._reap(client))
        if self._closing:
            return
        if client is self._standby:
            self._standby = None
            self._task(self._prepare_standby(PING_S))
        elif client is self._active and self._up.is_set():
            self.restarts += 1
            self._crashes.append(self._clock.now())
            self._up.clear()
            for slot in list(self._slots.values()):
                self._mark_lost(slot)
            self._task(self._take_over())

    async def _take_over(self) -> None:
        """Put the standby, or a new worker, in the place of the lost one and reopen every slot."""
        while not self._closing:
            client, self._standby = self._standby, None
            try:
                await self._breathe()
                if client is None or client.gone:
                    client = await self._spawn()
                await client.ready
            except (ConnectionError, OSError) as error:
                logger.error("a worker could not be started: %s", error)
                self._crashes.append(self._clock.now())
                continue
            break
        self._active = client
        self._heard_at = self._clock.now()
        self._up.set()
        for slot in list(self._slots.values()):
            self.send(control(Kind.OPEN, slot.index, **slot.spec.to_json()))
        self._task(self._prepare_standby(STANDBY_DELAY_S))

    async def _breathe(self) -> None:
        """Wait when workers crash faster than anybody could use them."""
        now = self._clock.now()
        if len(self._crashes) == CRASH_LIMIT and now - self._crashes[0] < CRASH_WINDOW_S:
            await self._clock.sleep_until(now + CRASH_WINDOW_S / CRASH_LIMIT)

    async def _prepare_standby(self, delay_s: float) -> None:
        await self._clock.sleep_until(self._clock.now() + delay_s)
        await self._breathe()
        if self._standby is None and not self._closing:
            try:
                self._standby = await self._spawn()
            except OSError as error:
                logger.error("a standby worker could not be started: %s", error)

    async def _reap(self, client: WorkerClient) -> None:
        await client.reap()

    async def _watch(self) -> None:
        """Ping the active worker and end it when it answers no more."""
        while True:
            await self._clock.sleep_until(self._clock.now() + PING_S)
            if not self._up.is_set() or self._active is None:
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
