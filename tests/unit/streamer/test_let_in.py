"""A loop that was held up reads what has come meanwhile before it calls anything missing."""

from __future__ import annotations

import asyncio
import socket
import time

from visavis.streamer.tasks import let_in


class Inbox(asyncio.DatagramProtocol):
    """Keeps what comes."""

    def __init__(self) -> None:
        self.received: list[bytes] = []

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.received.append(data)


async def held_up(packets: int) -> tuple[Inbox, asyncio.DatagramTransport]:
    """Return a socket whose datagrams came while nobody could read."""
    loop = asyncio.get_running_loop()
    transport, inbox = await loop.create_datagram_endpoint(Inbox, local_addr=("127.0.0.1", 0))
    address = transport.get_extra_info("sockname")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for n in range(packets):
            sender.sendto(bytes([n]), address)
        time.sleep(0.01)  # noqa: ASYNC251  the loop is held up
    return inbox, transport


async def test_everything_that_came_during_a_stall_is_read() -> None:
    inbox, transport = await held_up(15)
    assert not inbox.received
    await let_in(0.15)
    assert [data[0] for data in inbox.received] == list(range(15))
    transport.close()


async def test_who_is_in_time_does_not_wait() -> None:
    inbox, transport = await held_up(3)
    await let_in(0.005)
    assert not inbox.received
    transport.close()
