"""A program speaks through the presenter: over a real socket, with the client that users have."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from visavis.streamer.errors import BadRequest
from visavis.streamer.integrations.agent import AgentEvent, AvatarClient
from visavis.streamer.presenter.agent import AgentSocket, AgentSource, ScriptAgent
from visavis.streamer.presenter.script.script import read_script
from visavis.streamer.presenter.script.sources import Followed, ScriptSource

TONE = (8000 * np.sin(np.arange(24_000) / 9)).astype(np.int16)  # a second at 24 kHz


@pytest.fixture
def source() -> Iterator[AgentSource]:
    made = AgentSource(0)
    yield made
    made.close()


class Played:
    """A timeline on which the source's blocks lie one after the other, seen at once."""

    def __init__(self, source: AgentSource) -> None:
        self.source, self.written, self.now = source, 0, 0.0
        self.sound: list[np.ndarray] = []

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 50)):
            self.now += 0.02
            for block in self.source.take(self.now):
                self.source.placed(self.written, block)
                self.written += len(block.samples)
                self.sound.append(block.samples)
            self.source.shown(self.written)


def speak(port: int, act) -> list[AgentEvent]:
    async def run() -> list[AgentEvent]:
        async with AvatarClient(f"http://127.0.0.1:{port}", session="presenter") as avatar:
            return await act(avatar)

    return asyncio.run(asyncio.wait_for(run(), 20))


def in_thread(call) -> tuple[threading.Thread, list]:
    got: list = []
    thread = threading.Thread(target=lambda: got.append(call()), daemon=True)
    thread.start()
    return thread, got


def until(condition, what: str) -> None:
    for _ in range(1000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError(f"not within 10 s: {what}")


def test_what_a_program_appends_is_said_once_and_it_hears_when(source: AgentSource) -> None:
    assert isinstance(source, Followed)
    captions: list[tuple[str, int, float]] = []
    source.caption = lambda *words: captions.append(words)

    async def act(avatar: AvatarClient) -> list[AgentEvent]:
        await avatar.append(TONE)
        await avatar.text("A tone.")
        await avatar.flush()
        return [await avatar.until("started"), await avatar.until("finished")]

    thread, got = in_thread(lambda: speak(source.socket.port, act))
    until(lambda: source.waiting_s, "sound")
    played = Played(source)
    until(lambda: played.run(0.1) or (len(captions) > 0 and not thread.is_alive()), "the end")
    started, finished = got[0]
    assert started.segment == finished.segment == 0
    assert finished.playback_position == pytest.approx(1.0, abs=0.002)
    sound = np.concatenate(played.sound)
    assert (np.abs(sound.astype(int)) > 100).sum() == pytest.approx(48_000, rel=0.05)
    assert captions[0][0] == "A tone." and captions[0][1] >= 48_000


def test_clear_stops_it_and_the_next_program_may_come(source: AgentSource) -> None:
    played = Played(source)

    async def act(avatar: AvatarClient) -> list[AgentEvent]:
        await avatar.append(np.tile(TONE, 5))
        await asyncio.to_thread(until, lambda: source.waiting_s, "sound")
        await asyncio.to_thread(played.run, 1.0)
        await avatar.clear()
        return [await avatar.until("interrupted")]

    (event,) = speak(source.socket.port, act)
    assert 0.9 < event.playback_position < 1.1
    played.sound.clear()
    played.run(1.0)
    assert not np.concatenate(played.sound).any()
    until(lambda: not source.socket.taken, "the socket is free")

    async def nothing(avatar: AvatarClient) -> list[AgentEvent]:
        return []

    assert speak(source.socket.port, nothing) == []


def test_one_at_a_time_and_no_web_page(source: AgentSource) -> None:
    async def act(avatar: AvatarClient) -> list[AgentEvent]:
        with pytest.raises(BadRequest, match="speaks here already"):
            async with AvatarClient(source.socket.address, session="presenter"):
                pass
        return []

    speak(source.socket.port, act)
    with pytest.raises(InvalidStatus):
        connect(f"ws://127.0.0.1:{source.socket.port}/api/agent", origin="https://evil.example")


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ("{", "JSON"),
        ('{"type": "sing"}', "one of"),
        (b"\x00\x01\x02", "even number"),
        ('{"type": "append", "audio": "%%"}', "audio"),
    ],
)
def test_what_cannot_be_used_is_said_and_costs_nothing_else(
    source: AgentSource, message: str | bytes, says: str
) -> None:
    with connect(f"ws://127.0.0.1:{source.socket.port}/api/agent?rate=24000") as socket:
        assert '"ready"' in socket.recv(5)
        socket.send(message)
        assert says in str(socket.recv(5))
        socket.send(TONE.tobytes())
        until(lambda: source.waiting_s, "sound after the fault")


