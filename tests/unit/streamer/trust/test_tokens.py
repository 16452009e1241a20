"""Tokens: what each opens, for how long, how often; and that nothing else is one."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from visavis.streamer.avatars.store import AvatarStore
from visavis.streamer.config import Config, ServerConfig
from visavis.streamer.errors import BadRequest, Forbidden, NotFound, Unauthorized
from visavis.streamer.http.app import create_app
from visavis.streamer.trust.callers import OWNER, SCOPES, Caller
from visavis.streamer.trust.consent import Terms
from visavis.streamer.trust.signing import Signer
from visavis.streamer.trust.tokens import Tokens, read_duration
from visavis.streamer.trust.wall import WallTime

SERVER_TOKEN = "the server's own, 32 characters."
MUTATIONS = 10_000
DAY = 86_400.0


class Clock:
    def __init__(self) -> None:
        self.seconds = 2_000_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def office(tmp_path: Path, clock: Clock) -> Tokens:
    return Tokens(tmp_path / "tokens", Signer(bytes(32)), WallTime(tmp_path / "latest", clock))


def test_a_token_says_what_it_opens_and_is_kept_as_a_hash(office: Tokens, tmp_path: Path) -> None:
    text, record = office.create("speak", 3600, avatar="a" * 32, consent="c", name="for Bob")
    assert office.read(text) == record and record.caller == Caller(
        record.id, "speak", "a" * 32, "c"
    )
    [file] = (tmp_path / "tokens").iterdir()
    assert text.rpartition(".")[2] not in file.read_text() and file.stat().st_mode & 0o077 == 0
    assert list(office.all()) == [record]


def test_none_of_ten_thousand_mutations_is_a_token(office: Tokens) -> None:
    text, _ = office.create("administer", DAY)
    rng, accepted = random.Random(3), []
    letters = "0123456789abcdefABCDEF.vV1 \n\x00é"
    for _ in range(MUTATIONS):
        at, kind = rng.randrange(len(text)), rng.randrange(4)
        changed = text[:at] + rng.choice(letters) + text[at + 1 :]
        if kind == 1:
            changed = text[:at] + text[at + 1 :]
        elif kind == 2:
            changed = text[:at] + rng.choice(letters) + text[at:]
        elif kind == 3:
            changed = text[:at] + text[at:].upper()
        if changed != text and _accepts(office, changed):
            accepted.append(changed)
    assert accepted == [] and _accepts(office, text)


def test_a_record_that_was_changed_is_no_token(office: Tokens, tmp_path: Path) -> None:
    text, _ = office.create("watch", DAY)
    [file] = (tmp_path / "tokens").iterdir()
    whole, rng = file.read_bytes(), random.Random(4)
    for scope in ("speak", "administer"):
        file.write_bytes(whole.replace(b"watch", scope.encode()))
        assert not _accepts(office, text)
    for _ in range(MUTATIONS // 10):
        at = rng.randrange(len(whole))
        file.write_bytes(
            whole[:at] + bytes([whole[at] ^ (1 << rng.randrange(8))]) + whole[at + 1 :]
        )
        assert not _accepts(office, text)
    file.write_bytes(whole)
    assert _accepts(office, text)


def _accepts(office: Tokens, text: str) -> bool:
    try:
        office.read(text)
    except Unauthorized as error:
        assert error.code == "token" and str(error).endswith(".")
        return False
    return True


def test_another_server_s_tokens_are_foreign(office: Tokens, tmp_path: Path, clock: Clock) -> None:
    wall = WallTime(tmp_path / "latest", clock)
    text, record = office.create("speak", DAY)
    other = Tokens(tmp_path / "tokens", Signer(bytes(range(32))), wall)  # the same records
    elsewhere = Tokens(tmp_path / "elsewhere", Signer(bytes(32)), wall)  # the same key
    assert not _accepts(other, text) and not _accepts(elsewhere, text)
    assert office.ended(record.id) == "" and elsewhere.ended(record.id)


def test_it_expires_and_a_clock_set_back_does_not_bring_it_back(
    office: Tokens, tmp_path: Path, clock: Clock
) -> None:
    text, record = office.create("speak", 3600)
    clock.seconds += 3599
    office.read(text)
    clock.seconds += 2
    for _ in range(2):
        with pytest.raises(Unauthorized) as refused:
            office.read(text)
        assert refused.value.code == "token-expired"
        clock.seconds -= 10 * DAY
    again = Tokens(tmp_path / "tokens", Signer(bytes(32)), WallTime(tmp_path / "latest", clock))
    assert "expired" in again.ended(record.id), "nor after a restart"


def test_it_can_be_taken_back(office: Tokens) -> None:
    text, record = office.create("speak", 3600)
    office.revoke(record.id)
    office.revoke(record.id)
    with pytest.raises(Unauthorized) as refused:
        office.read(text)
    assert refused.value.code == "token-revoked" and office.ended(record.id)
    for wrong in ("", "../../x", "0" * 16):
        with pytest.raises(NotFound):
            office.revoke(wrong)


def test_single_use_is_once_for_all_processes(office: Tokens, tmp_path: Path, clock: Clock) -> None:
    text, record = office.create("speak", 3600, single=True)
    office.use_up(office.read(text).caller)
    beside = Tokens(tmp_path / "tokens", Signer(bytes(32)), WallTime(tmp_path / "latest", clock))
    for each in (office, beside):
        with pytest.raises(Unauthorized) as refused:
            each.use_up(each.read(text).caller)
        assert refused.value.code == "token-used"
    assert office.was_used(record.id)
    office.use_up(OWNER)


def test_what_ended_long_ago_is_swept(office: Tokens, clock: Clock) -> None:
    office.create("speak", 60, single=True)
    _, kept = office.create("speak", 300 * DAY)
    clock.seconds += 8 * DAY
    assert office.sweep() == 1 and list(office.all()) == [kept]


@pytest.mark.parametrize("scope, lasts", [("fly", 60.0), ("speak", 0.0), ("speak", 1e9)])
def test_what_cannot_be_made_is_refused(office: Tokens, scope: str, lasts: float) -> None:
    with pytest.raises(BadRequest):
        office.create(scope, lasts)


def test_durations_are_read() -> None:
    assert [read_duration(t) for t in ("90m", "12h", "7d", "1.5h")] == [5400, 43_200, 604_800, 5400]
    for wrong in ("", "7", "h", "-1h", "7 weeks"):
        with pytest.raises(BadRequest):
            read_duration(wrong)


# ---------------------------------------------------------------- what scopes open

ROUTES = {
    "GET /api/avatars": "speak enrol",
    "POST /api/avatars": "enrol",
    "GET /api/avatars/a1": "speak enrol",
    "GET /api/avatars/a1/preview.jpg": "speak enrol",
    "GET /api/avatars/a1/avatar.vav": "enrol",
    "DELETE /api/avatars/a1": "enrol",
    "DELETE /api/avatars/a1/consent": "enrol",
    "POST /api/offer": "speak watch",
    "PATCH /api/offer": "speak watch",
    "POST /api/whip": "speak",
    "DELETE /api/whip/x": "speak",
    "GET /api/views/x": "speak watch",
    "GET /api/ice": "speak watch",
    "OPTIONS /api/whip": "speak",
    "POST /api/avatars/photo": "enrol",
    "POST /api/avatars/guidance": "enrol",
    "GET /api/sessions": "",
    "POST /api/sessions/x/push": "",
    "GET /api/sessions/x/trace": "",
    "DELETE /api/sessions/x": "speak watch",
    "GET /api/agent": "speak",
    "GET /metrics": "",
    "GET /openapi.json": "",
    "POST /api/rooms": "",
    "GET /api/me": "watch speak enrol",
    "POST /api/verify": "watch speak enrol",
    "GET /api/recordings": "speak",
    f"DELETE /api/recordings/{32 * '0'}": "speak",
    f"GET /api/recordings/{32 * '0'}/01.mp4": "speak",
}


def test_each_scope_opens_its_own_addresses_and_no_others() -> None:
    for scope in SCOPES:
        for route, opens in ROUTES.items():
            method, path = route.split()
            expected = scope == "administer" or scope in opens.split()
            try:
                Caller("x", scope).check_route(method, path)
                allowed = True
            except Forbidden as error:
                assert error.code == "token-scope"
                allowed = False
            assert allowed == expected, (scope, route)


@pytest.fixture
async def http(store: AvatarStore, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    server = ServerConfig(token=SERVER_TOKEN)
    app = create_app(Config(data_dir=tmp_path, server=server), avatars=store)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as opened:
        yield opened


def bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}"}


async def test_a_token_for_one_avatar_shows_that_one_only(
    http: httpx.AsyncClient, store: AvatarStore
) -> None:
    text, _ = store.tokens.create("speak", 3600, avatar="a" * 32)
    seen = (await http.get("/api/avatars", headers=bearer(text))).json()["avatars"]
    assert [a["id"] for a in seen] == ["a" * 32]
    other = await http.get(f"/api/avatars/{'b' * 32}", headers=bearer(text))
    assert (other.status_code, other.json()["code"]) == (404, "unknown-avatar")
    erased = await http.delete(f"/api/avatars/{'a' * 32}", headers=bearer(text))
    assert (erased.status_code, erased.json()["code"]) == (403, "token-scope")
    owner = (await http.get("/api/avatars", headers=bearer(SERVER_TOKEN))).json()["avatars"]
    assert len(owner) == 2
    assert (await http.get("/api/avatars")).status_code == 401
    assert (await http.get("/api/avatars", headers=bearer("vv1.x"))).status_code == 401


async def test_who_makes_avatars_sees_and_erases_their_own_only(
    http: httpx.AsyncClient, store: AvatarStore, tmp_path: Path
) -> None:
    text, record = store.tokens.create("enrol", 3600)
    path = tmp_path / "avatars" / ("b" * 32) / "record.json"
    values = json.loads(path.read_bytes()) | {"owner": record.id}
    path.write_text(json.dumps(values))
    seen = (await http.get("/api/avatars", headers=bearer(text))).json()["avatars"]
    assert [a["name"] for a in seen] == ["Bob"]
    foreign = await http.delete(f"/api/avatars/{'a' * 32}", headers=bearer(text))
    own = await http.delete(f"/api/avatars/{'b' * 32}", headers=bearer(text))
    assert (foreign.status_code, own.status_code) == (404, 204)


def test_speaking_is_bound_to_avatar_consent_and_once(store: AvatarStore, tmp_path: Path) -> None:
    ada = "a" * 32
    consent = store.consents.of(ada).id
    text, _ = store.tokens.create("speak", 3600, avatar=ada, consent=consent, single=True)
    caller = store.tokens.read(text).caller
    with pytest.raises(Forbidden) as refused:
        store.admit(caller, "b" * 32)
    assert refused.value.code == "token-avatar"
    store.admit(caller, ada)
    with pytest.raises(Unauthorized):
        store.admit(caller, ada)
    text, _ = store.tokens.create("speak", 3600, avatar=ada, consent=consent)
    store.consents.give(store.get(ada), Terms())
    with pytest.raises(Forbidden) as refused:
        store.admit(store.tokens.read(text).caller, ada)
    assert refused.value.code == "token-consent"
    for scope in ("watch", "enrol"):
        text, _ = store.tokens.create(scope, 3600)
        with pytest.raises(Forbidden):
            store.admit(store.tokens.read(text).caller, ada)
    store.admit(OWNER, "b" * 32)
    events = [
        json.loads(line)["event"] for line in (tmp_path / "audit.jsonl").read_text().splitlines()
    ]
    assert events == ["token-use"]


@pytest.mark.parametrize("scope", ["enrol", "administer"])
def test_no_token_looks_as_if_it_were_kept_to_one_avatar(store: AvatarStore, scope: str) -> None:
    """It was taken, and opened all the others too."""
    with pytest.raises(BadRequest, match="cannot be kept to one avatar"):
        store.tokens.create(scope, 60, avatar="a" * 32)
