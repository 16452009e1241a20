"""``visavis bench quality``: how good the lips are.

``visavis bench quality [video] ...`` measures rendered pictures, ``visavis bench quality motion
...`` the motion predictor alone, ``visavis bench quality renderer ...`` the mouth's refiner; add
``--help`` to each for its options.
"""

from __future__ import annotations

import sys


def main(argv: list[str] | None = None) -> int:
    """Run one of the two; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    which = (
        arguments.pop(0)
        if arguments and arguments[0] in ("motion", "renderer", "video")
        else "video"
    )
    if which == "motion":
        from benchmarks.quality import motion

        return motion.main(arguments)
    if which == "renderer":
        from benchmarks.quality import renderer

        return renderer.main(arguments)
    from benchmarks.quality import video

    return video.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
