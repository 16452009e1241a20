"""Pipecat's messages: what each one asks for, and when somebody is said to speak."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.browser.helpers.speech import synthetic
from tests.fakes.fake_clock import FakeClock
from visavis.streamer.errors import Conflict
from visavis.streamer.integrations import rtvi
from visavis.streamer.integrations.speaking import RATE, Speaking
from visavis.streamer.media.resample import StreamingResampler
from visavis.streamer.session.channels.chat import ChatChannel


def voice() -> np.ndarray:
    """A synthetic voice at 16 kHz, without the silence at its end."""
    loud = synthetic()
    narrow = StreamingResampler(48_000, RATE).push((0.5 * loud / np.abs(loud).max()).astype("f4"))
    return (narrow * 32_767).astype(np.int16)


def only(text: object) -> dict[str, Any]:
    (action,) = rtvi.read(text)
    assert isinstance(action, rtvi.Send)
    return action.message


def message(kind: str, **data: Any) -> str:
    return json.dumps({"label": "rtvi-ai", "type": kind, "id": "a1", "data": data})


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("2.1.0", "2.2.0"), ("1.0.0", "1.0.0"), ("3.0.0", "2.2.0"), (None, "2.2.0"), ("1.x", "2.2.0")],
)
def test_ready_is_answered_in_a_version_the_client_knows(theirs: object, ours: str) -> None:
    ready = only(message("client-ready", version=theirs, about={"library": "x"}))
    assert (ready["type"], ready["id"], ready["label"]) == ("bot-ready", "a1", "rtvi-ai")
    assert ready["data"]["version"] == ours and ready["data"]["about"]["library"] == "visavis"


def test_a_ping_needs_no_answer() -> None:
    assert rtvi.read("ping: 1793000000000") == []


def track(index: object, enabled: object) -> str:
    inner = {"type": "trackStatus", "receiver_index": index, "enabled": enabled}
    return json.dumps({"type": "signalling", "message": inner})


def test_the_microphone_s_state_mutes_and_the_camera_s_does_not() -> None:
    assert rtvi.read(track(0, False)) == [rtvi.Mute(True)]
    assert rtvi.read(track(0, True)) == [rtvi.Mute(False)]
    for index, enabled in [(1, False), (2, False), (False, False), (0, "no"), (None, None)]:
        assert rtvi.read(track(index, enabled)) == []


def test_the_bot_is_sent_away() -> None:
    assert rtvi.read(message("disconnect-bot")) == [rtvi.HangUp()]


def test_commands_and_what_is_none() -> None:
    (asked,) = rtvi.read(message("client-message", t="avatar", d={"id": "anna", "type": "mute"}))
    assert asked == rtvi.Command({"id": "anna", "type": "avatar"}, "a1")
    assert rtvi.done(asked)["id"] == "a1" and rtvi.done(asked)["type"] == "server-response"
    for text in (message("client-message", t="dance"), message("send-text"), message("unheard")):
        refused = only(text)
        assert refused["type"] == "error-response" and refused["id"] == "a1"
        assert refused["data"]["error"].endswith(".")


@pytest.mark.parametrize(
    "text",
    [b"\0", "", "{", "[]", '{"type": 3}', "null", "[" * 3000, json.dumps({"type": "x" * 70_000})],
)
def test_what_cannot_be_read_is_answered_with_a_sentence(text: object) -> None:
    assert only(text)["type"] == "error"


@given(st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["type", "id", "data", "message", "t", "d", "version", "label"]),
        inner | st.sampled_from(["signalling", "client-message", "client-ready", "avatar"]),
    ), max_leaves=12,
))  # fmt: skip
def test_nothing_that_is_sent_raises(value: object) -> None:
    text = value if isinstance(value, bytes | str) else json.dumps(value, default=repr)
    for action in rtvi.read(text):
        assert isinstance(action, rtvi.Action)


def test_speech_begins_and_ends_once_and_noise_does_neither() -> None:
    said, quiet = voice(), np.zeros(RATE, np.int16)
    speaking, changes, at = Speaking(), [], 0
    for block in np.array_split(np.concatenate([quiet, said, quiet]), 700):
        changes += speaking.push(at, block)
        at += len(block)
    assert changes[0][1] and not changes[-1][1] and not speaking.on
    assert all(a[1] != b[1] for a, b in pairwise(changes))
    assert 0.16 <= changes[0][0] / RATE - 1.0 < 0.3, "within 300 ms of the first sound"
    assert 0 < changes[-1][0] / RATE - (1.0 + len(said) / RATE) < 0.8
    click = np.zeros(RATE, np.int16)
    click[8000:8400] = 20_000
    assert Speaking().push(0, click) == []


class Opened:
    """A data channel that keeps what it is sent."""

    readyState, bufferedAmount = "open", 0

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def on(self, event: str, act: object) -> None:
        pass

    def send(self, text: str) -> None:
        self.sent.append(json.loads(text))

    @property
    def kinds(self) -> list[str]:
        return [m["type"] for m in self.sent]


def refuse(message: dict[str, Any]) -> None:
    raise Conflict("The session is still starting; try again.")


def chat(**commands: Any) -> tuple[ChatChannel, Opened, list[str]]:
    ended: list[str] = []
    channel, opened = ChatChannel(commands, FakeClock(), lambda: ended.append("over")), Opened()
    channel.attach(opened)  # type: ignore[arg-type]
    return channel, opened, ended


def test_the_bot_speaks_when_its_picture_is_released() -> None:
    channel, opened, _ = chat()
    said = voice()
    channel.sound(0, said)
    assert opened.kinds[0] == "user-started-speaking" and "bot-started-speaking" not in opened.kinds
    channel.shown(None)
    channel.shown(0.05)
    assert "bot-started-speaking" not in opened.kinds
    channel.shown(0.5)
    assert opened.kinds.count("bot-started-speaking") == 1
    channel.sound(len(said), np.zeros(RATE, np.int16))
    channel.shown(len(said) / RATE + 1)
    assert opened.kinds[-1] == "bot-stopped-speaking" and "user-stopped-speaking" in opened.kinds


def test_an_interruption_ends_the_bot_s_speech_at_once() -> None:
    channel, opened, _ = chat()
    said = voice()[: RATE // 2]
    channel.sound(0, said)
    channel.shown(0.5)
    assert opened.kinds[-1] == "bot-started-speaking"
    channel.hushed()
    assert opened.kinds[-1] == "bot-stopped-speaking"
    channel.shown(len(said) / RATE + 0.1)
    assert opened.kinds[-1] == "bot-started-speaking", "the user has not stopped"


def test_a_command_that_cannot_be_done_is_answered_under_its_id() -> None:
    done: list[object] = []
    channel, opened, ended = chat(avatar=refuse, interrupt=done.append)
    channel.receive(message("client-message", t="avatar", d={"id": "x"}))
    channel.receive(message("client-message", t="interrupt"))
    assert opened.kinds == ["error-response", "server-response"] and len(done) == 1
    assert opened.sent[0]["data"]["error"] == "The session is still starting; try again."
    channel.receive(message("disconnect-bot"))
    assert ended == ["over"]


def test_a_flood_is_told_so_once() -> None:
    channel, opened, _ = chat()
    for _ in range(200):
        channel.receive(message("unheard"))
    assert opened.kinds.count("error") == 1 and len(opened.sent) < 60


class Asking(Opened):
    """One on which the client can say something."""

    def __init__(self) -> None:
        super().__init__()
        self.say: Any = None

    def on(self, event: str, act: object) -> None:
        self.say = act

    def remove_all_listeners(self) -> None:
        self.say = None


def test_an_answer_goes_to_the_channel_that_asked() -> None:
    """A client that reconnects opens a second channel and may still ask on the first."""
    done: list[object] = []
    channel = ChatChannel({"interrupt": done.append}, FakeClock(), lambda: None)
    first, second = Asking(), Asking()
    channel.attach(first)  # type: ignore[arg-type]
    channel.attach(second)  # type: ignore[arg-type]
    second.readyState = "connecting"
    first.say(message("client-message", t="interrupt"))
    assert first.kinds == ["server-response"] and not second.kinds and len(done) == 1
    second.readyState = "open"
    second.say(message("client-message", t="interrupt"))
    assert second.kinds == ["server-response"]
    channel.detach()
    assert first.say is None and second.say is None
