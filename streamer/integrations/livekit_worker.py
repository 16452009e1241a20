"""``visavis livekit-worker``: joins LiveKit rooms as an avatar, on behalf of agents elsewhere.

It runs beside a Vis-à-vis server and takes orders over HTTP: ``POST /avatars`` with the address of
the room, a token for it and whose voice to take. An avatar leaves with its room, or with its agent.
"""

# Types are checked in part: livekit, an extra that is not installed where types are checked.
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
from __future__ import annotations

import argparse
import asyncio
import hmac
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from aiohttp import web
from livekit import rtc
from livekit.agents.voice.avatar import AvatarRunner, DataStreamAudioReceiver

from visavis.streamer.errors import BadRequest, VisavisError
from visavis.streamer.hosts import is_loopback
from visavis.streamer.integrations.agent import AvatarClient
from visavis.streamer.integrations.livekit import run_avatar

logger = logging.getLogger(__name__)
_MOST_BODY: Final = 16 * 1024
_JOIN_S: Final = 25.0
Connect = Callable[[str, str], Awaitable[rtc.Room]]


@dataclass(frozen=True)
class Order:
    """What an agent asks for.

    Attributes:
        livekit_url: of the LiveKit server.
        livekit_token: lets in to the room.
        sender: identity of the participant whose voice is taken.
        avatar: its id; the newest if empty.
        size: of the pictures in pixels; the server's if 0.
        mood: as everywhere.
    """

    livekit_url: str
    livekit_token: str
    sender: str
    avatar: str = ""
    size: int = 0
    mood: str = "neutral"

    @classmethod
    def read(cls, values: object) -> Order:
        """Return an order.

        Raises:
            BadRequest: it is none.
        """
        if not isinstance(values, dict):
            raise BadRequest("The body is a JSON object.")
        known = {f.name: f for f in fields(cls)}
        given = {name: value for name, value in values.items() if name in known}
        for name in ("livekit_url", "livekit_token", "sender"):
            if not given.get(name):
                raise BadRequest(f"An avatar needs {name}.")
        for name, value in given.items():
            kind = int if name == "size" else str
            if not isinstance(value, kind) or isinstance(value, bool):
                raise BadRequest(f"{name} must be {'a number' if kind is int else 'text'}.")
        return cls(**given)


async def join(url: str, token: str) -> rtc.Room:
    """Join a room of a LiveKit server."""
    room = rtc.Room()
    await room.connect(url, token)
    return room


class Worker:
    """Avatars in rooms.

    Args:
        server: address of the Vis-à-vis server.
        token: of that server, and of this worker; "" for none.
        connect: joins a room.
    """

    def __init__(self, server: str, token: str = "", connect: Connect = join) -> None:
        self._server, self._token, self._connect = server, token, connect
        self._avatars: set[asyncio.Task[None]] = set()

    def application(self) -> web.Application:
        """Return what serves orders."""
        app = web.Application(client_max_size=_MOST_BODY)
        app.router.add_post("/avatars", self._ordered)
        app.on_shutdown.append(self._close)
        return app

    @property
    def count(self) -> int:
        """How many avatars there are."""
        return len(self._avatars)

    async def _ordered(self, request: web.Request) -> web.Response:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        right = hmac.compare_digest(given.strip().encode(), self._token.encode())
        if self._token and not (scheme.lower() == "bearer" and right):
            return _answer(401, "This worker asks for an access token.")
        try:
            try:
                order = Order.read(await request.json())
            except (ValueError, RecursionError):
                return _answer(400, "The body is a JSON object.")
            joined: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            task = asyncio.ensure_future(self._serve(order, joined))
            self._avatars.add(task)
            task.add_done_callback(self._avatars.discard)
            async with asyncio.timeout(_JOIN_S):
                await joined
        except VisavisError as error:
            return _answer(error.status, str(error))
        except Exception as error:  # LiveKit's own errors are of many kinds
            logger.info("an avatar could not join", exc_info=True)
            return _answer(502, f"The room cannot be joined: {error}.")
        return web.json_response({"avatars": self.count}, status=201)

    async def _serve(self, order: Order, joined: asyncio.Future[None]) -> None:
        """One avatar, from the order to the end of its room."""
        room: rtc.Room | None = None
        client = AvatarClient(
            self._server, avatar=order.avatar, size=order.size, mood=order.mood, raw=True,
            token=self._token,
        )  # fmt: skip
        runner: AvatarRunner | None = None
        try:
            room = await self._connect(order.livekit_url, order.livekit_token)
            over = asyncio.Event()
            _when_over(room, order.sender, over)
            receiver = DataStreamAudioReceiver(room, sender_identity=order.sender)
            runner = await run_avatar(client, room, receiver)
            joined.set_result(None)
            await _first(over.wait(), client.wait_closed(), runner.wait_for_complete())
        except asyncio.CancelledError:
            raise
        except Exception as error:
            if joined.done():
                logger.warning("an avatar has ended: %s", error)
            else:
                joined.set_exception(error)
        finally:
            if not joined.done():
                joined.cancel()
            if runner is not None:
                await runner.aclose()
            await client.close()
            if room is not None:
                await room.disconnect()

    async def _close(self, app: web.Application) -> None:
        for task in self._avatars:
            task.cancel()
        await asyncio.gather(*self._avatars, return_exceptions=True)


def _when_over(room: rtc.Room, sender: str, over: asyncio.Event) -> None:
    """Have an event set when the room ends or the agent leaves."""
    room.on("disconnected", lambda *_: over.set())

    def left(participant: Any) -> None:
        if participant.identity == sender:
            over.set()

    room.on("participant_disconnected", left)


async def _first(*waits: Any) -> None:
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _answer(status: int, sentence: str) -> web.Response:
    return web.json_response({"error": sentence}, status=status)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve orders until interrupted."""
    parser = argparse.ArgumentParser(prog="visavis livekit-worker", description=__doc__)
    parser.add_argument("--server", default="http://127.0.0.1:8080", help="the Vis-à-vis server")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090)
    wanted = parser.parse_args(arguments)
    token = os.environ.get("VISAVIS_TOKEN", "")
    if not token and not is_loopback(wanted.host):
        sys.exit(f"visavis: Serving on {wanted.host} lets others in, so set VISAVIS_TOKEN first.")
    try:
        worker = Worker(wanted.server, token)
        web.run_app(worker.application(), host=wanted.host, port=wanted.port, print=_say)
    except OSError as error:
        sys.exit(f"visavis: {wanted.host}:{wanted.port} cannot be used: {error.strerror}.")


def _say(words: str) -> None:
    sys.stdout.write(f"{words.splitlines()[0].strip('= ')}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
