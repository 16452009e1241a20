"""Invitations and seats: short-lived, for one thing, and not to be forged."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visavis.streamer.errors import BadRequest, Forbidden
from visavis.streamer.rooms.access.ended import Ended
from visavis.streamer.rooms.access.names import is_room_name, room_name, shown_name
from visavis.streamer.rooms.access.tickets import Purpose, TicketOffice, load_key


class Wall:
    now = 1e9

    def __call__(self) -> float:
        return self.now


def office(wall: Wall, key: bytes = bytes(32)) -> TicketOffice:
    return TicketOffice(key, wall)


def test_a_ticket_says_what_it_was_issued_for() -> None:
    desk = office(Wall())
    text = desk.issue(Purpose.SEAT, "tea", "sitting", 60, holder="ada", host=True)
    ticket = desk.read(text, Purpose.JOIN, Purpose.SEAT)
    assert (ticket.purpose, ticket.room, ticket.sitting) == (Purpose.SEAT, "tea", "sitting")
    assert ticket.holder == "ada" and ticket.host


@pytest.mark.parametrize("purpose", [Purpose.JOIN, Purpose.SEAT, Purpose.FILE])
def test_one_kind_is_never_another(purpose: Purpose) -> None:
    desk = office(Wall())
    text = desk.issue(Purpose.WATCH, "tea", "sitting", 60)
    with pytest.raises(Forbidden, match="not valid"):
        desk.read(text, purpose)


def test_it_expires() -> None:
    wall = Wall()
    desk = office(wall)
    text = desk.issue(Purpose.JOIN, "tea", "sitting", 60)
    wall.now += 59
    desk.read(text, Purpose.JOIN)
    wall.now += 2
    with pytest.raises(Forbidden, match="has expired"):
        desk.read(text, Purpose.JOIN)


def test_another_servers_key_and_a_changed_letter_are_forgeries() -> None:
    desk = office(Wall())
    text = desk.issue(Purpose.JOIN, "tea", "sitting", 60)
    with pytest.raises(Forbidden):
        office(Wall(), bytes(31) + b"x").read(text, Purpose.JOIN)
    for place in (0, len(text) // 2, len(text) - 1):
        other = "A" if text[place] != "A" else "B"
        with pytest.raises(Forbidden):
            desk.read(text[:place] + other + text[place + 1 :], Purpose.JOIN)


@given(st.one_of(st.none(), st.integers(), st.text(), st.binary(), st.lists(st.text())))
def test_whatever_is_sent_gets_a_sentence(sent: object) -> None:
    with pytest.raises(Forbidden, match="not valid"):
        office(Wall()).read(sent, Purpose.JOIN, Purpose.WATCH)


def test_the_key_stays_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "rooms.key"
    key = load_key(path)
    assert load_key(path) == key and len(key) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_bytes(b"short")
    assert load_key(path) != b"short"
    with pytest.raises(BadRequest, match="cannot be used"):
        load_key(path / "no-folder" / "key")


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("Tea at five", "tea-at-five"),
        ("Crème & Öl", "creme-ol"),
        ("  --A--  ", "a"),
        ("x" * 80, "x" * 40),
    ],
)
def test_a_rooms_name_can_stand_in_an_address(typed: str, name: str) -> None:
    assert room_name(typed) == name
    assert is_room_name(name)


@pytest.mark.parametrize("typed", ["", "  ", "…", None, 7, "日本"])
def test_what_leaves_no_name_is_said(typed: object) -> None:
    with pytest.raises(BadRequest):
        room_name(typed)


@pytest.mark.parametrize("bad", ["../x", "A", "-a", "a-", "", "a b", "a" * 41])
def test_other_addresses_are_no_rooms(bad: str) -> None:
    assert not is_room_name(bad)


def test_names_are_one_visible_line() -> None:
    assert shown_name(" Ada\n\u202eLovelace\x00 ", 60, "Your name") == "Ada Lovelace"
    for bad, words in (("x" * 61, "longer than 60"), ("x" * 10_000, "longer"), ("\x00", "empty")):
        with pytest.raises(BadRequest, match=words):
            shown_name(bad, 60, "Your name")


def test_what_has_ended_stays_ended_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "rooms.ended"
    Ended(path).add("one")
    again = Ended(path)
    assert "one" in again and "two" not in again
    path.write_bytes(b"{ torn")
    assert "one" not in Ended(path)
