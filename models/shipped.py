"""Shipped weights are used only if they are what their manifest says."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path


class WeightsError(ValueError):
    """Shipped weights cannot be used; the message is one sentence for the user."""


class WeightsMissing(WeightsError, FileNotFoundError):
    """A file of the weights is not there."""


def checked(graph: Path, what: str, training: str, key: str = "sha256") -> Path:
    """Return a graph's path after checking the file against the manifest beside it.

    Args:
        graph: the file.
        what: the weights' name in a sentence.
        training: the command that makes them.
        key: of the checksum in the manifest.

    Raises:
        WeightsMissing: the file is not there.
        WeightsError: it is another than the manifest describes.
    """
    if not graph.is_file():
        raise WeightsMissing(
            f"The {what} weights are missing at {graph}; reinstall, or run '{training}'."
        )
    try:
        wanted = json.loads((graph.parent / "manifest.json").read_text("utf-8"))[key]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"The manifest of the {what} weights is damaged; reinstall.") from error
    if hashlib.sha256(graph.read_bytes()).hexdigest() != wanted:
        raise WeightsError(f"The {what} weights do not match their manifest; reinstall them.")
    return graph
