"""STUN and TURN servers of one's own: what clients are told, whom this side asks and how long."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.fake_avatars import FakeAvatars
from tests.fakes.fake_clock import FakeClock
from visavis.streamer.config import Config, IceConfig, ServerConfig, load_config
from visavis.streamer.errors import BadRequest
from visavis.streamer.http.app import _binding, create_app
from visavis.streamer.webrtc.ice import servers as ice_servers
from visavis.streamer.webrtc.ice.agent import IceAgent
from visavis.streamer.webrtc.ice.servers import IceServer, IceServers
from visavis.streamer.webrtc.ice.sockets import Binding
from visavis.streamer.webrtc.sdp.signaling import parse_candidate

STUN, TURN = "stun:stun.example:3479", "turn:turn.example?transport=tcp"
NOW = 1_700_000_000.0
# printf 1700043200:visavis | openssl dgst -sha1 -hmac northremembers -binary | base64
MADE = ("1700043200:visavis", "4HCL1jR+vIfuTlgWcLmYdgkg+9A=")
TOKEN = "correct horse battery"
ASKS = {"authorization": f"Bearer {TOKEN}"}


def servers(clock: FakeClock | None = None, **ice: Any) -> IceServers:
    return IceServers(IceConfig(**ice), clock or FakeClock(), lambda: NOW)


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("stun:a.example", ("stun", "a.example", 3478, "udp")),
        ("turn:10.0.0.1:80?transport=tcp", ("turn", "10.0.0.1", 80, "tcp")),
        ("turns:[2001:db8::1]", ("turns", "2001:db8::1", 5349, "tcp")),
    ],
)
def test_an_address_is_read(url: str, wanted: tuple[str, str, int, str]) -> None:
    server = IceServer.parse(url)
    assert (server.scheme, server.host, server.port, server.transport) == wanted


def test_clients_are_told_a_password_that_lasts() -> None:
    (stun, turn) = servers(servers=(STUN, TURN), secret="northremembers").described()
    assert stun == {"urls": [STUN]}
    assert turn == {"urls": [TURN], "username": MADE[0], "credential": MADE[1]}
    link = servers(servers=(TURN,), username="ada", password="lovelace").links()
    (found,) = httpx.Response(200, headers={"link": ", ".join(link)}).links.values()
    assert found == {
        "url": TURN, "rel": "ice-server", "username": "ada", "credential": "lovelace",
        "credential-type": "password",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"SERVERS": "turn.example:3478"}, "turn:turn.example.org:3478"),
        ({"SERVERS": "turn:turn.example"}, "a secret, or a username and password"),
        ({"SERVERS": TURN, "SECRET": "s", "USERNAME": "a", "PASSWORD": "b"}, "not both"),
        ({"SERVERS": TURN, "USERNAME": "a"}, "together"),
        ({"SERVERS": TURN, "SECRET": 'a"b'}, "without quotes"),
    ],
)
def test_settings_that_cannot_work_are_one_sentence(settings: dict[str, str], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        load_config(environ={f"VISAVIS_ICE_{name}": value for name, value in settings.items()})


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that takes questions and answers none."""
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        yield sock


def asked(sock: socket.socket) -> int:
    count = 0
    try:
        while sock.recv(2048):
            count += 1
    except BlockingIOError:
        return count


async def test_a_silent_server_is_left_alone_for_a_while(
    silent: socket.socket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ice_servers, "ANSWER_S", 0.05)
    clock = FakeClock()
    url = f"turn:127.0.0.1:{silent.getsockname()[1]}"
    binding = Binding(servers=servers(clock, servers=(url,), secret="s"))

    async def gather() -> set[str]:
        agent = IceAgent(binding)
        await agent.gather_candidates()
        found = {candidate.type for candidate in agent.local_candidates}
        await agent.close()
        return found

    assert await gather() == {"host"} and asked(silent) == 1
    assert f"{url} gave no address: no answer in time" in caplog.text
    assert await gather() == {"host"} and asked(silent) == 0
    await clock.advance(ice_servers.REST_S + 1)
    assert await gather() == {"host"} and asked(silent) == 1


FAR = "candidate:1 1 udp 1 8.8.8.8 53 typ host"
MANY = FAR.replace("8.8.8.8", "224.0.0.1")


@pytest.mark.parametrize(
    ("text", "far"), [(FAR, True), (FAR.replace("8.8.8.8", "224.0.0.1"), False)]
)
def test_only_with_a_server_are_addresses_of_the_world_checked(text: str, far: bool) -> None:
    assert parse_candidate(text) is None
    assert (parse_candidate(text, anywhere=True) is not None) is far


@pytest.mark.parametrize(
    ("ice", "asks"),
    [
        ({}, False),
        ({"servers": (STUN,)}, True),
        ({"servers": (STUN,), "relay": False}, False),
    ],
)
def test_nobody_is_asked_unless_the_settings_say_so(ice: dict[str, Any], asks: bool) -> None:
    config = Config(ice=IceConfig(**ice))
    binding = _binding(config, IceServers(config.ice, FakeClock(), lambda: NOW))
    assert (binding.speaks_first, binding.loopback_only) == (asks, not asks)


def client(folder: Path, **ice: Any) -> httpx.AsyncClient:
    config = Config(data_dir=folder, server=ServerConfig(token=TOKEN), ice=IceConfig(**ice))
    app = create_app(config, avatars=FakeAvatars(folder, "anna"))  # type: ignore[arg-type]
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080")


async def test_by_default_there_are_none(tmp_path: Path) -> None:
    async with client(tmp_path) as http:
        answer = await http.get("/api/ice", headers=ASKS)
        assert answer.json() == {"iceServers": [], "ttl": ice_servers.NO_SERVERS_S}
        assert "link" not in (await http.options("/api/whip", headers=ASKS)).headers


async def test_only_those_who_may_connect_are_told(tmp_path: Path) -> None:
    async with client(tmp_path, servers=(STUN, TURN), secret="northremembers") as http:
        assert (await http.get("/api/ice")).status_code == 401
        answer = await http.get("/api/ice", headers=ASKS)
        assert [server["urls"] for server in answer.json()["iceServers"]] == [[STUN], [TURN]]
        assert answer.headers["cache-control"] == "no-store"
        assert (await http.options("/api/whip")).status_code == 401
        assert TURN in (await http.options("/api/whip", headers=ASKS)).headers["link"]
        # A view id is what opens a WHEP address; a made-up one opens nothing.
        assert "link" not in (await http.options("/api/whep/made-up")).headers
        started = (await http.post("/start", headers=ASKS, json={})).json()
        assert [s["urls"] for s in started["iceConfig"]["iceServers"]] == [[STUN], [TURN]]


async def test_a_room_tells_whoever_takes_a_seat(tmp_path: Path) -> None:
    async with client(tmp_path, servers=(TURN,), secret="northremembers") as http:
        await http.post("/api/rooms", headers=ASKS, json={"title": "tea"})
        entry = {"name": "Ada", "part": "listener"}
        assert (await http.post("/api/rooms/tea/people", json=entry)).status_code in (401, 403)
        given = await http.post("/api/rooms/tea/people", headers=ASKS, json=entry)
        assert [server["urls"] for server in given.json()["iceServers"]] == [[TURN]]
        assert given.headers["cache-control"] == "no-store"
