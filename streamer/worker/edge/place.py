"""One session's place in whatever worker is active, and what becomes of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from enum import Enum, auto
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from visavis.streamer.worker import protocol
from visavis.streamer.worker.pipeline.pipeline import SlotSpec
from visavis.streamer.worker.protocol import Kind, Message, Packet, control


class SlotLife(Enum):
    """What becomes of a session's place."""

    OPENING = auto()  # for the first time
    OPEN = auto()
    LOST = auto()  # it was open, and is being opened again
    FAILED = auto()
    CLOSED = auto()


class SlotListener(Protocol):
    """Who uses a slot."""

    def on_packet(self, packet: Packet) -> None:
        """Take an encoded picture."""

    def on_drawn(self, frame: int) -> None:
        """Learn that the picture of a frame waits for its tick."""

    def on_worker(self, state: str) -> None:
        """Learn that the worker was ``lost`` or has ``recovered``."""

    def on_slot_failed(self, reason: str) -> None:
        """Learn that the slot cannot be brought back."""

    def on_avatar(self, avatar_id: str, state: str, error: str) -> None:
        """Learn that another avatar is ``ready`` or ``failed``."""

    def on_motion(self, frame: int, values: NDArray[np.float32]) -> None:
        """Take a frame's coefficients, asked for by :meth:`WorkerSlot.motion`."""


class Keeper(Protocol):
    """Who owns the worker processes: the supervisor."""

    def send(self, message: Message) -> None:
        """Send to the active worker, if there is one."""

    def release(self, slot: WorkerSlot) -> None:
        """Take a slot back."""


class WorkerSlot:
    """One session's place in the worker; survives the worker."""

    def __init__(self, keeper: Keeper, index: int, spec: SlotSpec, listener: SlotListener) -> None:
        self.index = index
        self.spec = spec
        self.listener = listener
        self.life = SlotLife.OPENING
        self.epoch = 0  # of the opening that messages belong to
        self.settled = asyncio.Event()  # no longer opening for the first time
        self.reopenings = 0
        self.kbps: int | None = None  # what was asked for, if not the spec's
        self._motion = False
        self._pictures = ""  # the file that pictures are put into as well
        self._look = (0.0, 0.0)  # where the avatar is turned
        self._keeper = keeper

    def pcm(self, position: int, samples: NDArray[np.int16]) -> None:
        """Send sound, mono int16 at 16 kHz."""
        self._send_open(protocol.pcm_message(self.index, position, samples))

    def heard(self, position: int, samples: NDArray[np.int16]) -> None:
        """Send the other side's sound, mono int16 at 16 kHz."""
        self._send_open(protocol.pcm_message(self.index, position, samples, Kind.HEARD))

    def motion(self, on: bool) -> None:
        """Ask for every frame's coefficients, here and after a restart, or no longer."""
        self._motion = on
        self._send_open(control(Kind.MOTION, self.index, on=on))

    def pictures(self, path: str) -> None:
        """Have pictures put into a ``PictureRing`` too, here and after a restart; "" stops it."""
        self._pictures = path
        self._send_open(control(Kind.PICTURES, self.index, path=path))

    def reopened(self) -> None:
        """Ask again for what a new worker does not know."""
        if self.kbps is not None:
            self.bitrate(self.kbps)
        if self._motion:
            self.motion(True)
        if self._pictures:
            self.pictures(self._pictures)
        if self._look != (0.0, 0.0):
            self.look(*self._look)

    def tick(self, frame: int) -> None:
        """Release a frame."""
        self._send_open(protocol.tick_message(self.index, frame))

    def keyframe(self) -> None:
        """Ask for a keyframe."""
        self._send(Message(Kind.KEYFRAME, self.index))

    def bitrate(self, kbps: int) -> None:
        """Ask for another bitrate, here and after a restart."""
        self.kbps = kbps
        self._send(control(Kind.BITRATE, self.index, kbps=kbps))

    def manner(self, mood: str, style: float) -> None:
        """Ask for another mood and style, here and after a restart."""
        self.spec = replace(self.spec, mood=mood, style=style)
        self._send(control(Kind.MANNER, self.index, mood=mood, style=style))

    def look(self, yaw: float, pitch: float) -> None:
        """Turn the avatar, here and after a restart; degrees as in ``Turn.to``."""
        self._look = yaw, pitch
        self._send(control(Kind.MANNER, self.index, yaw=yaw, pitch=pitch))

    def interrupt(self) -> None:
        """Barge-in."""
        self._send(Message(Kind.INTERRUPT, self.index))

    def show(self, avatar_id: str, bundle: str) -> None:
        """Switch the avatar."""
        self.spec = replace(self.spec, bundle=bundle)
        self._send(control(Kind.AVATAR, self.index, id=avatar_id, bundle=bundle))

    def close(self) -> None:
        """Give the place back."""
        self._keeper.release(self)

    def _send_open(self, message: Message) -> None:
        if self.life is SlotLife.OPEN:
            self._send(message)

    def _send(self, message: Message) -> None:
        self._keeper.send(message.of(self.epoch))
