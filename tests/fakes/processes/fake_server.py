"""``visavis serve`` with workers that draw grey pictures: for tests of pages and connections.

The pictures' brightness follows the sound (``fake_pipeline``), so that what is seen can still be
held against what is heard, and nothing of it needs a processor to speak of.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import sys
from pathlib import Path

from PIL import Image

from visavis.streamer.avatars.record import AvatarRecord, new_record, record_bytes
from visavis.streamer.cli.main import main
from visavis.streamer.http import serve
from visavis.streamer.http.app import create_app

WORKER = (sys.executable, "-m", "tests.fakes.processes.fake_worker")
SHADES = ("#7a5c4d", "#4d6b7a", "#6a7a4d")


def put_avatar(data: Path, letter: str, name: str, shade: str) -> AvatarRecord:
    """Write an avatar that is ready, as enrolment would; its id is one letter again and again.

    The letter decides how bright it is drawn, so that one can be told from another.
    """
    record = dataclasses.replace(
        new_record(name, ""), id=32 * letter, status="ready", progress=1.0, stage="Ready"
    )
    folder = data / "avatars" / record.id
    folder.mkdir(parents=True, mode=0o700)
    picture = io.BytesIO()
    Image.new("RGB", (256, 256), shade).save(picture, "JPEG")
    (folder / "preview.jpg").write_bytes(picture.getvalue())
    (folder / "identity.vav").write_bytes(b"")
    (folder / "record.json").write_bytes(record_bytes(record))
    return record


if __name__ == "__main__":
    serve.create_app = functools.partial(create_app, worker_command=WORKER)  # type: ignore[assignment]
    main()
