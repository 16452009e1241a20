"""Scoped tokens and bound invitations in rooms: who may come in, as whom, and until when."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from tests.unit.streamer.trust.test_tokens import SERVER_TOKEN, bearer
from visavis.streamer.avatars.store import AvatarStore
from visavis.streamer.config import Config, QuotasConfig, ServerConfig
from visavis.streamer.errors import Forbidden, NotFound, Unauthorized
from visavis.streamer.http.app import create_app
from visavis.streamer.http.routes.services import Services
from visavis.streamer.rooms.access.bound import Bound
from visavis.streamer.rooms.access.standing import Standing
from visavis.streamer.rooms.access.tickets import Purpose, TicketOffice
from visavis.streamer.rooms.connecting import Connector
from visavis.streamer.session.manager import OfferRequest
from visavis.streamer.trust.callers import CALLER
from visavis.streamer.trust.consent import Terms

ADA, BOB = "a" * 32, "b" * 32
ROOMS = "http://127.0.0.1:8080/api/rooms"
OWNER = bearer(SERVER_TOKEN)


class Connection:
    """Somebody's line into a room."""

    id, over, feed = "pc", False, None

    def __init__(self) -> None:
        self.ended: list[tuple[str, str]] = []

    def show(self, feeds: object) -> None: ...

    def send(self, message: object) -> None: ...

    def turn(self, yaw: float, pitch: float) -> None: ...

    async def end(self, reason: str, cause: str) -> None:
        self.ended.append((reason, cause))


@pytest.fixture
def app(store: AvatarStore, tmp_path: Path) -> Any:
    config = Config(
        data_dir=tmp_path,
        server=ServerConfig(token=SERVER_TOKEN),
        quotas=QuotasConfig(avatars=1),
    )
    return create_app(config, avatars=store)


@pytest.fixture
def served(app: Any) -> Services:
    return app.state.services  # type: ignore[no-any-return]


@pytest.fixture
async def http(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ROOMS) as opened:
        await opened.post("/tea/invitations", json={}, headers=OWNER)  # which opens it
        yield opened


async def enter(http: httpx.AsyncClient, by: str, **more: Any) -> httpx.Response:
    return await http.post("/tea/people", json={"name": "Eve", **more}, headers=bearer(by))


async def invited(http: httpx.AsyncClient, by: str = SERVER_TOKEN, **what: Any) -> httpx.Response:
    return await http.post("/tea/invitations", json=what, headers=bearer(by))


async def test_each_scope_opens_its_own_part_of_a_call(
    http: httpx.AsyncClient, store: AvatarStore
) -> None:
    made = {s: store.tokens.create(s, 60)[0] for s in ("watch", "speak", "enrol", "administer")}
    answers = {scope: await enter(http, text) for scope, text in made.items()}
    assert answers["enrol"].status_code == 403 and answers["enrol"].json()["code"] == "token-scope"
    parts = {s: a.json()["part"] for s, a in answers.items() if a.status_code == 201}
    assert parts == {"watch": "watcher", "speak": "avatar", "administer": "avatar"}
    assert [s for s in parts if answers[s].json()["host"]] == ["administer"]
    for scope, text in made.items():
        opened = await http.post(ROOMS, json={"title": "more"}, headers=bearer(text))
        asked = await invited(http, text, purpose="join")
        taken = await http.get("/tea/recordings", headers=bearer(text))
        expected = 201 if scope == "administer" else 403
        assert (opened.status_code, asked.status_code) == (expected, expected), scope
        if scope != "administer":
            assert taken.status_code == 403 or taken.json() == {"recordings": []}
    photo = await http.post("/tea/avatars", headers=bearer(made["speak"]))
    assert (photo.status_code, photo.json()["code"]) == (403, "token-scope")
    closed = await http.get("/coffee", headers=bearer(made["speak"]))
    nobody = await http.post("/coffee/people", json={"name": "E"}, headers=bearer(made["speak"]))
    assert closed.json()["open"] is False and nobody.json()["code"] == "unknown-room"


async def test_expired_forged_foreign_revoked_and_replayed(
    http: httpx.AsyncClient, store: AvatarStore
) -> None:
    text, record = store.tokens.create("speak", 60)
    once, _ = store.tokens.create("watch", 60, single=True)
    last = "0" if text[-1] != "0" else "1"
    codes = [(await enter(http, wrong)).json()["code"] for wrong in (text[:-1] + last, "vv1.no")]
    assert codes == ["token", "token"]
    assert (await enter(http, once)).status_code == 201
    again = await enter(http, once)
    assert (again.status_code, again.json()["code"]) == (401, "token-used")
    store.tokens.revoke(record.id)
    assert (await enter(http, text)).json()["code"] == "token-revoked"


