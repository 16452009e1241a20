"""The child that looks at somebody's video: it has no network, no files, and ends with its answer.

``python -P -m visavis.streamer.avatars.detector.verify_child JOB`` reads a video from stdin into
memory and says one line of JSON: ``{"found": {...}}``, ``{"refused": sentence}`` or ``{"open":
[...]}`` for demanded measures that do not hold. The video is never in a file: FFmpeg reads it by
the name that the system gives to an open descriptor.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

from visavis.streamer.avatars.sandbox import ProcessLimits, confine


def main(argument: str) -> None:
    """Look at one video as the job in ``argument`` says."""
    job = json.loads(argument)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    memory = os.memfd_create("video")
    with os.fdopen(os.dup(memory), "wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    held = confine(
        ProcessLimits(**job["limits"]),
        readable=[Path(p) for p in job["readable"]],
        writable=[Path(job["folder"])],
    )
    if missing := [measure for measure in job["demand"] if measure not in held]:
        _say(out, {"open": missing})
        return
    from visavis.streamer.errors import BadRequest
    from visavis.streamer.trust.marks.verdict import verify_file

    try:
        found = verify_file(Path(f"/proc/self/fd/{memory}"), None, Path(job["data_dir"]))
    except BadRequest:
        _say(out, {"refused": "This file cannot be read as a video, or holds no pictures."})
    else:
        described = found.describe()
        described.pop("marked")
        _say(out, {"found": described})


def _say(out: object, message: dict[str, object]) -> None:
    out.write(json.dumps(message) + "\n")  # type: ignore[attr-defined]
    out.flush()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main(sys.argv[1])
