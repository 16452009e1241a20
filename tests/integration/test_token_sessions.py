"""A session begun with a token is its avatar's only, and ends when the token is taken back."""

from __future__ import annotations

from pathlib import Path

from tests.fakes.fake_microphone import FakeMicrophone, Viewer, beeps
from tests.fakes.processes.fake_server import put_avatar
from tests.integration.conftest import StartServer
from tests.integration.test_erasing import causes
from visavis.streamer.avatars.store import AvatarStore
from visavis.streamer.config import LimitsConfig

SERVER_TOKEN = "the server's own, 32 characters."


async def test_a_token_s_session_lives_as_long_as_the_token(
    start_server: StartServer, tmp_path: Path
) -> None:
    ada, bob = (put_avatar(tmp_path, letter, letter, "#777777").id for letter in "ab")
    store = AvatarStore(tmp_path, LimitsConfig(), 256)
    async with start_server(store=store, token=SERVER_TOKEN) as server:
        text, record = store.tokens.create("speak", 600, avatar=ada, single=True)
        server.http.headers["authorization"] = f"Bearer {text}"
        viewer = Viewer(server.http, FakeMicrophone(beeps(30)))  # names no avatar: it is Ada
        await viewer.connect()
        await viewer.until(lambda: len(viewer.frames) > 5)
        (session,) = server.services.sessions
        assert session.avatar.id == ada
        viewer.control.send(f'{{"type": "avatar", "id": "{bob}"}}')
        await viewer.until(lambda: viewer.of("error"), 3.0)
        assert "another avatar" in viewer.of("error")[0]["message"]
        again = Viewer(server.http, FakeMicrophone(beeps(5)), avatar=ada)
        refused = await again.offer()
        assert (refused.status_code, refused.json()["code"]) == (401, "token-used")
        AvatarStore(tmp_path, LimitsConfig(), 256).tokens.revoke(record.id)  # another process
        await viewer.until(lambda: viewer.of("ended"), 3.0)
        assert causes(viewer) == ["token"]
        await viewer.close()
        await again.close()
