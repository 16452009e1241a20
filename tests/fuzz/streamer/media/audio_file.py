"""Sound files of any kind: samples, or one sentence."""

from __future__ import annotations

import itertools
import os
import tempfile
from pathlib import Path

import numpy as np

from visavis.streamer.errors import VisavisError
from visavis.streamer.media.files.audio_file import duration_s, read_blocks

BLOCKS = 40


def target(data: bytes) -> None:
    """Read a file at the models' rate and at the film's."""
    descriptor, name = tempfile.mkstemp(suffix=".sound")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        for rate, layout in ((16_000, "mono"), (48_000, "stereo")):
            try:
                for block in itertools.islice(read_blocks(Path(name), rate, layout=layout), BLOCKS):
                    assert np.isfinite(block).all()
                duration_s(Path(name))
            except VisavisError as error:
                assert str(error).endswith(".") and "\n" not in str(error)
    finally:
        os.unlink(name)
