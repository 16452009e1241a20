"""The Identity bundle: one file, versioned, no pickle."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import fields

import numpy as np
import pytest

from visavis.models.appearance.identity import IDENTITY_VERSION, Identity, IdentityError


def rewritten(identity: Identity, change) -> bytes:
    """Return the bundle with its files passed through ``change(name, data)``."""
    source = zipfile.ZipFile(io.BytesIO(identity.to_bytes()))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as bundle:
        for name in source.namelist():
            data = change(name, source.read(name))
            if data is not None:
                bundle.writestr(name, data)
    return out.getvalue()


def with_meta(identity: Identity, **values) -> bytes:
    def change(name: str, data: bytes) -> bytes:
        if name != "identity.json":
            return data
        return json.dumps({**json.loads(data), **values}).encode()

    return rewritten(identity, change)


def refusal(data: bytes) -> str:
    with pytest.raises(IdentityError) as caught:
        Identity.from_bytes(data)
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence and "Traceback" not in sentence
    return sentence


def test_round_trip_is_exact(astronaut_identity, tmp_path):
    path = tmp_path / "one.identity"
    astronaut_identity.save(path)
    back = Identity.load(path)
    for field in fields(Identity):
        want, got = getattr(astronaut_identity, field.name), getattr(back, field.name)
        if isinstance(want, np.ndarray):
            assert got.dtype == want.dtype and np.array_equal(got, want), field.name
        else:
            assert got == want, field.name
    assert list(tmp_path.iterdir()) == [path]


def test_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(IdentityError, match="cannot be read"):
        Identity.load(tmp_path / "nobody.identity")


def test_truncated_and_foreign_files_are_refused(astronaut_identity):
    data = astronaut_identity.to_bytes()
    refusal(data[: len(data) // 2])
    refusal(b"")
    refusal(b"\x89PNG\r\n\x1a\n" + bytes(200))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as other:
        other.writestr("identity.json", json.dumps({"magic": "something else"}))
    refusal(out.getvalue())


def test_flipped_bits_in_an_array_are_noticed(astronaut_identity):
    data = bytearray(astronaut_identity.to_bytes())
    start = data.find(b"photo.npy") + 2000
    for i in range(start, start + 64):
        data[i] ^= 0xFF
    refusal(bytes(data))


def test_newer_version_says_so(astronaut_identity):
    assert "newer" in refusal(with_meta(astronaut_identity, version=IDENTITY_VERSION + 1))


def test_pickled_array_is_refused(astronaut_identity):
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], object), allow_pickle=True)
    refusal(rewritten(astronaut_identity, lambda n, d: buffer.getvalue() if n == "rest.npy" else d))


def test_missing_array_and_wrong_shapes_are_refused(astronaut_identity):
    refusal(rewritten(astronaut_identity, lambda n, d: None if n == "alpha.npy" else d))
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((4, 4), np.uint8))
    refusal(
        rewritten(astronaut_identity, lambda n, d: buffer.getvalue() if n == "alpha.npy" else d)
    )


def test_not_finite_geometry_is_refused(astronaut_identity):
    bad = astronaut_identity.rest.copy()
    bad[0, 0] = np.nan
    buffer = io.BytesIO()
    np.save(buffer, bad)
    refusal(rewritten(astronaut_identity, lambda n, d: buffer.getvalue() if n == "rest.npy" else d))