async def test_a_bound_invitation_is_for_one_avatar_and_so_is_what_comes_of_it(
    http: httpx.AsyncClient, served: Services, store: AvatarStore
) -> None:
    ticket = (await invited(http, purpose="join", avatar_id=ADA)).json()["ticket"]
    assert (await invited(http, purpose="join", avatar_id="c" * 32)).status_code in (403, 404)
    seat = (await enter(http, ticket)).json()
    for avatar, status in ((ADA, 200), (BOB, 403)):
        seen = await http.get(f"/tea/avatars/{avatar}", headers=bearer(ticket))
        assert seen.status_code == status
    more = await invited(http, seat["seat"], purpose="join", avatar_id=BOB)
    assert (more.status_code, more.json()["code"]) == (403, "token-avatar")
    loose = (await invited(http, seat["seat"], purpose="join")).json()["ticket"]
    shown = served.rooms.credentials(False, loose)
    assert shown.ticket is not None and shown.ticket.bound.avatar == ADA, "it is not shaken off"

    async def begins(avatar: str) -> None:
        person = served.rooms.meetings["tea"].room.find(seat["id"])
        CALLER.set(served.rooms._standing.caller(person))
        await served.sessions._make(OfferRequest("", avatar_id=avatar))

    with pytest.raises(Forbidden) as refused:
        await begins(BOB)
    assert refused.value.code == "token-avatar"
    session_avatar = CALLER.get()
    assert session_avatar.avatar == ADA and session_avatar.consent == store.consents.of(ADA).id


