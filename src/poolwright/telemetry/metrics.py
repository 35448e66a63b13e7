"""Prometheus metrics of the process and its loops, and the registry that all metrics are in."""

from __future__ import annotations

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from poolwright.reconcile.loop import Pass

# Passes are milliseconds when they observe, up to minutes when a provider hangs.
_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)


disable_created_metrics()  # a second series for each counter, which nobody asks for


class Metrics:
    """The process's metrics, in a registry of their own."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._passes = Counter(
            "poolwright_reconcile_passes",
            "Finished reconcile passes.",
            ("controller", "outcome"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "poolwright_reconcile_seconds",
            "Duration of reconcile passes.",
            ("controller",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._queued = Gauge(
            "poolwright_reconcile_queued",
            "Keys that could run and wait for a worker.",
            ("controller",),
            registry=self.registry,
        )

    def on_pass(self, done: Pass) -> None:
        """Count one pass of a loop."""
        self._passes.labels(done.controller, str(done.outcome)).inc()
        self._seconds.labels(done.controller).observe(done.seconds)
        self._queued.labels(done.controller).set(done.queued)

    def text(self) -> bytes:
        """The exposition."""
        return generate_latest(self.registry)
