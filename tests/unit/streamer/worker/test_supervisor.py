"""Places in a worker: openings that do not meet each other, and workers that never get ready."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.fakes.fake_pipeline import FakePipeline, FakePipelines
from visavis.streamer import cpu
from visavis.streamer.clock import MonotonicClock
from visavis.streamer.errors import Unprocessable
from visavis.streamer.worker.edge import supervisor as module
from visavis.streamer.worker.edge.place import SlotLife
from visavis.streamer.worker.edge.supervisor import Life, Supervisor
from visavis.streamer.worker.overload import OverloadGuard
from visavis.streamer.worker.pipeline.pipeline import SlotSpec, WorkerSettings
from visavis.streamer.worker.protocol import Decoder, Kind, Message, Packet, control, pcm_message
from visavis.streamer.worker.worker import Worker


@dataclass
class Listener:
    packets: list[Packet] = field(default_factory=list)
    said: list[tuple[str, ...]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def on_packet(self, packet: Packet) -> None:
        self.packets.append(packet)
        self.changed.set()

    def on_worker(self, state: str) -> None:
        self.said.append(("worker", state))
        self.changed.set()

    def on_slot_failed(self, reason: str) -> None:
        self.said.append(("failed", reason))

    def on_avatar(self, avatar_id: str, state: str, error: str) -> None:
        self.said.append(("avatar", avatar_id, state))

    def on_drawn(self, frame: int) -> None: ...

    def on_motion(self, frame: int, values: NDArray[np.float32]) -> None:
        self.said.append(("motion",))


def keeper(command: str, slots: int = 1) -> Supervisor:
    settings = WorkerSettings(slots=slots)
    return Supervisor(settings, MonotonicClock(), command=(sys.executable, "-m", command))


async def test_what_comes_late_for_one_tenant_never_reaches_the_next() -> None:
    supervisor = keeper("tests.fakes.processes.stale_worker")
    await supervisor.start()
    try:
        anna, berta = Listener(), Listener()
        place = await supervisor.open(SlotSpec("anna"), anna)
        await asyncio.wait_for(anna.changed.wait(), 5)
        place.close()
        assert place.life is SlotLife.CLOSED
        again = await supervisor.open(SlotSpec("berta"), berta)
        assert again.index == place.index and again.epoch > place.epoch
        await asyncio.wait_for(berta.changed.wait(), 5)
        assert len(berta.packets) == 1 and berta.said == [], "only what is its own"
        assert again.life is SlotLife.OPEN and again.reopenings == 0
        assert anna.said == []
    finally:
        await supervisor.close()
    assert supervisor.life is Life.CLOSED and not supervisor.up


async def test_what_a_closed_place_still_sends_goes_nowhere() -> None:
    supervisor = keeper("tests.fakes.processes.stale_worker")
    await supervisor.start()
    try:
        place = await supervisor.open(SlotSpec("anna"), Listener())
        place.close()
        place.close()  # twice is once
        for send in (place.keyframe, place.interrupt, lambda: place.bitrate(300)):
            send()
        place.pcm(0, np.zeros(160, np.int16))
        assert (await supervisor.open(SlotSpec("berta"), Listener())).index == place.index
    finally:
        await supervisor.close()


async def test_the_first_worker_decides_the_light_for_all(tmp_path: Path) -> None:
    """Each timing it for itself, a face would look different after a crash."""
    seen = tmp_path / "settings"
    script = (
        "import sys, tests.fakes.processes.stale_worker as w\n"
        f"open({str(seen)!r}, 'a').write(sys.argv[sys.argv.index('--settings') + 1] + '\\n')\n"
        "w.main()"
    )
    supervisor = Supervisor(
        WorkerSettings(slots=1), MonotonicClock(), command=(sys.executable, "-c", script)
    )
    await supervisor.start()
    try:
        listener = Listener()
        await supervisor.open(SlotSpec("anna"), listener)
        listener.changed.clear()
        async with asyncio.timeout(15):
            while not supervisor.has_standby:  # noqa: ASYNC110  nothing else tells
                await asyncio.sleep(0.02)
        lights = [json.loads(line)["light"] for line in seen.read_text().splitlines()]
        assert lights == [None, True]
    finally:
        await supervisor.close()


def dying(how: str) -> tuple[str, ...]:
    return (sys.executable, "-c", how)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("raise SystemExit(1)", "ended before it was ready"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "this processor"),
    ],
)
async def test_a_worker_that_dies_at_its_start_is_one_sentence(how: str, says: str) -> None:
    supervisor = Supervisor(WorkerSettings(slots=1), MonotonicClock(), command=dying(how))
    with pytest.raises(ConnectionError, match=says):
        await supervisor.start()
    await supervisor.close()


async def test_a_worker_that_never_gets_ready_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READY_S", 0.3)
    supervisor = Supervisor(
        WorkerSettings(slots=1), MonotonicClock(), command=dying("import time; time.sleep(60)")
    )
    with pytest.raises(ConnectionError, match="was not ready"):
        await supervisor.start()
    await supervisor.close()
    assert supervisor.pids == ()


class HurriedClock(MonotonicClock):
    """Notes how long it was to sleep, and hardly does."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    async def sleep_until(self, deadline: float) -> None:
        self.waits.append(round(deadline - self.now(), 1))
        await asyncio.sleep(0.01)


