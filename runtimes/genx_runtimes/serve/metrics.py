"""What Prometheus is told, in base units.

Source: Prometheus, "Metric and label naming".
"""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from genx_runtimes.serve.batcher import Batcher
from genx_runtimes.serve.jobs import CallRecord

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The counters of one server; models are told apart by a label."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "genx_requests_total", "Requests.", ["path", "code"], registry=self.registry
        )
        self._duration = Histogram(
            "genx_request_duration_seconds",
            "From the first byte of a request to the last of its answer.",
            ["path"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.in_progress = Gauge(
            "genx_requests_in_progress", "Requests being answered.", registry=self.registry
        )
        self._queue = Histogram(
            "genx_queue_duration_seconds",
            "What samples waited for their call.",
            ["model"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._batch = Histogram(
            "genx_batch_size",
            "Samples of a call.",
            ["model"],
            buckets=_SIZES,
            registry=self.registry,
        )
        self._compute = Histogram(
            "genx_compute_duration_seconds",
            "What a call took.",
            ["model"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._samples = Counter(
            "genx_samples_total", "Samples made.", ["model"], registry=self.registry
        )
        self.loaded = Gauge(
            "genx_model_loaded", "Whether a model is in memory.", ["model"], registry=self.registry
        )
        self.model_bytes = Gauge(
            "genx_model_memory_bytes",
            "What a loaded model holds.",
            ["model"],
            registry=self.registry,
        )
        self._waiting = Gauge(
            "genx_queue_samples", "Samples that wait.", ["model"], registry=self.registry
        )

    def watch_queue(self, model: str, batcher: Batcher) -> None:
        """Show how many samples wait in a model's queue, that of the latest load."""
        self._waiting.labels(model).set_function(lambda: batcher.queued)

    def note_request(self, path: str, code: int, seconds: float) -> None:
        """Count a request; `path` is the route's pattern, of which there are few."""
        self._requests.labels(path, str(code)).inc()
        self._duration.labels(path).observe(seconds)

    def note_call(self, model: str, record: CallRecord) -> None:
        """Count a call of an engine."""
        self._samples.labels(model).inc(record.samples)
        self._batch.labels(model).observe(record.samples)
        self._compute.labels(model).observe(record.taken_s)
        for seconds in record.waited_s:
            self._queue.labels(model).observe(seconds)

    def render(self) -> bytes:
        """Return the text exposition format."""
        return generate_latest(self.registry)
