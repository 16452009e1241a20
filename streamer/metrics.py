"""What ``/metrics`` shows, in a registry of its own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from visavis.streamer.worker.protocol import Packet

# Stages. decode: a packet's; mic_in: decoded to heard by the worker; motion: heard to coefficients
# known, models their part of it; render: known to drawn, draw its part of it; ring: drawn to its
# tick; encode: tick to packet; send: packet to the network; mouth_to_lip: microphone packet to
# network.
_AGE_BUCKETS_MS = (
    0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 20, 25, 30, 40, 60, 80, 120, 140, 160, 180, 200, 260, 400,
)  # fmt: skip


class Metrics:
    """Counters and histograms of one server."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.sessions = Gauge("visavis_sessions", "Live sessions.", registry=registry)
        self.capacity = Gauge("visavis_capacity", "Sessions this machine holds.", registry=registry)
        self.tasks = Gauge("visavis_asyncio_tasks", "Tasks of the edge.", registry=registry)
        self.effort = Gauge(
            "visavis_effort",
            "What sessions get: 0 every frame, 1 every second one.",
            registry=registry,
        )
        self.viewers = Gauge("visavis_viewers", "Viewers of others' sessions.", registry=registry)
        self.started = Counter("visavis_sessions_started", "Sessions begun.", registry=registry)
        self.ended = Counter(
            "visavis_sessions_ended", "Sessions over, by cause.", ["cause"], registry=registry
        )
        self.refusals = Counter(
            "visavis_refusals", "Requests refused, by status.", ["status"], registry=registry
        )
        self.restarts = Gauge(
            "visavis_worker_restarts", "Workers that were replaced.", registry=registry
        )
        self.frames = Counter(
            "visavis_frames",
            "Frames by fate: sent, and of these late, repeated or, under overload, halved (repeats "
            "that were meant); dropped were never sent.",
            ["fate"],
            registry=registry,
        )
        self.age = Histogram(
            "visavis_frame_age_ms",
            "Milliseconds a frame spent in each stage, and from microphone packet to sent packet.",
            ["stage"],
            buckets=_AGE_BUCKETS_MS,
            registry=registry,
        )
        self.skew = Histogram(
            "visavis_av_skew_ms",
            "Picture sent minus sound sent for the same media time, milliseconds.",
            buckets=(-80, -40, -20, -10, -5, 0, 5, 10, 20, 40, 80),
            registry=registry,
        )
        self.audio = Counter(
            "visavis_audio_ms",
            "Milliseconds of sound by what became of them.",
            ["fate"],
            registry=registry,
        )
        self.delay = Gauge(
            "visavis_release_delay_ms", "Release delay of the youngest session.", registry=registry
        )

    def frame(self, packet: Packet) -> None:
        """Count one packet on its way to the viewer."""
        self.frames.labels("sent").inc()
        if packet.repeated:
            return
        for stage, value in (
            ("motion", packet.motion_ms),
            ("models", packet.push_ms),
            ("render", packet.render_ms),
            ("draw", packet.draw_ms),
            ("ring", packet.ring_ms),
            ("encode", packet.encode_ms),
        ):
            self.age.labels(stage).observe(value)

    def stage(self, name: str, seconds: float) -> None:
        """Take how long a frame was in one stage of the edge."""
        self.age.labels(name).observe(1e3 * seconds)

    def render(self) -> bytes:
        """Return the exposition text."""
        return generate_latest(self.registry)
