"""The Identity bundle: one file, versioned, no pickle."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import fields

import numpy as np
import pytest

from visavis.models.appearance.face.basis import load_basis
from visavis.models.appearance.identity import IDENTITY_VERSION, Identity, IdentityError
from visavis.models.coefficients import INDEX, neutral
from visavis.models.renderer.geometry.geometry import Rig


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


def test_a_bundle_of_before_smiles_were_kept_rests_without_one(astronaut_identity):
    older = rewritten(astronaut_identity, lambda name, data: data if name != "kept.npy" else None)
    identity = Identity.from_bytes(older)
    assert identity.kept.size == 0
    smile = {"mouthSmileLeft": 0.5, "mouthSmileRight": 0.5}
    vector = neutral()
    vector[[INDEX[n] for n in smile]] = list(smile.values())
    wide, narrow = (
        Rig(load_basis(), person, 256).express(Rig(load_basis(), person, 256).map(vector)).copy()
        for person in (identity, astronaut_identity)
    )
    corners = load_basis().landmarks[[61, 291]]
    # The same rest here, so what is not known to be kept comes on top of it.
    assert np.ptp(wide[corners, 0]) > np.ptp(narrow[corners, 0])


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


def with_array(identity: Identity, name: str, values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return rewritten(identity, lambda n, d: buffer.getvalue() if n == f"{name}.npy" else d)


def test_the_drawn_person_is_whole(drawn):
    assert Identity.from_bytes(drawn.to_bytes()).size == 256


@pytest.fixture(scope="module")
def drawn() -> Identity:
    from visavis.models.appearance.drawn import drawn_identity

    return drawn_identity(256)


ARRAYS = {
    "float photo": ("photo", lambda a: a.astype(np.float32)),
    "wide alpha": ("alpha", lambda a: a.astype(np.int64)),
    "big-endian": ("source", lambda a: a.astype(">f4")),
    "double": ("rest", lambda a: a.astype(np.float64)),
    "complex": ("offset", lambda a: a.astype(np.complex64)),
    "far vertex": ("source", lambda a: np.where(np.arange(len(a))[:, None] == 7, 1e9, a)),
    "far head": ("offset", lambda a: a + 1e7),
    "large head": ("rest", lambda a: a * 1e6),
    "infinite": ("rotation", lambda a: a + np.inf),
    "not a number": ("expression", lambda a: a * np.nan),
    "squashed": ("rotation", lambda a: a * 0),
    "mirrored": ("rotation", lambda a: a * np.array([-1, 1, 1], np.float32)),
    "no vertices": ("rest", lambda a: a[:0]),
    "one expression": ("expression", lambda a: a[:1]),
    "teeth of another size": ("teeth", lambda a: np.zeros((9, 9, 4), np.uint8)),
    "half of a smile": ("kept", lambda a: a[:20]),
    "more than a smile": ("kept", lambda a: a + 3),
    "frames of another size": ("frames", lambda a: np.zeros((9, 9), np.uint8)),
    "lids larger than the picture": ("lids", lambda a: np.zeros((2, 900, 900, 3), np.uint8)),
    "lids that are oblong": ("lids", lambda a: a[:, :20]),
    "five dimensions": ("photo", lambda a: a[None, None]),
}


@pytest.mark.parametrize("what", sorted(ARRAYS))
def test_an_array_that_does_not_fit_is_refused(drawn, what):
    name, change = ARRAYS[what]
    values = change(getattr(drawn, name))
    if values.dtype == np.float64 and what != "double":
        values = values.astype(np.float32)
    refusal(with_array(drawn, name, values))


EYE = {"left": 83, "top": 71, "iris": [103.0, 91.0], "iris_radius": 4.0}
METAS = {
    "no size": {"size": 0},
    "size of text": {"size": "256"},
    "size that is true": {"size": True},
    "huge": {"size": 10**9},
    "scale": {"scale": 0.0},
    "scale that is none": {"scale": None},
    "endless scale": {"scale": float("inf")},
    "smile": {"smile": float("nan")},
    "eyes apart": {"inter_ocular_px": -5.0},
    "one eye": {"eyes": [EYE]},
    "eye outside": {"eyes": [EYE, {**EYE, "left": 255}]},
    "eye before the picture": {"eyes": [EYE, {**EYE, "top": -1}]},
    "eye between pixels": {"eyes": [EYE, {**EYE, "left": 83.5}]},
    "iris without end": {"eyes": [EYE, {**EYE, "iris_radius": 1e30}]},
    "iris in three dimensions": {"eyes": [EYE, {**EYE, "iris": [1.0, 2.0, 3.0]}]},
    "notes": {"notes": [{"a": 1}]},
    "endless notes": {"notes": ["x"] * 1000},
    "unknown field": {"surprise": 1},
}


@pytest.mark.parametrize("what", sorted(METAS))
def test_a_value_that_does_not_fit_is_refused(drawn, what):
    refusal(with_meta(drawn, **METAS[what]))


def test_an_array_that_claims_more_than_there_is_memory(drawn):
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000000,), }"
    head = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
    refusal(rewritten(drawn, lambda n, d: head if n == "photo.npy" else d))


def test_deep_nesting_is_refused(drawn):
    deep = b"[" * 100_000
    refusal(rewritten(drawn, lambda n, d: deep if n == "identity.json" else d))
