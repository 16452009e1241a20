"""Guessing tokens: slowed down by address, and nobody else is kept out by it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.fake_clock import FakeClock
from tests.fakes.processes.fake_server import put_avatar
from tests.unit.streamer.trust.test_tokens import SERVER_TOKEN, bearer
from visavis.streamer.avatars.store import AvatarStore
from visavis.streamer.config import Config, LimitsConfig, ServerConfig
from visavis.streamer.errors import Forbidden, TooManyTries, Unauthorized
from visavis.streamer.http.app import create_app
from visavis.streamer.http.security import attempts as module
from visavis.streamer.http.security.attempts import MOST, Attempts

BASE = "http://127.0.0.1:8080"
EVE, ADA, LOCAL = "203.0.113.9", "203.0.113.8", "127.0.0.1"


class Time:
    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def time() -> Time:
    return Time()


def check(attempts: Attempts, host: str, token: str = "wrong", right: str = "right") -> str:
    """Try a token; return what came of it."""
    try:
        with attempts.checking(host, token):
            if token != right:
                raise Unauthorized("This token is not one of this server's.")
    except TooManyTries as error:
        return f"wait {error.retry_after_s}"
    except Unauthorized:
        return "wrong"
    return "right"


def test_after_ten_wrong_ones_an_address_waits_and_each_time_twice_as_long(time: Time) -> None:
    attempts = Attempts(time)
    waits = []
    for _ in range(7):
        tried = 0
        while (said := check(attempts, EVE)) == "wrong":
            tried += 1
        assert tried <= MOST
        assert check(attempts, EVE, "right") == said, "not even a right one is looked at"
        waits.append(int(said.split()[1]))
        time.s += waits[-1] - 0.5
        assert check(attempts, EVE) == "wait 1"
        time.s += 0.5
    assert waits == [30, 60, 120, 240, 480, 900, 900]
    time.s += 3601
    assert [check(attempts, EVE) for _ in range(MOST)] == ["wrong"] * MOST
    assert check(attempts, EVE) == "wait 30", "an hour of quiet is forgiven"


def test_who_is_slower_than_that_is_let_try_on(time: Time) -> None:
    attempts = Attempts(time)
    for _ in range(100):
        assert check(attempts, EVE) == "wrong"
        time.s += 6.7
    assert check(attempts, EVE, "right") == "right"


def test_nobody_else_is_kept_out(time: Time) -> None:
    attempts = Attempts(time, ("127.0.0.1", "::1", "10.1.0.0/16"))
    assert check(attempts, EVE, "right") == "right", "somebody is signed in behind the same line"
    for _ in range(MOST):
        check(attempts, EVE)
    assert check(attempts, EVE).startswith("wait") and check(attempts, ADA) == "wrong"
    assert check(attempts, EVE, "right") == "right", "and still is"
    assert check(attempts, EVE, "new", right="new").startswith("wait")
    for shared in (LOCAL, "::1", "10.1.2.3", "::ffff:127.0.0.1", ""):
        for _ in range(3 * MOST):
            said = check(attempts, shared)
        assert said.startswith("wait"), "a wrong one is told to wait"
        assert check(attempts, shared, "right") == "right", f"{shared} may be everybody"


def test_who_sends_no_token_tries_none(time: Time) -> None:
    attempts = Attempts(time)
    for _ in range(3 * MOST):
        assert check(attempts, EVE, "") == "wrong"
    assert check(attempts, EVE, "right") == "right"


def test_what_was_ours_once_is_no_guess(time: Time) -> None:
    attempts = Attempts(time)
    for code in ("token-expired", "token-revoked", "token-used"):
        for _ in range(MOST):
            with pytest.raises(Unauthorized), attempts.checking(EVE, "old"):
                raise Unauthorized("No more.", code=code)
    for _ in range(MOST):
        with pytest.raises(Forbidden), attempts.checking(EVE, "of another room"):
            raise Forbidden("No.", code="removed")
    assert check(attempts, EVE) == "wrong"
    for _ in range(MOST - 1):
        with pytest.raises(Forbidden), attempts.checking(EVE, "no ticket"):
            raise Forbidden("This invitation is not valid.", code="ticket")
    assert check(attempts, EVE).startswith("wait")


def test_an_ipv6_customer_is_one_whatever_address_they_take(time: Time) -> None:
    attempts = Attempts(time)
    for number in range(MOST):
        assert check(attempts, f"2001:db8:1:2::{number:x}") == "wrong"
    assert check(attempts, "2001:db8:1:2:ffff::1").startswith("wait")
    assert check(attempts, "2001:db8:1:3::1") == "wrong"
    assert check(attempts, "fe80::1%eth0") == "wrong"


def test_what_is_remembered_is_bounded(time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ADDRESSES", 50)
    monkeypatch.setattr(module, "_OPENED", 50)
    attempts = Attempts(time)
    for number in range(500):
        check(attempts, f"10.0.{number // 250}.{number % 250}")
        check(attempts, EVE, f"{number}", f"{number}")
    assert attempts.remembered == (50, 50)


def test_the_audit_log_hears_of_it_once_a_minute_and_of_no_address(time: Time) -> None:
    noted: list[tuple[str, str]] = []
    attempts = Attempts(time, (), lambda *entry: noted.append(entry))
    for number in range(20):
        for _ in range(MOST):
            check(attempts, f"198.51.100.{number}")
    assert noted == [("token-guessing", "server")]
    time.s += 61
    for _ in range(MOST):
        check(attempts, EVE)
    assert len(noted) == 2


# ---------------------------------------------------------------- over HTTP


class Served:
    """One server, as it is seen from several addresses."""

    def __init__(self, app: Any, stack: AsyncExitStack) -> None:
        self.app, self._stack = app, stack

    async def seen_from(self, host: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app, client=(host, 40000))
        return await self._stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url=BASE)
        )


def app_at(folder: Path, clock: FakeClock, **server: Any) -> Any:
    put_avatar(folder, "a", "Ada", "#777777")
    config = Config(data_dir=folder, server=ServerConfig(**server))
    store = AvatarStore(folder, LimitsConfig(), 256)
    return create_app(config, clock=clock, avatars=store)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[Served, FakeClock]]:
    clock = FakeClock()
    async with AsyncExitStack() as stack:
        yield Served(app_at(tmp_path, clock, token=SERVER_TOKEN), stack), clock


WRONG = bearer("not the token, but as long")


async def test_every_door_counts_and_says_when_to_come_again(
    served: tuple[Served, FakeClock], tmp_path: Path
) -> None:
    server, clock = served
    eve, ada = await server.seen_from(EVE), await server.seen_from(ADA)
    forged = bearer("vv1." + "0" * 16 + "." + "0" * 48)
    answers = [
        await eve.request(method, path, headers=headers)
        for headers in (WRONG, forged)
        for method, path in (
            ("GET", "/api/me"),
            ("GET", "/api/avatars"),
            ("GET", "/api/rooms/tea"),
            ("DELETE", f"/api/rooms/tea/avatars/{'a' * 32}"),
            ("POST", "/api/verify"),
        )
    ]
    assert {answer.status_code for answer in answers} <= {401, 403}
    held = await eve.get("/api/me", headers=bearer(SERVER_TOKEN))
    assert (held.status_code, held.json()["code"]) == (429, "too-many-tries")
    assert held.json()["error"] == (
        "Too many wrong tokens came from your address; try again in 30 seconds."
    )
    assert held.headers["retry-after"] == "30"
    whep = await eve.post("/api/whep/x", headers={**forged, "content-type": "application/sdp"})
    assert whep.status_code == 429
    for page in ("/", "/login", "/verify", "/static/logo.svg"):
        assert (await eve.get(page)).status_code == 200, "pages are open to everybody"
    assert (await ada.get("/api/me", headers=bearer(SERVER_TOKEN))).status_code == 200
    server.app.state.services.scribe.shutdown()
    log = (tmp_path / "audit.jsonl").read_text()
    assert log.count("token-guessing") == 1 and EVE not in log
    await clock.advance(31)
    assert (await eve.get("/api/me", headers=bearer(SERVER_TOKEN))).status_code == 200


async def test_a_proxy_that_is_trusted_names_who_waits(served: tuple[Served, FakeClock]) -> None:
    """The server sees the client's address, as uvicorn's middleware works it out."""
    from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

    server, _ = served
    server.app = ProxyHeadersMiddleware(server.app, trusted_hosts=["127.0.0.1"])  # type: ignore[arg-type]
    proxy, outside = await server.seen_from(LOCAL), await server.seen_from(EVE)
    for number in range(2 * MOST):
        named = {**WRONG, "x-forwarded-for": f"10.9.8.{number}, {EVE}"}  # the first is made up
        last = await proxy.get("/api/me", headers=named)
    assert last.status_code == 429
    other = {**bearer(SERVER_TOKEN), "x-forwarded-for": ADA}
    assert (await proxy.get("/api/me", headers=other)).status_code == 200
    nobody = await proxy.get("/api/me", headers=bearer(SERVER_TOKEN))
    assert nobody.status_code == 200, "a proxy that names nobody stands for everybody"
    hidden = {**WRONG, "x-forwarded-for": ADA}
    assert (await outside.get("/api/me", headers=hidden)).status_code == 429, "not believed"


async def test_the_single_user_of_this_machine_is_never_kept_out(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        server = Served(app_at(tmp_path, FakeClock()), stack)
        for host in (LOCAL, EVE):  # the second: somebody has made it so that there is no token
            http = await server.seen_from(host)
            for _ in range(3 * MOST):
                await http.get("/api/me", headers=WRONG)
                await http.get("/api/me", headers=bearer("vv1.wrong"))
            assert (await http.get("/api/me")).status_code == 200
            assert (await http.get("/api/avatars")).status_code == 200
