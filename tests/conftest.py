"""Fixtures that several tests share."""

from __future__ import annotations

import pytest

from models.appearance.identity import Identity


@pytest.fixture(scope="session")
def astronaut_identity() -> Identity:
    """Enrol the public-domain portrait of scikit-image once per session."""
    skimage_data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    from models.appearance.enrol import enrol
    from models.appearance.tracker import MediaPipeTracker

    tracker = MediaPipeTracker()
    try:
        return enrol(skimage_data.astronaut(), tracker=tracker)
    finally:
        tracker.close()
