"""Records on disk: whole, or shown as damaged; never an exception, never an avatar to use."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from visavis.streamer.avatars.folder import AvatarFolder
from visavis.streamer.avatars.record import record_bytes

ID = "0123456789abcdef0123456789abcdef"


def target(data: bytes) -> None:
    """Find an avatar whose record holds these bytes."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "avatars" / ID
        folder.mkdir(parents=True)
        (folder / "record.json").write_bytes(data)
        record = AvatarFolder(Path(place)).find(ID)
        assert record is not None and record.id == ID
        assert 0.0 <= record.progress <= 1.0
        json.loads(record_bytes(record))
