"""Whatever somebody does at the door of a call: one sentence for them, and the others go on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
import pytest

from tests.fakes.fake_guest import Guest
from tests.fakes.fake_microphone import FakeMicrophone
from tests.integration.conftest import Live, StartServer
from visavis.streamer.rooms.access.tickets import Purpose

TOKEN = "a token of the server"


@asynccontextmanager
async def two_who_talk(start_server: StartServer, **options: Any) -> AsyncIterator[tuple[Any, ...]]:
    """A call of Ada and Ben behind a token, and a link into it."""
    async with start_server(avatars=("anna", "zoe"), token=TOKEN, **options) as live:
        people = []
        for name, avatar in (("Ada", "anna"), ("Ben", "zoe")):
            microphone = FakeMicrophone(np.zeros(1, np.int16))
            guest = Guest(live.http, microphone, name=name, avatar=avatar, bearer=TOKEN)
            await guest.join()
            people.append(guest)
        ada, ben = people
        await ada.until(lambda: len(ada.pictures(ben.id)) > 3)
        link = (await ada.post("/invitations")).json()["ticket"]
        try:
            yield live, ada, ben, link
        finally:
            await asyncio.gather(ada.close(), ben.close())


async def goes_on(ada: Guest, ben: Guest, gone: int) -> None:
    """Both see each other as before, nobody was told of an end, and nobody was lost."""
    for one, other in ((ada, ben), (ben, ada)):
        count = len(one.pictures(other.id))
        await one.until(lambda o=one, w=other, n=count: len(o.pictures(w.id)) > n + 12)
        assert not one.of("ended") and len(one.of("leave")) == gone


def one_sentence(answer: httpx.Response, status: int, words: str) -> None:
    said = answer.json()["error"]
    assert answer.status_code == status and words in said, said
    assert said.endswith(".") and "Traceback" not in said and len(said) < 160


def expired(live: Live, link: str) -> str:
    office = live.services.rooms._office
    ticket = office.read(link, Purpose.JOIN)
    return office.issue(Purpose.JOIN, ticket.room, ticket.sitting, -1.0, holder="x")


def of_another_server(live: Live, link: str) -> str:
    office = type(live.services.rooms._office)(bytes(32), lambda: 0.0)
    ticket = live.services.rooms._office.read(link, Purpose.JOIN)
    return office.issue(Purpose.JOIN, ticket.room, ticket.sitting, 60.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (expired, "has expired; ask for a new one"),
        (of_another_server, "not valid"),
        (lambda live, link: link[:-3] + "abc", "not valid"),
        (lambda live, link: link.swapcase(), "not valid"),
        (lambda live, link: "x" * 5000, "not valid"),
        (lambda live, link: "%00\u2028", "not valid"),
    ],
)
async def test_no_invitation_but_a_true_one(
    start_server: StartServer, change: Callable[[Live, str], str], words: str
) -> None:
    async with two_who_talk(start_server) as (live, ada, ben, link):
        bearer = change(live, link).encode("ascii", "replace").decode()
        headers = {"authorization": f"Bearer {bearer}"}
        one_sentence(await live.http.get("/api/rooms/tea", headers=headers), 403, words)
        answer = await live.http.post(
            "/api/rooms/tea/people", json={"name": "Eve"}, headers=headers
        )
        one_sentence(answer, 403, words)
        await goes_on(ada, ben, 0)


async def test_a_full_room_is_told_at_the_door(start_server: StartServer) -> None:
    async with two_who_talk(start_server, rooms={"people": 2}) as (live, ada, ben, link):
        headers = {"authorization": f"Bearer {link}"}
        for _ in range(20):
            answer = await live.http.post(
                "/api/rooms/tea/people", json={"name": "Eve"}, headers=headers
            )
            one_sentence(answer, 503, "room for 2 people")
        info = (await live.http.get("/api/rooms/tea", headers=headers)).json()
        assert info["people"] == ["Ada", "Ben"] and info["seats"] == 2
        await goes_on(ada, ben, 0)


@pytest.mark.parametrize("name", ["x" * 10_000, "\u202e" * 10_000, "\x00" * 10_000, "🙂" * 10_000])
async def test_a_name_of_ten_thousand_characters(start_server: StartServer, name: str) -> None:
    async with two_who_talk(start_server) as (live, ada, ben, link):
        headers = {"authorization": f"Bearer {link}"}
        answer = await live.http.post("/api/rooms/tea/people", json={"name": name}, headers=headers)
        one_sentence(answer, 400, "Your name")
        answer = await live.http.post(
            "/api/rooms", json={"title": name}, headers={"authorization": f"Bearer {TOKEN}"}
        )
        one_sentence(answer, 400, "name")
        await goes_on(ada, ben, 0)


async def test_a_flood_on_the_control_channel(start_server: StartServer) -> None:
    """Of everything a page may say, and of what none would."""
    async with two_who_talk(start_server) as (live, ada, ben, link):
        eve = Guest(live.http, None, name="Eve", part="listener", bearer=link)
        await eve.join()
        told = len(ada.messages)
        for n in range(150):
            for message in (
                {"type": "hand", "on": n % 2 == 0},
                {"type": "quality", "value": ("good", "poor")[n % 2]},
                {"type": "tiles", "tiles": {"x" * 200: [n, n]}},
                {"type": "record"},
                {"type": "remove", "id": ben.id},
                {"type": "chat", "text": "x" * 15_000},
            ):
                eve.control.send(json.dumps(message))
            eve.control.send("[" * 1000)
            eve.control.send("x" * 20_000)
        await eve.until(
            lambda: any("Too many messages" in m["message"] for m in eve.of("error")), 40
        )
        assert all(m["message"].endswith(".") for m in eve.of("error"))
        await goes_on(ada, ben, 0)
        of_eve = [m for m in ada.messages[told:] if m["type"] in ("person", "chat")]
        assert len(of_eve) < 60, "others are told a little of it"
        await eve.close()


async def test_a_tab_that_sleeps_keeps_nobody_waiting(start_server: StartServer) -> None:
    """It says nothing any more, as a page does whose timers are stopped; then it is back."""
    limits, rooms = {"idle_timeout_s": 3.0}, {"away_s": 30.0}
    async with two_who_talk(start_server, limits=limits, rooms=rooms) as (live, ada, ben, link):

        async def stay_awake() -> None:
            while True:
                for guest in (ada, ben):
                    await guest.send(type="ping", t=1)
                await ada.nothing_more(0.5)

        awake = asyncio.create_task(stay_awake())
        eve = Guest(live.http, FakeMicrophone(np.zeros(1, np.int16)), name="Eve", avatar="zoe",
                    bearer=link)  # fmt: skip
        await eve.join()
        await eve.until(lambda: eve.of("ended"), 15)
        assert eve.of("ended")[0]["cause"] == "idle"
        await ada.until(lambda: ada.people()[eve.id]["presence"] == "away")
        await goes_on(ada, ben, 0)
        again = Guest(live.http, FakeMicrophone(np.zeros(1, np.int16)), name="Eve", avatar="zoe",
                      bearer=link, seat=eve.seat)  # fmt: skip
        await again.join()
        assert again.id == eve.id
        await ada.until(lambda: ada.people()[eve.id]["presence"] == "live")
        awake.cancel()
        await asyncio.gather(eve.close(), again.close())
