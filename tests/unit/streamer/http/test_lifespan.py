"""The server's end: what breaks in one part keeps no other from being closed."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest

from tests.fakes.fake_avatars import FakeAvatars
from visavis.streamer.config import Config, LimitsConfig
from visavis.streamer.http.app import create_app
from visavis.streamer.worker.edge.supervisor import Life

WORKER = (sys.executable, "-m", "tests.fakes.processes.fake_worker")


@pytest.mark.parametrize("broken", ["rooms", "sessions", "avatars", "all"])
async def test_every_part_is_closed_whatever_another_does(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = FakeAvatars(tmp_path, "anna")
    config = Config(data_dir=tmp_path, limits=LimitsConfig(max_sessions=1))
    app = create_app(config, avatars=store, worker_command=WORKER)  # type: ignore[arg-type]
    services = app.state.services
    closed: list[str] = []

    def spy(name: str) -> None:
        real = getattr(services, name).close

        async def close() -> None:
            closed.append(name)
            await real()
            if broken in (name, "all"):
                raise RuntimeError("this part is broken")

        monkeypatch.setattr(getattr(services, name), "close", close)

    for name in ("rooms", "sessions", "avatars"):
        spy(name)
    async with app.router.lifespan_context(app):
        assert services.supervisor.up
        pids = services.supervisor.pids
    assert closed == ["rooms", "sessions", "avatars"]
    assert services.supervisor.life is Life.CLOSED
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
    with pytest.raises(RuntimeError, match="shutdown"):
        services.scribe.submit(print)
    assert caplog.text.count("did not close cleanly") == (3 if broken == "all" else 1)
