"""These tests need an NVIDIA GPU; without one they end at once with the reason."""

from __future__ import annotations

import pytest

from visavis.engines.base import EngineError
from visavis.engines.gpu import Gpu, find_gpu


@pytest.fixture(scope="session")
def gpu() -> Gpu:
    try:
        return find_gpu()
    except EngineError as error:
        pytest.exit(f"{error} These tests need an NVIDIA GPU.", returncode=3)
