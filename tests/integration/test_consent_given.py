"""A face without a valid consent says so wherever it is listed, and can be given a new one."""

from __future__ import annotations

from pathlib import Path

from tests.fakes.processes.fake_server import put_avatar
from tests.integration.conftest import StartServer
from visavis.streamer.avatars.store import AvatarStore
from visavis.streamer.config import LimitsConfig


async def test_an_avatar_says_that_it_has_no_consent_and_gets_a_new_one(
    start_server: StartServer, tmp_path: Path
) -> None:
    first, other = [put_avatar(tmp_path, letter, letter, "#777777").id for letter in "ab"]
    store = AvatarStore(tmp_path, LimitsConfig(), 256)
    async with start_server(store=store) as server:
        before = (await server.http.get(f"/api/avatars/{first}/consent")).json()
        await server.http.delete(f"/api/avatars/{first}/consent")
        listed = {a["id"]: a for a in (await server.http.get("/api/avatars")).json()["avatars"]}
        assert listed[other]["refusal"] == listed[other]["refusal_code"] == ""
        assert "withdrawn" in listed[first]["refusal"]
        assert listed[first]["refusal_code"] == "consent-withdrawn"
        in_a_call = await server.http.get(f"/api/rooms/tea/avatars/{first}")
        assert in_a_call.json()["refusal"] == listed[first]["refusal"]

        url, agreed = f"/api/avatars/{first}/consent", "I agree again."
        for body, status, code in (
            ({"consent": False, "statement": agreed}, 400, "no-consent"),
            ({"consent": "true"}, 400, "bad-request"),
            ({"consent": True, "expires": "2001-01-01"}, 400, "bad-request"),
            ({"consent": True, "purposes": "sing"}, 400, "bad-request"),
        ):
            answer = await server.http.post(url, json=body)
            assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        made = await server.http.post(url, json={"consent": True, "statement": agreed, "who": "A"})
        assert made.status_code == 201, made.text
        given = made.json()
        assert (given["text"], given["who"], given["withdrawn"]) == (agreed, "A", "")
        assert given["id"] != before["id"], "what was made under the old one has ended"
        again = (await server.http.get(f"/api/avatars/{first}")).json()
        assert again["refusal"] == ""
        missing = await server.http.post("/api/avatars/nobody/consent", json={"consent": True})
        assert missing.status_code == 404
    events = [line for line in store.audit.path.read_text().splitlines() if "consent-renew" in line]
    assert len(events) == 1 and given["id"] in events[0]