async def test_a_standby_that_dies_is_tried_less_and_less_often(tmp_path: Path) -> None:
    """A processor that lacks something lacks it the next time as well."""
    tries = tmp_path / "tries"
    script = (
        "import os, signal, tests.fakes.processes.stale_worker as w\n"
        f"first = not os.path.exists({str(tries)!r})\n"
        f"open({str(tries)!r}, 'a').close()\n"
        "w.main() if first else os.kill(os.getpid(), signal.SIGILL)"
    )
    clock = HurriedClock()
    supervisor = Supervisor(WorkerSettings(slots=1), clock, command=(sys.executable, "-c", script))
    await supervisor.start()

    def standby() -> list[float]:
        return [wait for wait in clock.waits if wait > module.PING_S]

    try:
        async with asyncio.timeout(60):
            while len(standby()) < 6:  # noqa: ASYNC110  nothing else tells
                await asyncio.sleep(0.05)
        assert supervisor.up, "the first one serves all the while"
    finally:
        await supervisor.close()
    assert standby()[:6] == [1.0, 1.0, 2.0, 4.0, 8.0, 16.0]


@pytest.mark.parametrize(
    ("flags", "lacking"),
    [
        ("fpu sse4_2 avx avx2 fma", ()),
        ("fpu sse2 ssse3 cx16", ("sse4_2", "avx", "avx2", "fma")),  # kvm64
        ("fpu sse4_2 avx", ("avx2", "fma")),
    ],
)
def test_what_a_processor_lacks_is_named(
    tmp_path: Path, flags: str, lacking: tuple[str, ...]
) -> None:
    described = tmp_path / "cpuinfo"
    described.write_text(f"processor : 0\nflags\t\t: {flags}\nbugs : \n")
    assert cpu.missing(described, "x86_64") == lacking
    assert cpu.missing(described, "aarch64") == ()
    assert cpu.missing(tmp_path / "absent", "x86_64") == ()
    sentence = cpu.why_killed(-4, lacking)
    assert sentence.endswith(".") and all(name.upper() in sentence for name in lacking)
    assert cpu.why_killed(0) == cpu.why_killed(None) == cpu.why_killed(-9) == ""


async def test_an_avatar_that_cannot_be_loaded_gives_its_place_back() -> None:
    supervisor = keeper("tests.fakes.processes.fake_worker")
    await supervisor.start()
    try:
        for _ in range(3):
            with pytest.raises(Unprocessable):
                await supervisor.open(SlotSpec("/nowhere.vav"), Listener())
    finally:
        await supervisor.close()


# ------------------------------------------------------------------ the worker's side


class SlowPipelines(FakePipelines):
    """Opens when it is told to."""

    def __init__(self) -> None:
        self.opening = threading.Event()
        self.go = threading.Event()

    def open(self, spec: SlotSpec) -> FakePipeline:
        self.opening.set()
        assert self.go.wait(10)
        return FakePipeline(spec)


@pytest.fixture
def slow() -> SlowPipelines:
    return SlowPipelines()


@pytest.fixture
def edge(slow: SlowPipelines) -> Iterator[socket.socket]:
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    worker = Worker(theirs, WorkerSettings(slots=2, compute=1), slow)
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    yield ours
    slow.go.set()
    ours.close()
    thread.join(10)
    theirs.close()
    assert not thread.is_alive()


