"""What a server says about its own stages: histograms of its ``/metrics`` page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

Histograms = dict[str, dict[float, float]]


def parse(text: str) -> Histograms:
    """Return the cumulative buckets of every histogram in milliseconds that has a stage.

    Args:
        text: in Prometheus' exposition format.

    Returns:
        For each stage, counts by upper bound; nothing of a page that is none of this format.
    """
    out: Histograms = {}
    for sample in _samples(text):
        labels = sample.labels
        if "ms" in sample.name.split("_") and {"stage", "le"} <= labels.keys():
            out.setdefault(labels["stage"], {})[float(labels["le"])] = float(sample.value)
    return out


def value(text: str, name: str) -> float | None:
    """Return a figure without labels; None where the page does not have it."""
    return next((s.value for s in _samples(text) if s.name == name and not s.labels), None)


def _samples(text: str) -> list[Sample]:
    try:
        return [s for family in text_string_to_metric_families(text) for s in family.samples]
    except ValueError:
        return []


def between(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return percentiles of what each stage took between two readings.

    Percentiles are interpolated within buckets, so they are as fine as these.
    """
    out = {}
    for stage, buckets in after.items():
        bounds = sorted(buckets)
        counts = [buckets[b] - before.get(stage, {}).get(b, 0.0) for b in bounds]
        if counts and counts[-1] > 0:
            marks = {f"p{p}": _quantile(bounds, counts, p / 100) for p in (50, 95, 99)}
            out[stage] = {**marks, "n": int(counts[-1])}
    return out


def _quantile(bounds: list[float], counts: list[float], share: float) -> float:
    wanted = share * counts[-1]
    low, under = 0.0, 0.0
    for bound, count in zip(bounds, counts, strict=True):
        if count >= wanted and count > under:
            if bound == float("inf"):
                return low
            return round(low + (bound - low) * (wanted - under) / (count - under), 1)
        low, under = bound, count
    return low


def viewer(stats: list[dict[str, Any]]) -> dict[str, float]:
    """Return the mean milliseconds that the viewer's own stages took, from getStats totals."""
    if len(stats) < 2:
        return {}
    first, last = stats[0], stats[-1]

    def mean(total: str, count: str) -> float | None:
        if total not in last:
            return None
        items = last.get(count, 0) - first.get(count, 0)
        return (
            round(1000 * (last.get(total, 0) - first.get(total, 0)) / items, 1) if items else None
        )

    found = {
        "video_jitter_buffer": mean("video.jitterBufferDelay", "video.jitterBufferEmittedCount"),
        "audio_jitter_buffer": mean("audio.jitterBufferDelay", "audio.jitterBufferEmittedCount"),
        "video_decode": mean("video.totalDecodeTime", "video.framesDecoded"),
        "video_received_to_decoded": mean("video.totalProcessingDelay", "video.framesDecoded"),
    }
    return {name: value for name, value in found.items() if value is not None}
