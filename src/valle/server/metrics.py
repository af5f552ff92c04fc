"""Metrics of a server, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_FIRST_AUDIO_BUCKETS = (0.03, 0.05, 0.08, 0.12, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0)


class Metrics:
    """What a server counts. Each application has its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.requests = Counter(
            "valle_requests",
            "Requests by route and status.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self.speech_seconds = Counter(
            "valle_speech_seconds", "Seconds of speech that were made.", registry=self._registry
        )
        self.first_audio = Histogram(
            "valle_first_audio_seconds",
            "Time from a request to its first audio.",
            buckets=_FIRST_AUDIO_BUCKETS,
            registry=self._registry,
        )
        self.cancelled = Counter(
            "valle_cancelled", "Speech whose client left before its end.", registry=self._registry
        )
        self.rejected = Counter(
            "valle_rejected", "Requests that met a limit.", ["limit"], registry=self._registry
        )
        self.running = Gauge(
            "valle_running_requests", "Speech that is being made.", registry=self._registry
        )
        self.loaded = Gauge(
            "valle_model_loaded", "Whether the model is in memory.", registry=self._registry
        )

    def render(self) -> bytes:
        """Return all metrics as Prometheus reads them."""
        return generate_latest(self._registry)