def test_a_rate_that_is_none_and_a_flood(source: AgentSource) -> None:
    address = f"ws://127.0.0.1:{source.socket.port}/api/agent"
    with connect(f"{address}?rate=7") as socket:
        assert "number of Hz" in str(socket.recv(5))
    with connect(address) as socket, pytest.raises(ConnectionClosed, match="Too many messages"):
        for _ in range(60):
            socket.send("{")
        for _ in range(60):
            socket.recv(5)


def test_a_taken_port_is_one_sentence(source: AgentSource) -> None:
    with pytest.raises(BadRequest, match="taken"):
        AgentSource(source.socket.port)


def test_a_program_is_the_voice_of_a_script() -> None:
    agent = ScriptAgent(0)
    try:
        steps = read_script("One two.\n\n[next]\n\nThree.")
        source = ScriptSource(steps, agent.speak)
        heard: list[str] = []

        async def act(avatar: AvatarClient) -> list[AgentEvent]:
            for _ in range(2):
                event = await avatar.until("say")
                heard.append(event.details["text"])
                await avatar.append(TONE[: 12_000 * len(heard)])
                await avatar.flush()
            return []

        speak(agent.socket.port, act)
        until(lambda: all(f.done() for f in source._spoken.values()), "both paragraphs")
        seconds, now, marks = 0.0, 0.0, []
        while not source.ended and now < 20:
            now += 0.01
            for block in source.take(now):
                seconds += 0.01 * bool(np.abs(block.samples).max() > 100)
                marks += block.marks
        assert heard == ["One two.", "Three."]
        assert [m.step.kind for m in marks] == ["say", "next", "say"]
        assert marks[0].seconds == pytest.approx(0.5, abs=0.02)
        assert seconds == pytest.approx(1.5, abs=0.1) and source.problem == ""
        source.close()
    finally:
        agent.close()


def test_sound_nobody_asked_for_is_refused() -> None:
    agent = ScriptAgent(0)
    try:
        with connect(f"ws://127.0.0.1:{agent.socket.port}/api/agent") as socket:
            assert '"ready"' in socket.recv(5)
            socket.send(TONE.tobytes())
            assert "Wait for say" in str(socket.recv(5))
    finally:
        agent.close()


def test_a_script_whose_program_never_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("visavis.streamer.presenter.agent._ANSWER_S", 0.05)
    agent = ScriptAgent(0)
    try:
        with pytest.raises(BadRequest, match="No program came"):
            agent.speak("Hello.")
        with connect(f"ws://127.0.0.1:{agent.socket.port}/api/agent") as socket:
            assert '"ready"' in socket.recv(5)
            with pytest.raises(BadRequest, match="does not answer"):
                agent.speak("Hello.")
    finally:
        agent.close()


def test_the_end_is_told() -> None:
    class Deaf:
        def clear(self) -> None: ...

    made = AgentSocket(0, Deaf())  # type: ignore[arg-type]
    with connect(f"ws://127.0.0.1:{made.port}/api/agent") as socket:
        assert '"ready"' in socket.recv(5)
        made.close()
        assert "ended" in str(socket.recv(5))
