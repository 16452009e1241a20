"""The enrolment child: confine, read a photo from stdin, write a bundle, say how it went.

``python -P -m visavis.streamer.avatars.child JOB`` with JOB a JSON object. What it says on stdout
is one JSON object a line: ``{"progress", "stage"}`` as it goes, and last ``{"done": {...}}``,
``{"refused": sentence}``, ``{"full": true}`` for a disk without room, or ``{"open": [...]}`` for
demanded measures that do not hold. Anything else, silence included, is a crash to its parent.
Bundle and preview are written to descriptors that the parent opened.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visavis.streamer.avatars.sandbox import ProcessLimits, confine

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from visavis.models.appearance.photo.tracker import FaceLandmarks, FaceTracker

_TURNED_SIDE = 400  # px
# Share of the whole that is over when each stage begins, from measured times.
_READ_AT, _FACE_AT, _ENROL_AT, _PREVIEW_AT = 0.05, 0.1, 0.2, 0.9


class _Pipe:
    """The line to the parent; everything else that prints goes nowhere."""

    def __init__(self) -> None:
        self._file = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def say(self, **message: Any) -> None:
        self._file.write(json.dumps(message) + "\n")
        self._file.flush()


def main(argument: str) -> None:
    """Run one enrolment as the job in ``argument`` says."""
    began = time.perf_counter()
    job = json.loads(argument)
    folder = Path(job["folder"])
    pipe = _Pipe()
    data = sys.stdin.buffer.read()
    held = confine(
        ProcessLimits(**job["limits"]),
        readable=[Path(p) for p in job["readable"]],
        writable=[folder],
    )
    if missing := [measure for measure in job["demand"] if measure not in held]:
        pipe.say(open=missing)
        return
    pipe.say(progress=_READ_AT, stage="Reading the photo")
    from visavis.models.appearance.photo.errors import EnrolmentRefused

    try:
        notes, timing = _enrol(data, job, pipe)
    except EnrolmentRefused as refusal:
        pipe.say(refused=str(refusal), code=refusal.code)
    except MemoryError:
        pipe.say(
            refused="The photo needs more memory than enrolment may use; send a smaller copy.",
            code="too-large",
        )
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        pipe.say(full=True)
    else:
        timing["all"] = time.perf_counter() - began
        rounded = {name: round(seconds, 3) for name, seconds in timing.items()}
        pipe.say(done={"notes": notes, "held": held, "timing": rounded})


def _enrol(data: bytes, job: dict[str, Any], pipe: _Pipe) -> tuple[list[str], dict[str, float]]:
    clock = _Stopwatch()
    from visavis.models.appearance.photo.upload import is_bundle

    if is_bundle(data):
        return _adopt(data, job, pipe), clock.laps
    from visavis.models.appearance.photo.photo import around_face, sanitise

    photo = sanitise(data, max_bytes=job["max_bytes"], max_pixels=job["max_pixels"])
    clock.lap("photo")
    if job.get("show"):
        _write(job["preview"], _as_jpeg(photo))
        return [], clock.laps
    pipe.say(progress=_FACE_AT, stage="Looking for the face")
    import cv2

    from visavis.models.appearance.layers.covered import refuse_covered
    from visavis.models.appearance.tracker.provider import open_tracker

    cv2.setNumThreads(1)
    tracker = _Remembering(open_tracker(job.get("tracker", "auto")))
    clock.lap("tracker")
    photo, notes = upright(photo, tracker)
    if len(faces := tracker.detect(photo)) == 1:
        photo = around_face(photo, faces[0].box)
    clock.lap("face")
    pipe.say(progress=_ENROL_AT, stage="Measuring the face")
    from visavis.models.appearance.enrol import enrol

    clock.lap("imports")

    def report(done: float, stage: str) -> None:
        share = min(1.0, max(0.0, done))
        pipe.say(progress=_ENROL_AT + share * (_PREVIEW_AT - _ENROL_AT), stage=stage)

    identity = enrol(photo, tracker=tracker, size=job["size"], progress=report)
    refuse_covered(photo, tracker.detect(photo)[0].points)
    clock.lap("enrol")
    bundle = identity.to_bytes()
    _write(job["bundle"], bundle)
    clock.lap("save")
    pipe.say(progress=_PREVIEW_AT, stage="Drawing the first picture")
    _write(job["preview"], _draw(bundle, job["size"]))
    clock.lap("preview")
    return [*notes, *(str(note) for note in getattr(identity, "notes", ()))], clock.laps


def _adopt(data: bytes, job: dict[str, Any], pipe: _Pipe) -> list[str]:
    """Take over another server's bundle: read as strictly as our own, and written anew."""
    from visavis.models.appearance.identity import Identity
    from visavis.models.appearance.photo.errors import EnrolmentRefused, IdentityError

    try:
        identity = Identity.from_bytes(data)
    except IdentityError as error:
        raise EnrolmentRefused(str(error), "corrupt") from None
    bundle = identity.to_bytes()
    _write(job["bundle"], bundle)
    pipe.say(progress=_PREVIEW_AT, stage="Drawing the first picture")
    _write(job["preview"], _draw(bundle, job["size"]))
    return [str(note) for note in getattr(identity, "notes", ())]