async def test_withdrawing_puts_one_out_of_a_call_and_keeps_the_others(
    http: httpx.AsyncClient, served: Services, store: AvatarStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = (await invited(http, purpose="join", avatar_id=ADA)).json()["ticket"]
    text, record = store.tokens.create("speak", 60, avatar=BOB)
    ada = (await enter(http, ticket)).json()
    bob = (await enter(http, text)).json()
    host = (await enter(http, SERVER_TOKEN)).json()
    meeting = served.rooms.meetings["tea"]
    lines = {}
    for who in (ada, bob, host):
        lines[who["id"]] = Connection()
        await meeting.connect(meeting.members[who["id"]], lines[who["id"]])  # type: ignore[arg-type]
    now = [meeting._now()]
    monkeypatch.setattr(meeting, "_now", lambda: now[0])

    async def half_a_second() -> set[str]:
        now[0] += 0.5
        meeting.poll()
        await meeting.settled()
        return set(meeting.room.people)

    assert len(await half_a_second()) == 3
    await store.withdraw(ADA)
    assert await half_a_second() == {bob["id"], host["id"]}
    assert lines[ada["id"]].ended[0][1] == "consent"
    store.tokens.revoke(record.id)
    assert await half_a_second() == {host["id"]}
    assert lines[bob["id"]].ended == [("This token has been taken back.", "token")]
    for seat in (ada, bob):  # nor do they come back by the seat they had
        back = await enter(http, seat["seat"], seat=seat["seat"])
        assert back.status_code in (401, 403), back.json()
    assert await half_a_second() == {host["id"]} and not lines[host["id"]].ended


async def test_a_stock_player_watches_for_as_long_as_what_it_came_by_holds(
    http: httpx.AsyncClient, served: Services, store: AvatarStore
) -> None:
    host = (await enter(http, SERVER_TOKEN)).json()
    tickets = [(await invited(http, purpose="watch", lasts_s=60)).json()["ticket"]]
    tickets += [(await invited(http, purpose="watch")).json()["ticket"] for _ in "ab"]
    text, record = store.tokens.create("watch", 60)
    by_token = (await enter(http, text)).json()
    removed = (await enter(http, tickets[1])).json()
    shown = [served.rooms.credentials(False, ticket) for ticket in (*tickets, by_token["seat"])]
    room, now = served.rooms.meetings["tea"].room, [time.time()]
    context: Any = SimpleNamespace(tokens=store.tokens)
    standing = Standing(context, lambda event, who: None, lambda: now[0])
    unfit = [standing.watching(one, room.closed_to) for one in shown]
    assert [why() for why in unfit] == ["", "", "", ""]
    room.remove(host["id"], removed["id"])
    store.tokens.revoke(record.id)
    now[0] += 61
    assert [why() for why in unfit] == [
        "This invitation has expired; ask for a new one.",
        "The host has closed this link; ask for a new one.",
        "",
        "This token has been taken back.",
    ]
    with pytest.raises(Forbidden, match="closed this link"):
        standing.watching(shown[1], room.closed_to)


async def test_who_may_not_watch_any_more_is_put_out() -> None:
    ended: list[tuple[str, str, str]] = []

    class Player:
        def __init__(self, name: str) -> None:
            self.id = self.name = name

        def end_soon(self, reason: str, cause: str) -> None:
            ended.append((self.name, reason, cause))

    class Sessions:
        def __init__(self) -> None:
            self.there = {name: Player(name) for name in "ab"}

        async def watch(self, view: str, sdp: str) -> tuple[Player, str]:
            return self.there[sdp], "answer"

        def peer(self, name: str) -> Player:
            if name not in self.there:
                raise NotFound("There is no such session.")
            return self.there[name]

    sessions, why = Sessions(), {"a": "", "b": ""}
    context: Any = SimpleNamespace()
    connector = Connector(context, sessions)  # type: ignore[arg-type]
    member: Any = SimpleNamespace(connection=SimpleNamespace(view_id="v"))
    for name in "ab":
        answer = await connector.watch(member, name, lambda name=name: why[name])
        assert answer["pc_id"] == name
    connector.put_out()
    assert ended == []
    why["b"] = "No more."
    connector.put_out()
    assert ended == [("b", "No more.", "token")]
    del sessions.there["b"]
    connector.put_out()
    assert list(connector.watching) == ["a"], "nobody is kept who has gone"


async def test_a_new_consent_needs_a_new_invitation(
    http: httpx.AsyncClient, store: AvatarStore
) -> None:
    ticket = (await invited(http, purpose="join", avatar_id=ADA)).json()["ticket"]
    store.consents.give(store.get(ADA), Terms())
    refused = await enter(http, ticket)
    assert (refused.status_code, refused.json()["code"]) == (403, "consent")
    assert "another consent" in refused.json()["error"]


async def test_an_id_to_be_seen_by_controls_nothing(
    http: httpx.AsyncClient, served: Services, store: AvatarStore
) -> None:
    """Participants' ids are told to everybody, view ids to watchers: neither acts for anybody."""
    seat = (await enter(http, SERVER_TOKEN)).json()
    watch = (await invited(http, purpose="watch")).json()["ticket"]
    for text in (seat["id"], "", watch):
        for method, path, body in (
            ("DELETE", "/tea/people/me", None),
            ("POST", "/tea/people/me/away", None),
            ("POST", "/tea/offer", {"sdp": "v=0", "type": "offer"}),
            ("POST", "/tea/invitations", {"purpose": "join"}),
        ):
            answer = await http.request(method, path, json=body, headers=bearer(text))
            assert answer.status_code in (401, 403), (text, path)
    assert seat["id"] in served.rooms.meetings["tea"].room.people
    whole = str(httpx.URL("http://127.0.0.1:8080/api/sessions/")) + seat["id"]
    assert (await http.delete(whole, headers=OWNER)).status_code == 404
    assert (await http.delete(whole)).status_code == 401


def test_a_clock_set_back_brings_no_ticket_to_life(tmp_path: Path) -> None:
    from visavis.streamer.trust.wall import WallTime

    now = [1e9]
    desk = TicketOffice(bytes(32), WallTime(tmp_path / "latest", lambda: now[0]).seconds)
    text = desk.issue(Purpose.JOIN, "tea", "s", 60, bound=Bound(ADA))
    now[0] += 61
    with pytest.raises(Forbidden, match="expired"):
        desk.read(text, Purpose.JOIN)
    now[0] -= 60
    again = TicketOffice(bytes(32), WallTime(tmp_path / "latest", lambda: now[0]).seconds)
    for office in (desk, again):
        with pytest.raises(Forbidden, match="expired"):
            office.read(text, Purpose.JOIN)


def test_tickets_of_before_are_read_and_what_they_are_bound_to_cannot_be_changed() -> None:
    desk = TicketOffice(bytes(32), lambda: 1e9)
    loose = desk.issue(Purpose.SEAT, "tea", "s", 60, holder="ada", host=True)
    assert desk.read(loose, Purpose.SEAT).bound == Bound()
    text = desk.issue(Purpose.SEAT, "tea", "s", 60, bound=Bound(ADA, "c", "t", "l"))
    assert desk.read(text, Purpose.SEAT).bound == Bound(ADA, "c", "t", "l")
    for place in range(len(text)):
        other = "A" if text[place] != "A" else "B"
        try:
            ticket = desk.read(text[:place] + other + text[place + 1 :], Purpose.SEAT)
        except Forbidden:
            continue
        assert ticket.bound == Bound(ADA, "c", "t", "l"), "only unused bits of Base64 may differ"


async def test_quotas_count_by_token_and_are_written_down(
    served: Services, store: AvatarStore, tmp_path: Path
) -> None:
    text, record = store.tokens.create("enrol", 60)
    CALLER.set(store.tokens.read(text).caller)
    store.quotas.check_avatars(CALLER.get(), 0)
    with pytest.raises(Exception, match="may have one avatar; erase one first") as refused:
        store.quotas.check_avatars(CALLER.get(), 1)
    assert getattr(refused.value, "code", "") == "quota-avatars"
    await asyncio.to_thread(served.scribe.submit(lambda: None).result)
    assert (
        f'"event":"quota-avatars","subject":"{record.id}"' in (tmp_path / "audit.jsonl").read_text()
    )
    with pytest.raises(Unauthorized):
        store.tokens.read("vv1.x")