def received(edge: socket.socket, until: Kind, limit_s: float = 10.0) -> list[Message]:
    decoder, found = Decoder(), []
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        for message in decoder.feed(edge.recv(1 << 16)):
            found.append(message)
            if message.kind is until:
                return found
    raise AssertionError(f"no {until.name}")


def opening(epoch: int) -> bytes:
    return control(Kind.OPEN, 0, **SlotSpec("", size=64).to_json()).of(epoch).encode()


def test_a_place_closed_while_it_loads_holds_no_zombie(
    edge: socket.socket, slow: SlowPipelines
) -> None:
    received(edge, Kind.READY)
    edge.sendall(opening(1))
    assert slow.opening.wait(10)
    edge.sendall(Message(Kind.CLOSE, 0).of(1).encode())
    edge.sendall(Message(Kind.PING).encode())
    received(edge, Kind.PONG)  # so the closing has been read
    slow.go.set()
    edge.sendall(opening(2))
    kinds = [(m.kind, m.epoch) for m in received(edge, Kind.OPENED)]
    assert kinds == [(Kind.OPENED, 2)], "the first opening was never filled"


def test_a_late_closing_does_not_close_the_next_opening(
    edge: socket.socket, slow: SlowPipelines
) -> None:
    slow.go.set()
    received(edge, Kind.READY)
    edge.sendall(opening(1))
    received(edge, Kind.OPENED)
    edge.sendall(opening(2))
    received(edge, Kind.OPENED)
    silence = np.zeros(16_000, np.int16)
    edge.sendall(Message(Kind.CLOSE, 0).of(1).encode())
    edge.sendall(pcm_message(0, 0, silence).of(1).encode())  # of the tenant before
    edge.sendall(pcm_message(0, 0, silence).of(2).encode())
    frame, packets = 0, []
    while not packets:
        edge.sendall(Message(Kind.TICK, 0, frame.to_bytes(8, "big")).of(1).encode())
        edge.sendall(Message(Kind.TICK, 0, frame.to_bytes(8, "big")).of(2).encode())
        edge.sendall(Message(Kind.PING).encode())
        packets = [m for m in received(edge, Kind.PONG) if m.kind is Kind.PACKET]
        frame += 1
        time.sleep(0.01)
    assert {m.epoch for m in packets} == {2}


def test_overload_ends_with_the_last_session(
    edge: socket.socket, slow: SlowPipelines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the second of the next call would be refused for what the last one was too much."""
    rests: list[OverloadGuard] = []
    monkeypatch.setattr(OverloadGuard, "rest", lambda guard: rests.append(guard))
    slow.go.set()
    received(edge, Kind.READY)
    for index in (0, 1):
        spec = SlotSpec("", size=64).to_json()
        edge.sendall(control(Kind.OPEN, index, **spec).of(1).encode())
        received(edge, Kind.OPENED)
    told = []
    for index in (0, 1):
        edge.sendall(Message(Kind.CLOSE, index).of(1).encode() + Message(Kind.PING).encode())
        received(edge, Kind.PONG)
        told.append(len(rests))
    assert told == [0, 1]


@pytest.mark.parametrize("how", ["fine", "raising"])
def test_a_worker_whose_edge_is_gone_ends_without_a_word(how: str) -> None:
    """The server was told to stop while its standby was still loading."""
    script = (
        "import time, tests.fakes.fake_pipeline as fakes\n"
        "from visavis.streamer.worker.worker import serve\n"
        "def make(settings):\n"
        "    time.sleep(0.3)\n"
        f"    if {how!r} == 'raising': raise ValueError('no weights')\n"
        "    return fakes.FakePipelines()\n"
        "serve(make, warm=False)"
    )
    ours, theirs = socket.socketpair()
    worker = subprocess.Popen(
        [sys.executable, "-c", script, "--fd", str(theirs.fileno())],
        pass_fds=(theirs.fileno(),),
        stderr=subprocess.PIPE,
        text=True,
    )
    theirs.close()
    ours.close()
    _, said = worker.communicate(timeout=60)
    assert "Traceback" not in said and "Broken pipe" not in said
