"""Offer in, answer out, for whatever server is measured.

Three shapes are spoken: JSON ``{sdp, type}`` to ``/api/offer`` (Pipecat's SmallWebRTC and
Vis-à-vis) or ``/offer`` (aiortc's examples and what grew from them), and ``application/sdp`` to a
WHIP or WHEP address (RFC 9725), whose Location is deleted at the end.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import httpx

from visavis.benchmarks.common import BenchmarkError

PROTOCOLS = ("auto", "offer", "whip", "whep")
_TIMEOUT_S = 20.0
_PATHS = ("/api/offer", "/offer")  # tried in turn for an address without a path


@dataclass(frozen=True)
class Target:
    """A server to measure.

    Attributes:
        url: an address with or without the path that takes offers.
        protocol: one of ``PROTOCOLS``.
        request_data: sent along in the JSON shape (``avatar_id``, ``size``, ``probe``).
        headers: sent along always, say ``Authorization``.
        size: of the picture asked for, 0 to leave it to the server.
    """

    url: str
    protocol: str = "auto"
    request_data: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BenchmarkError(f"The address {self.url!r} is not one of a web server.")

    @property
    def speaks_sdp(self) -> bool:
        """Whether the bare SDP is posted, as WHIP and WHEP have it."""
        if self.protocol == "auto":
            parts = urlsplit(self.url).path.lower().split("/")
            return "whip" in parts or "whep" in parts
        return self.protocol != "offer"

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where an offer may go, in the order of trying."""
        bare = urlsplit(self.url).path.rstrip("/") == ""
        if self.speaks_sdp or not bare:
            return (self.url,)
        return tuple(self.url.rstrip("/") + path for path in _PATHS)


@dataclass(frozen=True)
class Answer:
    """What a server said.

    Attributes:
        sdp: of the answer.
        resource: address to delete in order to hang up, or empty.
    """

    sdp: str
    resource: str = ""


class Signaller:
    """Posts offers to one server.

    Args:
        target: the server.
        transport: for tests.
    """

    def __init__(self, target: Target, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._target = target
        self._http = httpx.AsyncClient(
            timeout=_TIMEOUT_S, headers=target.headers, transport=transport, follow_redirects=True
        )

    async def offer(self, sdp: str) -> Answer:
        """Post an offer.

        Raises:
            BenchmarkError: the server is not there, refused or answered nonsense.
        """
        refusal = ""
        for address in self._target.addresses:
            response = await self._post(address, sdp)
            if response.status_code in (404, 405):
                refusal = f"The server takes no offer at {address} (HTTP {response.status_code})."
                continue
            return self._read(response)
        raise BenchmarkError(refusal)

    async def hang_up(self, answer: Answer) -> None:
        """Tell the server that the session is over, where it wants to be told."""
        if answer.resource:
            with contextlib.suppress(httpx.HTTPError):
                await self._http.delete(answer.resource)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _post(self, address: str, sdp: str) -> httpx.Response:
        target = self._target
        try:
            if target.speaks_sdp:
                media = {"content-type": "application/sdp"}
                return await self._http.post(address, content=sdp, headers=media)
            body: dict[str, Any] = {"sdp": sdp, "type": "offer"}
            if target.request_data:
                body["request_data"] = target.request_data
            return await self._http.post(address, json=body)
        except httpx.HTTPError as error:
            what = "did not answer in time" if isinstance(error, httpx.TimeoutException) else (
                "cannot be reached"
            )  # fmt: skip
            raise BenchmarkError(f"The server at {address} {what}.") from error

    def _read(self, response: httpx.Response) -> Answer:
        url = str(response.url)
        if response.status_code not in (200, 201):
            raise BenchmarkError(
                f"The server refused the offer with HTTP {response.status_code}: "
                f"{_sentence(response)}"
            )
        if self._target.speaks_sdp:
            location = response.headers.get("location", "")
            return Answer(_checked(response.text, url), urljoin(url, location) if location else "")
        try:
            body = response.json()
        except ValueError:
            body = None
        if not isinstance(body, dict) or not isinstance(body.get("sdp"), str):
            raise BenchmarkError(f"The server at {url} answered the offer with nonsense.")
        session = body.get("pc_id")
        # Pipecat and Vis-à-vis name the session; only the latter can be told that it is over.
        known = isinstance(session, str) and self._target.request_data.get("probe")
        resource = urljoin(url, f"/api/sessions/{quote(session, safe='')}") if known else ""
        return Answer(_checked(body["sdp"], url), resource)


def _checked(sdp: str, url: str) -> str:
    if not sdp.lstrip().startswith("v=0") or "m=" not in sdp:
        raise BenchmarkError(f"The server at {url} answered the offer with nonsense.")
    return sdp


def _sentence(response: httpx.Response) -> str:
    with contextlib.suppress(ValueError):
        body = response.json()
        if isinstance(body, dict):
            for key in ("error", "detail", "message"):
                if isinstance(body.get(key), str):
                    return body[key][:300]
    return response.text.strip().split("\n", 1)[0][:200] or "no reason given."
