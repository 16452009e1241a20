"""Offers in the three dialects, against servers that behave and servers that do not."""

from __future__ import annotations

import json

import httpx
import pytest

from visavis.benchmarks.common import BenchmarkError
from visavis.benchmarks.signalling import Answer, Signaller, Target

SDP = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"


class FakeServer(httpx.AsyncBaseTransport):
    """Answers by path; keeps what it was asked."""

    def __init__(self, **answers: httpx.Response | Exception) -> None:
        self.answers = {"/" + k.replace("_", "/"): v for k, v in answers.items()}
        self.asked: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.asked.append(request)
        answer = self.answers.get(request.url.path, httpx.Response(404))
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


async def ask(target: Target, server: FakeServer) -> Answer:
    signaller = Signaller(target, server)
    try:
        return await signaller.offer(SDP)
    finally:
        await signaller.close()


def answered(**more: object) -> httpx.Response:
    return httpx.Response(200, json={"sdp": SDP, "type": "answer", **more})


async def test_bare_address_finds_either_path() -> None:
    for path in ("api_offer", "offer"):
        server = FakeServer(**{path: answered()})
        assert (await ask(Target("http://h:1"), server)).sdp == SDP
    body = json.loads(server.asked[-1].content)
    assert body == {"sdp": SDP, "type": "offer"}


async def test_wishes_and_headers_go_along_and_the_session_is_hung_up() -> None:
    server = FakeServer(api_offer=answered(pc_id="a b"))
    target = Target("http://h:1/", "auto", {"probe": True}, {"Authorization": "Bearer t"})
    signaller = Signaller(target, server)
    answer = await signaller.offer(SDP)
    await signaller.hang_up(answer)
    await signaller.close()
    assert json.loads(server.asked[0].content)["request_data"] == {"probe": True}
    assert server.asked[0].headers["authorization"] == "Bearer t"
    assert (server.asked[1].method, server.asked[1].url.raw_path) == (
        "DELETE",
        b"/api/sessions/a%20b",
    )


@pytest.mark.parametrize("protocol", ["auto", "whip", "whep"])
async def test_whip_and_whep_post_plain_sdp_and_delete_the_location(protocol: str) -> None:
    created = httpx.Response(201, headers={"location": "/resource/7"}, text=SDP)
    server = FakeServer(whip=created)
    signaller = Signaller(Target("http://h:1/whip", protocol), server)
    answer = await signaller.offer(SDP)
    await signaller.hang_up(answer)
    await signaller.close()
    assert server.asked[0].headers["content-type"] == "application/sdp"
    assert server.asked[0].content.decode() == SDP
    assert (server.asked[1].method, str(server.asked[1].url)) == ("DELETE", "http://h:1/resource/7")


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (httpx.Response(200, text="<html>hello"), "nonsense"),
        (httpx.Response(200, json=[1]), "nonsense"),
        (httpx.Response(200, json={"sdp": "hello"}), "nonsense"),
        (httpx.Response(503, json={"error": "The server is full."}), "The server is full"),
        (httpx.Response(500, text=""), "HTTP 500"),
        (httpx.ConnectError("no"), "cannot be reached"),
        (httpx.ReadTimeout("slow"), "did not answer in time"),
    ],
)
async def test_bad_servers_are_one_sentence(answer: object, sentence: str) -> None:
    with pytest.raises(BenchmarkError, match=sentence):
        await ask(Target("http://h:1/offer"), FakeServer(offer=answer))


async def test_a_server_without_offers_says_where_it_was_asked() -> None:
    with pytest.raises(BenchmarkError, match="http://h:1/offer"):
        await ask(Target("http://h:1"), FakeServer())


def test_an_address_that_is_none() -> None:
    for url in ("nonsense", "ftp://h/offer", "http://"):
        with pytest.raises(BenchmarkError, match="not one of a web server"):
            Target(url)


def test_without_chromium_nothing_is_started(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from visavis.benchmarks import common
    from visavis.benchmarks.latency import main as latency
    from visavis.benchmarks.network import main as network

    def started(*args: object, **more: object) -> None:
        raise AssertionError("something was started")

    monkeypatch.setattr(common.shutil, "which", lambda name: None)
    monkeypatch.setattr(common.subprocess, "Popen", started)
    for module in (latency, network):
        assert module.main([]) == common.FAILED
        assert capsys.readouterr().err.startswith("visavis bench: There is no Chromium")
