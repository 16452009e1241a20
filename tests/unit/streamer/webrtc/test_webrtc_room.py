"""What reaches into aiortc and aioice: the self-test, the first hello, the router, the sockets."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import textwrap
import weakref
from typing import Any

import pytest
from aiortc.rtcdtlstransport import RTCDtlsParameters
from aiortc.rtp import HeaderExtensions, RtpPacket

from visavis.streamer.commands import doctor
from visavis.streamer.config import Config
from visavis.streamer.errors import BadRequest
from visavis.streamer.http import serve
from visavis.streamer.webrtc import connection, dtls
from visavis.streamer.webrtc.dtls import MAX_SOURCES, BoundedRouter, Certificate, DtlsTransport
from visavis.streamer.webrtc.ice.agent import IceAgent
from visavis.streamer.webrtc.ice.sockets import Binding


def test_the_libraries_are_those_it_was_made_for() -> None:
    assert connection.self_test() == ""


@pytest.mark.parametrize(
    ("made_for", "names", "word"),
    [
        ({"aiortc": "9.9", "aioice": "0.13"}, {}, "aiortc 9.9 and aioice 0.13, but aiortc"),
        ({}, {connection.RTCPeerConnection: ("noSuchThing",)}, "noSuchThing is not there"),
    ],
)
def test_other_libraries_are_refused_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, made_for: dict, names: dict, word: str
) -> None:
    if made_for:
        monkeypatch.setattr(connection, "MADE_FOR", made_for)
    if names:
        monkeypatch.setattr(connection, "_NAMES", names)
    sentence = connection.self_test()
    assert word in sentence and sentence.endswith(".") and sentence.count(". ") == 0
    (shown,) = [check for check in doctor.network(Config()) if check.name == "WebRTC"]
    assert shown.verdict == "fail" and shown.detail == sentence
    with pytest.raises(BadRequest, match="was made for"):
        serve.run_server(Config())


async def test_a_section_that_takes_nothing_in_keeps_little() -> None:
    """aiortc keeps 1000 objects to estimate the line of each picture's section."""
    peer = connection.MediaConnection(Binding())
    receiver: Any = peer.addTransceiver("video", direction="sendonly").receiver
    estimator = weakref.ref(receiver._RTCRtpReceiver__remote_bitrate_estimator)
    assert estimator() is not None, "as aiortc makes it"
    connection.drain_receiver(receiver)
    assert estimator() is None
    await peer.close()


class SilentIce:
    """A transport on which nobody answers."""

    role = "controlled"

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    async def _send(self, data: bytes) -> None:
        self.sent.append(data)

    async def _recv(self) -> bytes:
        await asyncio.Event().wait()
        raise AssertionError


async def test_the_first_hello_is_said_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that posts first and listens then would wait for OpenSSL's second otherwise."""
    monkeypatch.setattr(dtls, "_AGAIN_S", (0.0, 0.0, 0.0))
    ice = SilentIce()
    certificate = Certificate.generateCertificate()
    transport = DtlsTransport(ice, [certificate])
    transport._set_role("client")
    prints = certificate.getFingerprints()
    starting = asyncio.ensure_future(transport.start(RTCDtlsParameters(prints, "server")))
    async with asyncio.timeout(5):
        while len(ice.sent) < 4:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    assert len(set(ice.sent)) == 1 and ice.sent[0][0] == 22, "the same handshake record"
    starting.cancel()


class Taker:
    """Stands for a receiver."""


def packet(ssrc: int, payload_type: int = 96, mid: str | None = None) -> RtpPacket:
    made = RtpPacket(payload_type=payload_type)
    made.ssrc, made.extensions = ssrc, HeaderExtensions(mid=mid)
    return made


def test_a_receiver_keeps_few_sources_and_the_busy_ones() -> None:
    router, receiver = BoundedRouter(), Taker()
    taker: Any = receiver
    router.receivers.add(taker)
    router.payload_type_table[96] = {taker}
    for ssrc in range(1000):
        assert router.route_rtp(packet(7)) is taker
        assert router.route_rtp(packet(1000 + ssrc)) is taker
    assert len(router.ssrc_table) <= MAX_SOURCES and 7 in router.ssrc_table


def test_sections_with_the_same_codec_are_told_apart_by_their_mid() -> None:
    """A second microphone whose source the offer did not name was dropped."""
    router = BoundedRouter()
    takers: list[Any] = [Taker(), Taker()]
    for mid, taker in zip("ab", takers, strict=True):
        router.mid_table[mid] = taker
    router.payload_type_table[96] = set(takers)
    assert router.route_rtp(packet(1)) is None
    assert router.route_rtp(packet(1, mid="b")) is takers[1]
    assert router.route_rtp(packet(1)) is takers[1], "learnt"
    assert router.route_rtp(packet(2, 97, "a")) is None, "not a codec of it"


async def test_what_is_closed_stays_closed() -> None:
    agent = IceAgent(Binding(loopback_only=True))
    await agent.gather_candidates()
    sockets = agent.sockets
    assert {sock.getsockname()[0] for sock in sockets} >= {"127.0.0.1"}
    await agent.close()
    assert all(sock.fileno() == -1 for sock in sockets)
    with pytest.raises(ConnectionError):
        await agent.recv()
    with pytest.raises(ConnectionError):
        await agent.restart("abcd", "0123456789abcdef012345")


# Two machines joined by a cable, in namespaces of their own.
TWO_MACHINES = textwrap.dedent(
    """
    set -e
    unshare --net sleep 30 & other=$!
    until [ "$(readlink /proc/$other/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do :; done
    ip link add va type veth peer name vb netns $other
    ip link set lo up; ip addr add 10.9.8.1/24 dev va; ip link set va up
    nsenter --net=/proc/$other/ns/net sh -c 'ip addr add 10.9.8.2/24 dev vb; ip link set vb up'
    "$PYTHON" -c "$HERE" "nsenter --net=/proc/$other/ns/net $PYTHON -c"
    kill $other
    """
)
HERE = textwrap.dedent(
    """
    import select, shlex, socket, subprocess, sys
    from visavis.streamer.webrtc.ice.sockets import Binding

    SAY = "import socket, sys; s = socket.socket(type=2)\\n" \\
        "for _ in range(3): s.sendto(sys.argv[1].encode(), ('10.9.8.1', int(sys.argv[2])))"
    for loopback_only in (False, True):
        sock = Binding(loopback_only).open("10.9.8.1")
        port = str(sock.getsockname()[1])
        heard = set()
        for who, command in (("far", shlex.split(sys.argv[1])), ("near", [sys.executable, "-c"])):
            subprocess.run([*command, SAY, who, port], check=True)
        while select.select([sock], [], [], 0.5)[0]:
            heard.add(sock.recv(10).decode())
        print(loopback_only, *sorted(heard))
    """
)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="namespaces are Linux's")
def test_with_http_on_the_loopback_media_hear_this_machine_only() -> None:
    if os.geteuid() or not all(map(shutil.which, ("ip", "unshare", "nsenter"))):
        pytest.skip("two namespaces need root and iproute2")
    made = subprocess.run(
        ["unshare", "--net", "sh", "-c", TWO_MACHINES],
        env={**os.environ, "PYTHON": sys.executable, "HERE": HERE},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert made.returncode == 0, made.stderr
    assert made.stdout.splitlines() == ["False far near", "True near"]
