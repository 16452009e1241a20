"""Fixtures that several tests share."""

from __future__ import annotations

import importlib.util
import platform

import pytest

from visavis.models.appearance.identity import Identity

# Not skipped but left out, as there is nothing here to be tested: NVIDIA has no compiler for this
# platform, or torch, which only training and one engine need, is not installed.
collect_ignore = ["gpu"]  # `make test-gpu` names it
if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
    collect_ignore.append("unit/engines/test_engine_compile.py")
if importlib.util.find_spec("mediapipe") is None:  # the judge of these benches; not for this Python
    collect_ignore += [
        "unit/benchmarks/test_quality_photos.py",
        "unit/benchmarks/test_quality_video.py",
        "unit/benchmarks/test_quality_people.py",
        "unit/benchmarks/test_quality_vlogger.py",
    ]
if importlib.util.find_spec("torch") is None:
    collect_ignore += [
        "unit/engines/test_engine_torch.py",
        "unit/models/training/test_refine_torch.py",
    ]


@pytest.fixture(scope="session")
def astronaut_identity() -> Identity:
    """Enrol the public-domain portrait of scikit-image once per session."""
    skimage_data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    from visavis.models.appearance.enrol import enrol
    from visavis.models.appearance.tracker.provider import open_tracker

    tracker = open_tracker()
    try:
        return enrol(skimage_data.astronaut(), tracker=tracker)
    finally:
        tracker.close()
