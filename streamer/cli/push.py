"""``visavis push``: have a running server push a session to a WHIP endpoint."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from visavis.streamer.errors import BadRequest, Conflict, NotFound

if TYPE_CHECKING:
    import httpx

_LOOK_S = 0.5


def push(
    whip: Annotated[str, typer.Option(help="WHIP endpoint, such as https://sfu.example/whip.")],
    token: Annotated[str, typer.Option(help="Its bearer token.")] = "",
    session: Annotated[str, typer.Option(help="pc_id; the only live session if left out.")] = "",
    server: Annotated[str, typer.Option(help="The running server.")] = "http://127.0.0.1:8080",
    seconds: Annotated[float, typer.Option(min=0, help="Stop after so long; 0: Ctrl-C.")] = 0.0,
) -> None:
    """Push a live session to a WHIP endpoint, so that an SFU takes it to thousands.

    The token of the server itself is read from VISAVIS_TOKEN. Its setting server.push_to says where
    to may be pushed; addresses of this machine need no leave.
    """
    import httpx

    own = os.environ.get("VISAVIS_TOKEN", "")
    headers = {"authorization": f"Bearer {own}"} if own else {}
    base = server if server.endswith("/") else f"{server}/"
    with httpx.Client(base_url=base, headers=headers, timeout=15, trust_env=False) as http:
        pc_id = session or _only_session(http)
        made = _ask(http, "POST", f"api/sessions/{pc_id}/push", {"url": whip, "token": token})
        address = f"api/sessions/{pc_id}/push"
        try:
            _follow(http, address, made["id"], seconds)
        finally:
            http.request("DELETE", f"{address}/{made['id']}")


def _only_session(http: httpx.Client) -> str:
    live = [s for s in _ask(http, "GET", "api/sessions")["sessions"] if s["state"] == "live"]
    if not live:
        raise NotFound("No session is live on this server.")
    if len(live) > 1:
        raise BadRequest("Several sessions are live; name one with --session.")
    return str(live[0]["pc_id"])


def _follow(http: httpx.Client, address: str, push_id: str, seconds: float) -> None:
    told, end = "", time.monotonic() + seconds
    while not seconds or time.monotonic() < end:
        pushes = {p["id"]: p for p in _ask(http, "GET", address)["pushes"]}
        if push_id not in pushes:
            raise Conflict("The session is over.")
        now = pushes[push_id]
        said = f"{now['state']}: {now['problem']}" if now["problem"] else now["state"]
        if said != told:
            typer.echo(said)
            told = said
        time.sleep(_LOOK_S)


def _ask(http: httpx.Client, method: str, path: str, body: Any = None) -> Any:
    import httpx

    try:
        response = http.request(method, path, json=body)
    except httpx.HTTPError as error:
        raise NotFound(f"The server at {http.base_url} cannot be reached.") from error
    if response.is_success:
        return response.json()
    try:
        sentence = str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        sentence = f"The server answered with {response.status_code}."
    raise BadRequest(sentence)
