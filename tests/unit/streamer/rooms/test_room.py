"""The rules of a room: who comes in, what they may do, and the sentence where they may not."""

from __future__ import annotations

from typing import Any

import pytest

from visavis.streamer.errors import AtCapacity, BadRequest, Conflict, Forbidden, NotFound
from visavis.streamer.rooms.access.limits import RoomLimits
from visavis.streamer.rooms.access.people import Part, Presence
from visavis.streamer.rooms.recording.consent import Stage
from visavis.streamer.rooms.room import Room


class Talk:
    """A room with everything it said."""

    def __init__(self, **limits: Any) -> None:
        self.time = 100.0
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.noted: list[tuple[str, str]] = []
        self.room = Room(
            "tea",
            "Tea",
            "sitting",
            RoomLimits(**limits),
            now=lambda: self.time,
            wall=lambda: 1e9 + self.time,
            tell=lambda message, to: self.told.append((to, message)),
            note=lambda event, who: self.noted.append((event, who)),
        )

    def come(self, *names: str, part: Part = Part.AVATAR) -> None:
        for name in names:
            self.room.enter(name, name.title(), part, host=not self.room.people)
            self.room.connected(name)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for _, message in self.told if message["type"] == kind]


def test_who_opens_it_is_the_host_and_the_next_one_inherits() -> None:
    talk = Talk()
    talk.come("ada", "ben", "cleo")
    assert [p.host for p in talk.room.seated()] == [True, False, False]
    talk.room.leave("ada")
    assert [p.host for p in talk.room.seated()] == [True, False]
    assert talk.of("leave") == [{"type": "leave", "id": "ada", "name": "Ada", "reason": "left"}]
    assert talk.of("person")[-1]["person"]["host"] is True
    assert ("room-host", "ben") in talk.noted


def test_a_full_room_says_so_and_watchers_take_no_seat() -> None:
    talk = Talk(people=2, watchers=1)
    talk.come("ada", "ben")
    talk.come("wim", part=Part.WATCHER)
    with pytest.raises(AtCapacity, match="room for 2 people"):
        talk.come("cleo")
    with pytest.raises(AtCapacity, match="1 people watching"):
        talk.come("xan", part=Part.WATCHER)
    talk.room.leave("ben")
    talk.come("cleo")


def test_a_locked_room_lets_only_those_back_in_who_have_a_seat() -> None:
    talk = Talk()
    talk.come("ada", "ben")
    with pytest.raises(Forbidden, match="Only the host"):
        talk.room.lock("ben", True)
    talk.room.lock("ada", True)
    with pytest.raises(Forbidden, match="locked"):
        talk.room.enter("cleo", "Cleo", Part.AVATAR)
    talk.room.lost("ben")
    talk.room.enter("ben", "Ben", Part.AVATAR)
    talk.room.lock("ada", False)
    talk.room.enter("cleo", "Cleo", Part.AVATAR)
    assert [m["on"] for m in talk.of("lock")] == [True, False]


def test_who_was_removed_stays_out() -> None:
    talk = Talk()
    talk.come("ada", "ben")
    with pytest.raises(BadRequest, match="Leave the call"):
        talk.room.remove("ada", "ada")
    with pytest.raises(Forbidden):
        talk.room.remove("ben", "ada")
    talk.room.remove("ada", "ben")
    assert talk.of("leave")[-1]["reason"] == "removed"
    with pytest.raises(Forbidden, match="removed you"):
        talk.room.enter("ben", "Ben", Part.AVATAR)
    with pytest.raises(NotFound):
        talk.room.remove("ada", "ben")


def test_the_link_of_who_was_removed_is_closed() -> None:
    talk = Talk()
    talk.come("ada")
    for name in ("ben", "cleo"):
        talk.room.enter(name, name, Part.AVATAR, link="one")
    talk.room.enter("dora", "Dora", Part.AVATAR, link="two")
    talk.room.remove("ada", "ben")
    with pytest.raises(Forbidden, match="closed this link"):
        talk.room.enter("ben again", "Ben", Part.AVATAR, link="one")
    talk.room.enter("eve", "Eve", Part.AVATAR, link="two")
    assert "cleo" in talk.room.people, "who is in by it stays"


def test_a_seat_is_kept_for_a_while_and_no_longer() -> None:
    talk = Talk(away_s=20)
    talk.come("ada", "ben")
    number = talk.room.find("ben").number
    talk.room.lost("ben")
    assert talk.room.find("ben").presence is Presence.AWAY
    talk.time += 19
    talk.room.poll()
    assert talk.room.enter("ben", "Ben", Part.AVATAR).number == number
    talk.room.connected("ben")
    talk.time += 1000
    talk.room.poll()
    talk.room.lost("ben")
    talk.time += 21
    talk.room.poll()
    assert [p.id for p in talk.room.seated()] == ["ada"]
    assert talk.of("leave")[-1]["reason"] == "lost"


