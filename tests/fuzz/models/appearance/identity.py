"""Bundles: refused, or drawn without a crash. Changes are made inside, with the checksums right."""

from __future__ import annotations

import contextlib
import functools
import io
import zipfile

import numpy as np

from visavis.models.appearance.drawn import drawn_identity
from visavis.models.appearance.identity import Identity
from visavis.models.appearance.photo.errors import IdentityError
from visavis.models.coefficients import INDEX, neutral
from visavis.models.renderer.renderer import Renderer

SIZE = 64
_CHANGE = 5  # bytes of one: which file, where (3), and what is put there


@functools.cache
def parts() -> dict[str, bytes]:
    """Return the files of a whole bundle."""
    with zipfile.ZipFile(io.BytesIO(drawn_identity(SIZE).to_bytes())) as bundle:
        return {name: bundle.read(name) for name in sorted(bundle.namelist())}


def changed(data: bytes) -> bytes:
    """Return a bundle with the changes that the bytes describe."""
    files = {name: bytearray(content) for name, content in parts().items()}
    names = list(files)
    for at in range(0, len(data) - _CHANGE + 1, _CHANGE):
        which, *place, value = data[at : at + _CHANGE]
        content = files[names[which % len(names)]]
        offset = int.from_bytes(bytes(place), "big")
        # Half of the changes hit the header or the first numbers, where they do most.
        content[offset % (256 if which & 128 else len(content)) % len(content)] = value
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as bundle:
        for name, content in files.items():
            bundle.writestr(name, bytes(content))
    return out.getvalue()


def target(data: bytes) -> None:
    """Load raw bytes, then a changed bundle; draw what passes."""
    with contextlib.suppress(IdentityError):
        Identity.from_bytes(data)
    try:
        identity = Identity.from_bytes(changed(data))
        renderer = Renderer(identity, size=SIZE)
    except IdentityError as error:
        assert str(error).endswith(".")
        return
    values = neutral()
    for name in ("jawOpen", "eyeBlinkLeft", "headYaw"):
        values[INDEX[name]] = 0.4
    picture = renderer.render(values)
    assert picture.shape == (SIZE, SIZE, 3) and picture.dtype == np.uint8
