"""``python -m tests.fakes.processes.hostile URL COUNT``: peers that mean harm, one after another.

Half of them connect properly, send rubbish in every form and leave without a word; half send
mutations of an offer. Prints how many of the former were let in.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys

import httpx
from aiortc.rtp import RtpPacket

from tests.fakes.fake_microphone import FakeMicrophone, Viewer, beeps


async def flood(viewer: Viewer, sources: int) -> None:
    """Send RTP as from so many microphones, in payload types that were and were not agreed."""
    transport = viewer.pc.getTransceivers()[0].sender.transport
    for number in range(sources):
        for payload_type in (96, 0):
            packet = RtpPacket(
                payload_type=payload_type, sequence_number=number, timestamp=number * 960
            )
            packet.ssrc, packet.payload = 1000 + number, b"\xf8\xff\xfe"
            await transport._send_rtp(packet.serialize())
        if number % 50 == 49:
            await asyncio.sleep(0.01)


async def call(http: httpx.AsyncClient, rng: random.Random) -> bool:
    """Connect, send rubbish, vanish; return whether it was let in."""
    viewer = Viewer(http, FakeMicrophone(beeps(5)))
    response = await viewer.offer()
    if response.status_code == 503:
        await viewer.close()
        return False
    await viewer.accept(response)
    await viewer.until(lambda: len(viewer.frames) >= 2, 20)
    # The channel opens when the line is quick with it, which need not be before the first picture.
    await viewer.until(lambda: viewer.control.readyState == "open", 20)
    await flood(viewer, 100)
    for _ in range(60):
        viewer.control.send(rng.choice(("{", "[" * 4000, json.dumps({"type": "x" * 200}))))
        viewer.control.send(rng.randbytes(200))
    (agent,) = viewer.pc.agents
    for _ in range(300):
        await agent.send(bytes([rng.choice((0x00, 0x16, 0x80, 0xFF))]) + rng.randbytes(100))
    viewer.vanish()
    await viewer.close()
    return True


async def offers(http: httpx.AsyncClient, rng: random.Random) -> None:
    """Send mutations of an offer, as new ones and as later ones of the same connection."""
    viewer = Viewer(http, FakeMicrophone(beeps(1)))
    made: list[str] = [(await viewer.offer()).json().get("pc_id", "")]
    lines = viewer.pc.localDescription.sdp.splitlines()
    for number in range(15):
        changed = list(lines)
        for _ in range(rng.randrange(1, 5)):
            place = rng.randrange(len(changed))
            cut = changed[place][: -rng.randrange(1, 9)]
            changed[place] = rng.choice((rng.choice(lines), "a=mid:7", cut))
        body = {"sdp": "\r\n".join(changed), "type": "offer", "pc_id": made[number % len(made)]}
        response = await http.post("/api/offer", json=body)
        assert response.status_code in (200, 400, 404, 409, 503), response.text
        made.append(response.json().get("pc_id", ""))
    for pc_id in filter(None, made):
        await http.delete(f"/api/sessions/{pc_id}")
    await viewer.close()


async def main(url: str, count: int) -> None:
    """Do harm ``count`` times."""
    rng, let_in = random.Random(0), 0
    async with httpx.AsyncClient(base_url=url, timeout=20) as http:
        for number in range(count):
            if number % 2:
                await offers(http, rng)
            else:
                let_in += await call(http, rng)
    sys.stdout.write(f"{let_in}\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
