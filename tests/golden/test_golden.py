"""What is enrolled, drawn and moved is what it was."""

from __future__ import annotations

import numpy as np
import pytest

from tests.golden.measure import measure
from tests.golden.record import DATA, Goldens, Measurement, compare, read_goldens


@pytest.fixture(scope="module")
def golden() -> Goldens:
    return read_goldens()


@pytest.fixture(scope="module")
def measured() -> Measurement:
    pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    return measure()


@pytest.fixture(scope="module")
def differences(golden: Goldens, measured: Measurement) -> dict[str, list[str]]:
    return compare(golden, measured)


@pytest.mark.parametrize("kind", ["photos", "identities", "frames", "motion"])
def test_nothing_differs(kind: str, differences: dict[str, list[str]]) -> None:
    assert not differences.get(kind), "\n".join(differences[kind])


def test_a_difference_is_found_on_any_machine(golden: Goldens, measured: Measurement) -> None:
    """Every picture a little brighter and every curve a little higher: more than rounding."""
    moved = {
        n: v + v.dtype.type(3 if v.dtype == np.uint8 else 15) for n, v in measured.small.items()
    }
    other = Measurement(dict.fromkeys(measured.hashes, "other"), moved)
    elsewhere = Goldens(golden.records, golden.small, exact=False)
    assert set(compare(elsewhere, other)) == {"frames", "motion"}
    if golden.hashes_here() is not None:
        assert set(compare(golden, other)) == {"photos", "identities", "frames", "motion"}


def test_they_stay_small() -> None:
    assert sum(p.stat().st_size for p in DATA.glob("*.npz")) < 600e3
    assert all(p.stat().st_size < 300e3 for p in DATA.glob("*.png"))
