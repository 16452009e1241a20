"""Shipped weights are used only if they are what their manifest says."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path


def checked(graph: Path, what: str, training: str, key: str = "sha256") -> Path:
    """Return a graph's path after checking the file against the manifest beside it.

    Args:
        graph: the file.
        what: the weights' name in a sentence.
        training: the command that makes them.
        key: of the checksum in the manifest.

    Raises:
        FileNotFoundError: the file is not there.
        ValueError: it is another than the manifest describes.
    """
    if not graph.is_file():
        raise FileNotFoundError(
            f"The {what} weights are missing at {graph}; reinstall, or run '{training}'."
        )
    manifest = json.loads((graph.parent / "manifest.json").read_text())
    if hashlib.sha256(graph.read_bytes()).hexdigest() != manifest[key]:
        raise ValueError(f"The {what} weights do not match their manifest; reinstall them.")
    return graph
