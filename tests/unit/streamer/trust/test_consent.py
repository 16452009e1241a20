"""Consent: signed, for purposes, until a day, withdrawn; and nothing that was tampered with."""

from __future__ import annotations

import datetime
import json
import os
import random
from pathlib import Path

import pytest

from tests.fakes.processes.fake_server import put_avatar
from tests.unit.streamer.avatars.test_avatars import LIMITS, PHOTO, FakeEnroller, start
from visavis.streamer.avatars.store import AvatarStore
from visavis.streamer.errors import BadRequest, Forbidden
from visavis.streamer.trust import consent
from visavis.streamer.trust.consent import PURPOSES, Terms, read_terms
from visavis.streamer.trust.signing import Signer, load_signer
from visavis.streamer.trust.wall import WallTime

AVATAR = "a" * 32
NOON = datetime.datetime(2026, 11, 30, 12, tzinfo=datetime.UTC)
MUTATIONS = 10_000


@pytest.fixture
def signer() -> Signer:
    return Signer(bytes(range(32)))


def given(signer: Signer, terms: Terms = Terms("Ada Lovelace")) -> bytes:  # noqa: B008
    return consent.give(signer, AVATAR, "I agree.", terms, NOON.isoformat())


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Something near a record: a bit, a byte, a digit or a piece of it is not as it was."""
    kind, at = rng.randrange(6), rng.randrange(len(data))
    if kind == 0:
        return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
    if kind == 1:
        return data[:at] + data[at + 1 + rng.randrange(8) :]
    if kind == 2:
        return data[:at] + rng.randbytes(1 + rng.randrange(8)) + data[at:]
    if kind == 3:
        other = rng.randrange(len(data))
        return data[:at] + data[other : other + 16] + data[at + 16 :]
    if kind == 4:
        return data[:at]
    record = json.loads(data)
    name = rng.choice(sorted(record["body"]))
    record["body"][name] = rng.choice(["", "x", 1, None, [], ["call"], "2099-01-01", True])
    return json.dumps(record, separators=(",", ":")).encode()


def test_none_of_ten_thousand_mutations_is_accepted(signer: Signer) -> None:
    data, rng = given(signer), random.Random(1)
    accepted = [
        changed
        for _ in range(MUTATIONS)
        if (changed := mutated(data, rng)) != data and _reads(signer, changed)
    ]
    assert consent.read(signer, data, AVATAR).who == "Ada Lovelace"
    assert accepted == []


def _reads(signer: Signer, data: bytes) -> bool:
    try:
        consent.read(signer, data, AVATAR)
    except Forbidden as error:
        assert error.code == "consent-invalid" and str(error).endswith(".")
        return False
    return True


def test_the_same_words_written_otherwise_are_no_record(signer: Signer) -> None:
    data = given(signer)
    for other in (
        data + b"\n",
        json.dumps(json.loads(data)).encode(),
        data.replace(b"Ada", b"\\u0041da"),
        json.dumps(json.loads(data) | {"more": 1}, separators=(",", ":")).encode(),
    ):
        assert not _reads(signer, other)
    record = json.loads(data)
    record["signature"] = record["signature"].upper()
    assert not _reads(signer, json.dumps(record, separators=(",", ":")).encode())


def test_another_deployment_s_and_another_avatar_s_are_refused(signer: Signer) -> None:
    with pytest.raises(Forbidden, match="another deployment"):
        consent.read(signer, given(Signer(bytes(32))), AVATAR)
    with pytest.raises(Forbidden, match="another avatar's"):
        consent.read(signer, given(signer), "b" * 32)


@pytest.mark.parametrize("purpose", PURPOSES)
def test_each_purpose_is_asked_for_by_itself(signer: Signer, purpose: str) -> None:
    record = consent.read(signer, given(signer, Terms("Ada", (purpose,))), AVATAR)  # type: ignore[arg-type]
    record.check(purpose, NOON)
    for other in set(PURPOSES) - {purpose}:
        with pytest.raises(Forbidden) as refused:
            record.check(other, NOON)
        assert refused.value.code == "consent-purpose"


def test_it_ends_on_its_day_and_by_withdrawal(signer: Signer) -> None:
    until = read_terms("Ada", expires="2026-12-01")
    record = consent.read(signer, given(signer, until), AVATAR)
    record.check("call", NOON)
    with pytest.raises(Forbidden) as refused:
        record.check("call", NOON + datetime.timedelta(hours=12))
    assert refused.value.code == "consent-expired"
    data = consent.withdraw(signer, record, NOON.isoformat())
    gone = consent.read(signer, data, AVATAR)
    again = consent.read(signer, consent.withdraw(signer, gone, "2027-01-01"), AVATAR)
    assert gone.withdrawn == again.withdrawn and gone.text == "I agree.", "it can still be shown"
    with pytest.raises(Forbidden) as refused:
        gone.check("call", NOON)
    assert refused.value.code == "consent-withdrawn"
    with pytest.raises(Forbidden) as refused:
        record.check("call", NOON - datetime.timedelta(days=1))
    assert refused.value.code == "consent-clock"


@pytest.mark.parametrize(
    "words",
    [{"purposes": "call,fly"}, {"expires": "soon"}, {"who": 81 * "x"}, {"presence": 201 * "x"}],
)  # fmt: skip
def test_terms_that_cannot_be_read_are_refused_in_a_sentence(words: dict[str, str]) -> None:
    with pytest.raises(BadRequest):
        read_terms(**words)


# ---------------------------------------------------------------- time


def test_time_does_not_go_back_over_restarts_either(tmp_path: Path) -> None:
    now = [2_000_000_000.0]
    wall = WallTime(tmp_path / "latest", lambda: now[0])
    assert wall.seconds() == now[0]
    now[0] -= 86_400
    assert wall.seconds() == 2_000_000_000.0
    again = WallTime(tmp_path / "latest", lambda: now[0])
    assert again.seconds() == pytest.approx(2_000_000_000.0, abs=1)
    now[0] += 2 * 86_400
    assert again.seconds() == now[0]


# ---------------------------------------------------------------- in the store


def store_at(path: Path) -> AvatarStore:
    return AvatarStore(path, LIMITS, 512, enroller=FakeEnroller())


async def test_nothing_is_shown_without_a_valid_consent(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    terms = Terms(purposes=("call",), presence="seen by the operator")
    made = await store.wait((await store.start_enrolment(PHOTO, "Ada", "Yes.", True, terms)).id)
    known = store.consents.of(made.id)
    assert (known.who, known.text, known.presence) == ("Ada", "Yes.", "seen by the operator")
    assert store.bundle_path(made.id).is_file() and await store.missing([made.id]) == {}
    with pytest.raises(Forbidden, match="does not cover presenting"):
        store.bundle_path(made.id, "present")
    path = tmp_path / "avatars" / made.id / "consent.json"
    assert path.stat().st_mode & 0o077 == 0
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"call"', b'"dub"'))
    with pytest.raises(Forbidden, match="cannot be relied on"):
        store.bundle_path(made.id)
    path.unlink()
    with pytest.raises(Forbidden) as refused:
        store.bundle_path(made.id)
    assert refused.value.code == "consent-missing"
    assert list(await store_at(tmp_path).missing([made.id])) == [made.id], "nor after a restart"
    path.write_bytes(whole)
    assert await store.missing([made.id]) == {}


async def test_a_withdrawal_is_seen_by_every_process_and_can_be_followed_by_a_new_consent(
    tmp_path: Path,
) -> None:
    server, terminal = store_at(tmp_path), store_at(tmp_path)
    made = await server.wait((await start(server)).id)
    await terminal.withdraw(made.id)
    assert "withdrawn" in (await server.missing([made.id]))[made.id]
    with pytest.raises(Forbidden):
        server.bundle_path(made.id)
    assert (await server.export(made.id)) == b"bundle", "the person may still have their data"
    terminal.consents.give(server.get(made.id), Terms())
    assert server.bundle_path(made.id).is_file()
    server.erase(made.id)
    assert list((tmp_path / "avatars").iterdir()) == []


def test_avatars_of_older_versions_are_signed_once_and_say_what_they_have(tmp_path: Path) -> None:
    old = put_avatar(tmp_path, "a", "Ada", "#777777")
    store = store_at(tmp_path)
    known = store.consents.check(old.id, "record")
    assert known.text_version == "0" and "not recorded" in known.presence
    assert known.given == old.consent.time and known.purposes == PURPOSES
    later = put_avatar(tmp_path, "b", "Berta", "#777777")  # put there by hand, afterwards
    with pytest.raises(Forbidden, match="no consent"):
        store_at(tmp_path).bundle_path(later.id)


def test_the_key_is_its_owner_s_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "trust" / "signing.key"
    first = load_signer(path)
    assert load_signer(path).key_id == first.key_id and path.stat().st_mode & 0o077 == 0
    path.write_bytes(b"short")
    with pytest.raises(BadRequest, match="damaged"):
        load_signer(path)
    os.unlink(path)
    assert load_signer(path).key_id != first.key_id
