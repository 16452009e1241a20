"""Where media sockets are bound and what viewers are told of it."""

from __future__ import annotations

import pytest

from tests.fakes.fake_clock import FakeClock
from visavis.streamer.config import Config, IceConfig, ServerConfig
from visavis.streamer.http.app import _binding
from visavis.streamer.webrtc.ice.agent import IceAgent
from visavis.streamer.webrtc.ice.servers import IceServers
from visavis.streamer.webrtc.ice.sockets import Binding


async def test_ports_stay_in_their_range() -> None:
    binding = Binding(loopback_only=True, ports=(42_000, 42_003))
    taken = [binding.open("127.0.0.1") for _ in range(4)]
    try:
        assert {sock.getsockname()[1] for sock in taken} == set(range(42_000, 42_004))
        with pytest.raises(OSError, match="in use"):
            binding.open("127.0.0.1")
    finally:
        for sock in taken:
            sock.close()


async def test_advertised_addresses_are_offered_with_the_port_behind_them() -> None:
    agent = IceAgent(Binding(loopback_only=True, advertise=("203.0.113.7", "2001:db8::7")))
    try:
        await agent.gather_candidates()
        mine = {c.host: c for c in agent.local_candidates}
        assert mine["203.0.113.7"].port == mine["127.0.0.1"].port
        assert mine["203.0.113.7"].type == "srflx"
        assert mine["203.0.113.7"].related_address == "127.0.0.1"
    finally:
        await agent.close()


@pytest.mark.parametrize(
    ("config", "here"),
    [
        (Config(), True),
        (Config(server=ServerConfig(host="0.0.0.0")), False),
        (Config(server=ServerConfig(host_names=("a.example",))), False),
        (Config(server=ServerConfig(root_path="/a")), False),
        (Config(ice=IceConfig(advertise=("203.0.113.7",))), False),
    ],
)
def test_media_goes_as_far_as_the_page(config: Config, here: bool) -> None:
    servers = IceServers(config.ice, FakeClock(), lambda: 0.0)
    assert _binding(config, servers).loopback_only is here