def test_who_joined_but_never_connected_gives_the_seat_up() -> None:
    talk = Talk(away_s=20)
    talk.room.enter("ada", "Ada", Part.AVATAR, host=True)
    talk.time += 21
    talk.room.poll()
    assert not talk.room.people


def test_chat_is_cleaned_limited_and_kept_for_those_who_come_later() -> None:
    talk = Talk(chat_burst=3, chat_per_s=1.0, chat_kept=2)
    talk.come("ada", "ben")
    talk.room.say("ada", "one\u202e\x00 \ntwo  ")
    assert talk.of("chat")[0]["message"]["text"] == "one   \ntwo"
    with pytest.raises(BadRequest, match="at most 1000"):
        talk.room.say("ada", "x" * 1001)
    for nothing in ("", " \n ", None, 7, "\x00\x07"):
        with pytest.raises(BadRequest, match="empty"):
            talk.room.say("ada", nothing)
    talk.room.say("ada", "two")
    talk.room.say("ada", "three")
    with pytest.raises(BadRequest, match="too fast"):
        talk.room.say("ada", "four")
    talk.room.say("ben", "it costs only herself")
    talk.time += 1.01
    talk.room.say("ada", "five")
    texts = [message["text"] for message in talk.room.describe("ben")["chat"]]
    assert texts == ["it costs only herself", "five"]


def test_watchers_neither_write_nor_record() -> None:
    talk = Talk()
    talk.come("ada")
    talk.come("wim", part=Part.WATCHER)
    with pytest.raises(Forbidden, match="cannot write"):
        talk.room.say("wim", "hello")
    with pytest.raises(Forbidden, match="cannot record"):
        talk.room.ask_to_record("wim")
    with pytest.raises(Forbidden, match="watching only"):
        talk.room.enter("wim", "Wim", Part.AVATAR)


def test_a_flood_of_small_things_is_stopped_and_told_once_each() -> None:
    talk = Talk(actions_burst=4, actions_per_s=1.0)
    talk.come("ada", "ben")
    for n in range(4):
        talk.room.raise_hand("ben", n % 2 == 0)
    with pytest.raises(BadRequest, match="too much"):
        talk.room.raise_hand("ben", True)
    told = len(talk.told)
    talk.room.raise_hand("ben", False)
    assert len(talk.told) == told, "what changes nothing is not told"
    with pytest.raises(BadRequest, match="good, fair or poor"):
        talk.room.rate("ben", "splendid")


def test_the_host_mutes_and_the_muted_may_speak_again() -> None:
    talk = Talk()
    talk.come("ada", "ben")
    talk.room.speaks("ben", True)
    talk.room.mute_other("ada", "ben")
    person = talk.room.find("ben")
    assert person.muted and not person.speaking
    assert ("ben", {"type": "muted", "by": "ada"}) in talk.told
    talk.room.mute("ben", False)
    assert not talk.room.find("ben").muted


def test_a_recording_needs_everybody_and_one_no_ends_it() -> None:
    talk = Talk()
    talk.come("ada", "ben")
    talk.come("lea", part=Part.LISTENER)
    talk.come("wim", part=Part.WATCHER)
    talk.room.ask_to_record("ada")
    assert talk.of("recording")[-1]["waiting_for"] == ["ben", "lea"]
    with pytest.raises(Conflict, match="asked for already"):
        talk.room.ask_to_record("ben")
    talk.room.agree("ben", True)
    assert talk.room.consent.stage is Stage.ASKED
    talk.room.agree("wim", False)
    assert talk.room.consent.stage is Stage.ASKED, "who only watches is not asked"
    talk.room.agree("lea", True)
    assert talk.room.consent.stage is Stage.RUNNING
    with pytest.raises(Conflict, match="being recorded"):
        talk.room.enter("cleo", "Cleo", Part.AVATAR)
    talk.room.enter("cleo", "Cleo", Part.AVATAR, agrees=True)
    assert talk.room.consent.stage is Stage.RUNNING
    talk.room.agree("cleo", False)
    assert talk.room.consent.stage is Stage.OFF
    assert talk.of("recording")[-1]["stopped_by"] == "cleo"


def test_who_is_asked_and_leaves_is_not_waited_for() -> None:
    talk = Talk()
    talk.come("ada", "ben", "cleo")
    talk.room.ask_to_record("ada")
    talk.room.agree("ben", True)
    talk.room.leave("cleo")
    assert talk.room.consent.stage is Stage.RUNNING
    talk.room.leave("ben")
    talk.room.leave("ada")
    assert talk.room.consent.stage is Stage.OFF


def test_nothing_secret_is_told() -> None:
    talk = Talk()
    talk.come("ada", "ben")
    talk.room.find("ada").avatar_id = "0" * 32
    seen_by_ben = str(talk.room.describe("ben"))
    assert "0" * 32 not in seen_by_ben and talk.room.describe("ada")["avatar_id"] == "0" * 32
    assert all("Ada" not in str(note) for note in talk.noted), "no name reaches the audit log"
