"""``python -m visavis.models.warm``: compile every inner loop for this machine, once.

The compiled code lands in numba's cache, where live sessions and enrolment find it. It is made by
enrolling and drawing a drawn person, so no untrusted byte is near.
"""

from __future__ import annotations

import sys

from visavis.models.appearance.enrol import enrol
from visavis.models.appearance.photo.photo import sanitise
from visavis.models.appearance.portrait import synthetic_portrait
from visavis.models.appearance.tracker.provider import open_tracker
from visavis.models.renderer.renderer import Renderer


def main() -> int:
    """Compile; returns the exit code."""
    tracker = open_tracker()
    identity = enrol(sanitise(synthetic_portrait()), tracker=tracker, size=256)
    tracker.close()
    Renderer(identity, size=256)
    return 0


if __name__ == "__main__":
    sys.exit(main())
