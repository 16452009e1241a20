"""Run a graph, wherever it runs."""

import visavis.models  # noqa: F401  switches telemetry off before onnxruntime is loaded
