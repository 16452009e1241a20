"""Two participants of one room without a LiveKit server: byte streams, RPC and published tracks."""

from __future__ import annotations

import asyncio
import itertools
from types import SimpleNamespace
from typing import Any

from livekit import rtc


class Publication(SimpleNamespace):
    async def wait_for_subscription(self) -> None:
        """Somebody watches at once."""


class Reader:
    def __init__(self, number: int, attributes: dict[str, str]) -> None:
        self.info = SimpleNamespace(attributes=attributes, stream_id=str(number))
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue()

    def __aiter__(self) -> Reader:
        return self

    async def __anext__(self) -> bytes:
        if (data := await self.queue.get()) is None:
            raise StopAsyncIteration
        return data


class Writer:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def write(self, data: bytes) -> None:
        await self._reader.queue.put(data)

    async def aclose(self) -> None:
        await self._reader.queue.put(None)


class Participant:
    """Local in its own room, remote in the other's."""

    _numbers = itertools.count()

    def __init__(self, room: Room, identity: str) -> None:
        self.room, self.identity = room, identity
        self.kind = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
        self.state = rtc.ParticipantState.PARTICIPANT_STATE_ACTIVE
        self.attributes: dict[str, str] = {}
        self.track_publications: dict[str, Any] = {}
        self._rpc_handlers: dict[str, Any] = {}

    async def publish_track(self, track: Any, options: Any) -> Publication:
        made = Publication(kind=track.kind, track=track, subscribed=True)
        self.track_publications[str(track.kind)] = made
        self.room.emit("local_track_published", made, track)
        for other in self.room.others.values():
            other.emit("track_published", made, self)
        return made

    def register_rpc_method(self, name: str, handler: Any) -> None:
        self._rpc_handlers[name] = handler

    async def perform_rpc(self, *, destination_identity: str, method: str, payload: str) -> str:
        await asyncio.sleep(0)
        other = self.room.others[destination_identity].local_participant
        data = rtc.RpcInvocationData(
            request_id=str(next(self._numbers)),
            caller_identity=self.identity,
            payload=payload,
            response_timeout=5.0,
        )
        return str(other._rpc_handlers[method](data))

    async def stream_bytes(
        self, *, name: str, topic: str, destination_identities: list[str], attributes: dict
    ) -> Writer:
        reader = Reader(next(self._numbers), attributes)
        for identity in destination_identities:
            self.room.others[identity].handlers[topic](reader, self.identity)
        return Writer(reader)


class Room(rtc.EventEmitter[str]):
    def __init__(self, identity: str) -> None:
        super().__init__()
        self.name = "a room"
        self.connected = True
        self.local_participant = Participant(self, identity)
        self.others: dict[str, Room] = {}
        self.handlers: dict[str, Any] = {}

    def isconnected(self) -> bool:
        return self.connected

    @property
    def remote_participants(self) -> dict[str, Participant]:
        return {name: room.local_participant for name, room in self.others.items()}

    def register_byte_stream_handler(self, topic: str, handler: Any) -> None:
        self.handlers[topic] = handler

    def meet(self, other: Room) -> None:
        for here, there in ((self, other), (other, self)):
            here.others[there.local_participant.identity] = there
        self.emit("participant_active", other.local_participant)
        other.emit("participant_active", self.local_participant)

    async def disconnect(self) -> None:
        self.connected = False
        for other in self.others.values():
            other.others.pop(self.local_participant.identity, None)
            other.emit("participant_disconnected", self.local_participant)
        self.others.clear()
