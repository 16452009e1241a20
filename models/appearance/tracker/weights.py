"""The five shipped graphs, each checked against its manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from visavis.models.shipped import WeightsError, checked

FOLDER: Final = Path(__file__).resolve().parents[2] / "weights" / "tracker"
FIND_GRAPH = FOLDER / "find.onnx"
FACE_GRAPH = FOLDER / "face.onnx"
EYE_GRAPH = FOLDER / "eye.onnx"
LIPS_GRAPH = FOLDER / "lips.onnx"
MATTE_GRAPH = FOLDER / "matte.onnx"
NAMES: Final = ("find", "face", "eye", "lips", "matte")
LANDMARKS: Final = 478
_TRAINING = "visavis train tracker"


@dataclass(frozen=True)
class Weights:
    """What a tracker runs on.

    Attributes:
        graphs: the file of each of ``NAMES``.
        mirror: ``(478,)`` which landmark each becomes in a mirror.
    """

    graphs: Mapping[str, Path]
    mirror: NDArray[np.int64]


def find_graph() -> Path:
    """Return the finder of faces; as the others, raises WeightsError."""
    return checked(FIND_GRAPH, "face finder", _TRAINING, "find_sha256")


def face_graph() -> Path:
    """Return the landmarks of a face."""
    return checked(FACE_GRAPH, "face landmark", _TRAINING, "face_sha256")


def eye_graph() -> Path:
    """Return the landmarks of an eye, closely."""
    return checked(EYE_GRAPH, "eye landmark", _TRAINING, "eye_sha256")


def lips_graph() -> Path:
    """Return the landmarks of lips, closely."""
    return checked(LIPS_GRAPH, "lip landmark", _TRAINING, "lips_sha256")


def matte_graph() -> Path:
    """Return the matte of a person."""
    return checked(MATTE_GRAPH, "matte", _TRAINING, "matte_sha256")


def shipped() -> Weights:
    """Return what is installed.

    Raises:
        WeightsMissing: a file is not there.
        WeightsError: it is another than its manifest describes.
    """
    graphs = {
        "find": find_graph(), "face": face_graph(), "eye": eye_graph(), "lips": lips_graph(),
        "matte": matte_graph(),
    }  # fmt: skip
    return Weights(graphs, read_mirror(FOLDER))


def in_folder(folder: Path) -> Weights:
    """Return what training wrote to a folder, unchecked."""
    return Weights({name: folder / f"{name}.onnx" for name in NAMES}, read_mirror(folder))


def read_mirror(folder: Path) -> NDArray[np.int64]:
    """Return which landmark each becomes in a mirror.

    Raises:
        WeightsError: the file is not there or is none.
    """
    try:
        mirror = np.array(json.loads((folder / "mirror.json").read_text("utf-8")), np.int64)
    except (OSError, ValueError, TypeError, OverflowError) as error:
        raise WeightsError("The mirror of the face landmarks is damaged; reinstall.") from error
    if mirror.shape != (LANDMARKS,) or not np.array_equal(np.sort(mirror), np.arange(LANDMARKS)):
        raise WeightsError("The mirror of the face landmarks is damaged; reinstall.")
    return mirror
