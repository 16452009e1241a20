"""Nothing calls out: what native libraries would send home is switched off before they load.

ONNX Runtime 1.32 looks up ``mobile.events.data.microsoft.com`` within seconds of its import and
once more when the process ends. It reads the variable below when its library is loaded, so it has
to be set before anything else of ours runs: the ``__init__`` of the lowest room does it, which
every way in passes through, child processes included.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from types import MappingProxyType

VARIABLES = MappingProxyType({"ORT_DISABLE_TELEMETRY": "1"})
"""What is set, whatever the user's environment says."""


def silence(environ: MutableMapping[str, str] = os.environ) -> None:
    """Set the variables in this process and for its children."""
    environ.update(VARIABLES)


def silenced(environ: MutableMapping[str, str] = os.environ) -> bool:
    """Whether every variable is set."""
    return all(environ.get(name) == value for name, value in VARIABLES.items())
