"""Photos of any kind: upright pixels, or a refusal with a code."""

from __future__ import annotations

import numpy as np

from visavis.models.appearance.photo.errors import EnrolmentRefused
from visavis.models.appearance.photo.photo import sanitise

MAX_PIXELS = 250_000


def target(data: bytes) -> None:
    """Decode as the photo child does, with little memory allowed."""
    try:
        photo = sanitise(data, max_bytes=1 << 20, max_pixels=MAX_PIXELS)
    except EnrolmentRefused as refusal:
        assert str(refusal).endswith(".") and refusal.code
    else:
        assert photo.dtype == np.uint8 and photo.shape[2] == 3
