"""``visavis bench quality``: how good the lips are.

``visavis bench quality [video] ...`` measures rendered pictures, ``visavis bench quality motion
...`` the motion predictor alone, ``visavis bench quality renderer ...`` the mouth's light against
the truth, ``visavis bench quality synthetic ...`` whole frames of held-out synthetic people, and
``visavis bench quality photos ...`` photos, on against off; ``visavis bench quality people ...``
puts our pictures of real people beside their own videos; ``visavis bench quality portraits ...``
measures and draws the warp on portraits of everyone; ``visavis bench quality vlogger ...`` fills
the table that papers on talking heads have, by group; ``visavis bench quality faces ...`` holds our
face tracker against MediaPipe; add ``--help`` to each for its options.
"""

from __future__ import annotations

import importlib
import sys

_MODULES = {
    "video": "visavis.benchmarks.quality.video",
    "motion": "visavis.benchmarks.quality.motion.motion",
    "renderer": "visavis.benchmarks.quality.renderer.renderer",
    "photos": "visavis.benchmarks.quality.renderer.renderer_photos",
    "portraits": "visavis.benchmarks.quality.renderer.photos",
    "synthetic": "visavis.benchmarks.quality.renderer.renderer_people",
    "people": "visavis.benchmarks.quality.people",
    "vlogger": "visavis.benchmarks.quality.vlogger.vlogger",
    "faces": "visavis.benchmarks.quality.faces.faces",
}


def main(argv: list[str] | None = None) -> int:
    """Run one of them; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    which = arguments.pop(0) if arguments and arguments[0] in _MODULES else "video"
    return int(importlib.import_module(_MODULES[which]).main(arguments))


if __name__ == "__main__":
    sys.exit(main())
