"""An avatar renamed, taken out as a file, and taken in again elsewhere."""

from __future__ import annotations

import io
import zipfile
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.unit.streamer.avatars.test_avatars import PHOTO, FakeEnroller, store_at
from visavis.models.appearance.identity import Identity
from visavis.models.appearance.photo.errors import EnrolmentRefused
from visavis.models.appearance.photo.photo import PhotoRefused
from visavis.models.appearance.photo.upload import check_sent, is_bundle
from visavis.streamer.avatars.enrolment import enrol_photo
from visavis.streamer.errors import BadRequest, Conflict, NotFound
from visavis.streamer.trust.audit import verify


async def test_a_name_can_be_changed_and_is_kept(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    record = await store.start_enrolment(PHOTO, "Anna", "", True)
    await store.wait(record.id)
    renamed = await store.rename(record.id, "  Anna\n Karenina ")
    assert renamed.name == "Anna Karenina" and renamed.consent == record.consent
    for bad in ("", "  ", "\x00", "x" * 81):
        with pytest.raises(BadRequest):
            await store.rename(record.id, bad)
    with pytest.raises(NotFound):
        await store.rename("0" * 32, "Anna")
    again = store_at(tmp_path)
    assert again.get(record.id).name == "Anna Karenina"
    assert verify(tmp_path / "audit.jsonl") >= 3
    assert "Karenina" not in (tmp_path / "audit.jsonl").read_text()


async def test_who_is_not_ready_is_not_renamed(tmp_path: Path) -> None:
    enroller = FakeEnroller(waits=True)
    store = store_at(tmp_path, enroller)
    record = await store.start_enrolment(PHOTO, "Anna", "", True)
    with pytest.raises(Conflict):
        await store.rename(record.id, "Zoe")
    with pytest.raises(Conflict):
        await store.export(record.id)
    enroller.go.set()
    await store.wait(record.id)
    await store.rename(record.id, "Zoe")


async def test_what_goes_out_comes_in_again(tmp_path: Path, astronaut_identity: Identity) -> None:
    data = astronaut_identity.to_bytes()
    assert is_bundle(data) and not is_bundle(PHOTO)
    out = tmp_path / "identity.vav"
    result = await enrol_photo(data, out, size=256, timeout_s=60)
    again = Identity.load(out)
    for entry in fields(Identity):
        np.testing.assert_equal(getattr(again, entry.name), getattr(astronaut_identity, entry.name))
    with Image.open(io.BytesIO(result.preview)) as picture:
        assert picture.size == (256, 256)


async def test_a_strange_zip_is_refused_with_a_sentence(tmp_path: Path) -> None:
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as bundle:
        bundle.writestr("identity.json", "{}")
    for data in (zipped.getvalue(), b"PK\x03\x04 and no more"):
        with pytest.raises(EnrolmentRefused, match="no identity"):
            await enrol_photo(data, tmp_path / "x.vav", size=256, timeout_s=60)
    assert not (tmp_path / "x.vav").exists()
    with pytest.raises(PhotoRefused, match="larger than"):
        check_sent(b"PK\x03\x04" + bytes(100), 50)
    with pytest.raises(PhotoRefused):
        check_sent(b"neither", 50)
