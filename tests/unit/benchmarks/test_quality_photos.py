"""The benchmark on portraits: whom it chooses, what it calls the worst group, what it draws."""

from __future__ import annotations

import numpy as np
import pytest

from visavis.benchmarks.quality.renderer.photos_groups import (
    TONES,
    _drift,
    by_group,
    choose,
    measure,
)
from visavis.benchmarks.quality.renderer.photos_sheet import (
    POSES,
    SPEECH,
    coefficients,
    contact_sheet,
)
from visavis.models.appearance.identity import Identity
from visavis.models.appearance.photo.tracker import MediaPipeTracker
from visavis.models.coefficients import INDEX
from visavis.models.renderer.renderer import Renderer
from visavis.models.renderer.training.people.labels import PortraitLabels


def test_everyone_is_chosen_alike():
    rng = np.random.default_rng(0)
    labels = {
        f"{n:03}.jpg": PortraitLabels(
            ("female", "male")[n % 2], ("young", "old")[int(rng.random() < 0.2)], 1 + n % 6
        )
        for n in range(200)
    }
    chosen = choose(labels, 3)
    assert len(set(chosen)) == len(chosen)
    cells = [(TONES[labels[n].tone], labels[n].sex) for n in chosen]
    # In these labels an odd tone is always one sex.
    assert {cells.count(cell) for cell in cells} == {3}
    assert sum(labels[n].age == "old" for n in chosen) >= len(chosen) // 3
    assert chosen == choose(dict(reversed(labels.items())), 3)


def test_the_worst_group_is_named_in_both_directions():
    rows = {
        f"{tone}{n}": {"tone": tone, "sex": "male", "age": "old", "sharpness": s, "flicker": f}
        for tone, s, f in (("1-2", 1.0, 0.2), ("5-6", 0.8, 0.4))
        for n in range(4)
    }
    groups = by_group(rows)
    assert groups["sharpness"]["worst"] == {"tone 5-6": pytest.approx(0.9 / 0.8)}
    assert groups["flicker"]["worst"] == {"tone 5-6": pytest.approx(0.4 / 0.3)}
    # Four against four: a group as bad comes up in 1 of 35 deals for either label.
    assert groups["flicker"]["certainty"]["by_chance"] < 0.1
    assert groups["flicker"]["certainty"]["low"] > 1.0
    small = by_group({k: v for k, v in rows.items() if k not in ("5-60", "5-61")})
    assert "tone 5-6" not in small["flicker"]["groups"]


def test_a_difference_within_chance_is_called_so():
    rng = np.random.default_rng(3)
    rows = {
        str(n): {
            "tone": ("1-2", "5-6")[n % 2],
            "sex": ("male", "female")[n // 2 % 2],
            "age": "old",
            "flicker": float(rng.lognormal(0, 0.5)),
        }
        for n in range(40)
    }
    found = by_group(rows)["flicker"]
    (ratio,) = found["worst"].values()
    assert ratio > 1.0
    assert found["certainty"]["low"] < 1.0
    assert found["certainty"]["by_chance"] > 0.05
    lost = {k: {**r, "flicker": float("nan")} for k, r in rows.items()}
    assert "worst" not in by_group(lost)["flicker"]


def test_one_portrait_is_measured(astronaut_identity: Identity):
    tracker = MediaPipeTracker()
    silence = np.stack([coefficients({"headYaw": 0.001 * n}) for n in range(6)])
    try:
        labels = PortraitLabels("female", "middle", 2)
        row = measure(astronaut_identity, tracker, silence, labels)
    finally:
        tracker.close()
    assert (row["tone"], row["sex"], row["age"]) == ("1-2", "female", "middle")
    assert row["sharpness"] > 0.85
    assert row["drift_levels"] == 0.0
    assert 0 < row["flicker"] < 1.0
    assert 0 < row["flicker_px"] < 1.0
    assert row["identity_percent"] < 8.0
    assert np.isnan(row["identity_calm_percent"])  # she smiles
    assert row["tracker_percent"] < 3.0


def test_a_renderer_that_keeps_something_is_seen_to_drift(astronaut_identity: Identity):
    class Fading(Renderer):
        shade = 0.0

        def render(self, vector):
            self.shade += 0.3
            return np.clip(super().render(vector) - self.shade, 0, 255).astype(np.uint8)

    renderer = Fading(astronaut_identity, size=64)
    assert _drift(renderer, renderer.render(coefficients({}))) > 20.0


def test_a_sheet_has_a_row_per_person_and_a_column_per_motion(astronaut_identity: Identity):
    motions = {"rest": SPEECH["rest"], "yaw": POSES["yaw +20"]}
    sheet = contact_sheet({"a": astronaut_identity}, motions, cell=64, size=256)
    assert sheet.shape == (16 + 64, 3 * 64, 3)
    rest, turned = sheet[36:, 64:128].astype(int), sheet[36:, 128:].astype(int)
    assert np.abs(rest - turned).mean() > 4
    with pytest.raises(KeyError):
        coefficients({"mouthWide": 1.0})
    assert coefficients({"eyeBlink": 0.5})[INDEX["eyeBlinkRight"]] == 0.5