def _as_jpeg(picture: NDArray[np.uint8], quality: int = 95) -> bytes:
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", quality=quality)
    return out.getvalue()


def _draw(bundle: bytes, size: int) -> bytes:
    """Render the bundle at rest: what the page shows, and proof that the bundle works."""
    from visavis.models.appearance.identity import Identity
    from visavis.models.coefficients import neutral
    from visavis.models.renderer.renderer import Renderer

    picture = Renderer(Identity.from_bytes(bundle), size=size).render(neutral())
    return _as_jpeg(picture, quality=88)


def _write(descriptor: int, data: bytes) -> None:
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def upright(photo: NDArray[np.uint8], tracker: FaceTracker) -> tuple[NDArray[np.uint8], list[str]]:
    """Turn a photo that lies on its side by its largest face; phones forget to say so.

    Returns:
        The photo and, where it was turned, a sentence about it.
    """
    import cv2
    import numpy as np

    # A face that only shows when the photo is turned is looked for in a small copy: the search for
    # tiny faces is paid once, not four times.
    scale = min(1.0, _TURNED_SIDE / max(photo.shape[:2]))
    small = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    for turns in (0, 1, 3, 2):  # quarter turns, counter-clockwise
        turned = np.ascontiguousarray(np.rot90(small, turns), np.uint8) if turns else photo
        faces = tracker.detect(turned)
        if not faces:
            continue
        points = faces[0].points
        right, left = points[[33, 133], :2].mean(axis=0), points[[263, 362], :2].mean(axis=0)
        roll = float(np.degrees(np.arctan2(left[1] - right[1], left[0] - right[0])))
        more = round(roll / 90.0) % 4
        total = (turns + more) % 4
        if total == 0:
            return photo, []
        note = "The photo was lying on its side or upside down and has been turned upright."
        return np.ascontiguousarray(np.rot90(photo, total)), [note]
    return photo, []


class _Remembering:
    """A tracker that looks at the same photo once; three steps ask for its faces."""

    def __init__(self, tracker: FaceTracker) -> None:
        self._tracker = tracker
        self._seen: NDArray[np.uint8] | None = None
        self._faces: list[FaceLandmarks] = []

    def detect(self, photo: NDArray[np.uint8]) -> list[FaceLandmarks]:
        if self._seen is None or photo is not self._seen:
            self._seen, self._faces = photo, self._tracker.detect(photo)
        return self._faces

    def segment(self, photo: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self._tracker.segment(photo)


class _Stopwatch:
    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = now - self._last
        self._last = now


if __name__ == "__main__":
    main(sys.argv[1])
