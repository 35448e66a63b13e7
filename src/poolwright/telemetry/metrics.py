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
        self._read = Counter(
            "poolwright_reconcile_objects_read",
            "Machines, nodes and pods that passes looked at; none of them costs a request.",
            ("controller",),
            registry=self.registry,
        )
        self._queued = Gauge(
            "poolwright_reconcile_queued",
            "Keys that could run and wait for a worker.",
            ("controller",),
            registry=self.registry,
        )
        self._bugs = Counter(
            "poolwright_kubernetes_listener_failures",
            "Parts of the embedded Kubernetes that missed a change by a bug, and started over.",
            registry=self.registry,
        )
        self._requests = Counter(
            "poolwright_cluster_requests",
            "Requests of this process to the APIs of clusters; the method of a watch is WATCH.",
            ("method", "resource"),
            registry=self.registry,
        )
        self._sent = Counter(
            "poolwright_cluster_sent_bytes",
            "Bytes of those requests, with their headers, without TLS.",
            registry=self.registry,
        )
        self._received = Counter(
            "poolwright_cluster_received_bytes",
            "Bytes of the answers, with their headers, without TLS.",
            registry=self.registry,
        )

    def sent(self, method: str, path: str, size: int) -> None:
        """Count one request to a cluster's API, by the resource and subresource of its path."""
        self._requests.labels(method, resource_of(path)).inc()
        self._sent.inc(size)

    def received(self, size: int) -> None:
        """Count a part of an answer of a cluster's API."""
        self._received.inc(size)

    def on_pass(self, done: Pass) -> None:
        """Count one pass of a loop."""
        self._passes.labels(done.controller, str(done.outcome)).inc()
        self._seconds.labels(done.controller).observe(done.seconds)
        self._queued.labels(done.controller).set(done.queued)
        if done.read:
            self._read.labels(done.controller).inc(done.read)

    def on_listener_bug(self) -> None:
        """Count one listener of the embedded Kubernetes that failed."""
        self._bugs.inc()

    def text(self) -> bytes:
        """The exposition."""
        return generate_latest(self.registry)


_BEFORE_RESOURCE = {"api": 2, "apis": 3}


def resource_of(path: str) -> str:
    """``pods/status`` of a path of the Kubernetes API; ``other`` if it names no resource."""
    parts = path.strip("/").split("/")
    if parts[0] == "k8s":  # one of ours, below /k8s/<subscription>/<group>/<name>
        parts = parts[4:]
    parts = parts[_BEFORE_RESOURCE.get(parts[0], len(parts)) :] if parts else parts
    if len(parts) > 2 and parts[0] == "namespaces":
        parts = parts[2:]
    if not parts or not parts[0]:
        return "other"
    return f"{parts[0]}/{parts[2]}" if len(parts) > 2 else parts[0]
