"""Routers with NAT, a TURN server, narrow paths: real ones, in network namespaces."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.networks.far import (
    RB,
    SECRET,
    TURN,
    TURN_PORT,
    Far,
    as_documented,
    behind_nat,
    far_networks,
)
from tests.fakes.networks.namespaces import BLACK_HOLE, NO_UDP, Missing, network


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Far]:
    with far_networks(tmp_path) as made:
        yield made


def test_a_viewer_behind_nat_reaches_a_server_that_is_not(far: Far) -> None:
    behind_nat(far, symmetric=True, both=False)
    far.serve("rb", f"server.host={RB}")
    seen = far.view(RB)
    assert seen["pictures"] >= 30 and seen["types"] == ["host"], seen


def test_two_strict_nats_need_turn(far: Far) -> None:
    """Without a relay nothing can flow here, so that the tests with one prove something."""
    behind_nat(far, symmetric=True)
    far.serve("b", "server.host=0.0.0.0")
    seen = far.view(RB)
    assert (seen["pictures"], seen["types"]) == (0, []), seen


@pytest.mark.parametrize("how", ["secret", "password"])
def test_turn_joins_two_strict_nats(far: Far, how: str) -> None:
    behind_nat(far, symmetric=True)
    if how == "secret":
        far.turn()
        settings = as_documented(far.folder)
    else:
        far.turn("lt-cred-mech", "user=ada:lovelace")
        settings = [f"ice.servers=turn:{TURN}", "ice.username=ada", "ice.password=lovelace"]
    far.serve("b", "server.host=0.0.0.0", *settings)
    seen = far.view(RB)
    assert seen["pictures"] >= 30, seen
    assert "relay" in seen["offered"] and seen["answer_s"] < 1.5, seen
    far.until(lambda log: log.count(" new, realm") == log.count("lifetime=0"), "inet")


def test_a_wrong_secret_costs_no_call_that_can_do_without(far: Far) -> None:
    behind_nat(far, symmetric=True, both=False)
    far.turn()
    wrong = [s.replace(SECRET, "wrong") for s in as_documented(far.folder)]
    far.serve("rb", f"server.host={RB}", *wrong)
    seen = far.view(RB)
    assert seen["pictures"] >= 30 and "relay" not in seen["offered"], seen


def test_stun_joins_two_lenient_nats(far: Far) -> None:
    behind_nat(far, symmetric=False)
    far.turn()
    far.serve("b", "server.host=0.0.0.0", f"ice.servers=stun:{TURN}")
    seen = far.view(RB)
    assert seen["pictures"] >= 30 and set(seen["offered"]) == {"host", "srflx"}, seen


def test_turn_over_tcp_where_there_is_no_udp(far: Far) -> None:
    behind_nat(far, symmetric=False, both=False)
    far.net.nft("ra", NO_UDP)
    far.turn()
    settings = [f"ice.servers=turn:{TURN}:{TURN_PORT}?transport=tcp", f"ice.secret={SECRET}"]
    far.serve("rb", f"server.host={RB}", "ice.relay=false", *settings)
    seen = far.view(RB)
    assert seen["pictures"] >= 30 and seen["types"] == ["relay"], seen
    assert seen["offered"] == ["host"], "the server had no need of a relay of its own"


@pytest.mark.parametrize("version", [4, 6])
def test_a_narrow_path_carries_the_picture(tmp_path: Path, version: int) -> None:
    """1280 bytes, and the packets that say so get lost: sound without a picture, elsewhere."""
    ends = {4: ("11.0.9.1", "11.0.9.2", "11.0.10.1", "11.0.10.2", 24),
            6: ("2c0f::9:1", "2c0f::9:2", "2c0f::10:1", "2c0f::10:2", 112)}[version]  # fmt: skip
    viewer, left, right, server, bits = ends
    with contextlib.ExitStack() as stack:
        try:
            net = stack.enter_context(network(f"vis{os.getpid()}"))
        except Missing as error:
            pytest.skip(str(error))
        for name in ("a", "way", "b"):
            net.add(name)
        net.link(("a", f"{viewer}/{bits}"), ("way", f"{left}/{bits}"), mtu=1280)
        net.link(("way", f"{right}/{bits}"), ("b", f"{server}/{bits}"))
        net.nft("way", BLACK_HOLE)
        net.route("a", left)
        net.route("b", right)
        far = Far(net, tmp_path, stack)
        far.serve("b", f"server.host={server}")
        seen = far.view(server, avatar="noisy")
        # With packets of 1300 bytes the first picture came when loss had starved the encoder.
        assert seen["pictures"] >= 30 and seen["first_s"] < 3, seen
