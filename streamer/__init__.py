"""The live system: media, sessions, HTTP and the command line."""

import visavis.models  # noqa: F401  switches telemetry off before onnxruntime is loaded

__version__ = "0.2.0"
