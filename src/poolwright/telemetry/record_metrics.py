"""What the records say, as metrics: operations, agent pools, clusters and their nodes.

It follows the changes of the ARM records: a change costs O(1), a scrape costs what it shows. Each
replica counts what it saw since it started, so that a sum over replicas counts twice; the gauges
are the same on all.
"""

from __future__ import annotations

from collections.abc import Hashable
from random import Random
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from poolwright.model.agent_pool import AGENT_POOL, OPERATION, OperationSpec, OperationStatus
from poolwright.model.cluster_key import ClusterKey
from poolwright.model.managed_cluster import MANAGED_CLUSTER
from poolwright.model.record import Stored
from poolwright.ports.clock import Clock
from poolwright.ports.store import Change, Store
from poolwright.reconcile.loop import supervise
from poolwright.reconcile.records import follow_records

K = TypeVar("K", bound=Hashable)

_ARM = "arm/"
# Wall time: a simulated pool takes seconds at speed 60, a real upgrade takes hours.
_SECONDS = (0.3, 1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000)


class _States:
    """How many things are in each state, kept per thing so that hearing twice changes nothing."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._state: dict[Hashable, str] = {}

    def put(self, key: Hashable, state: str) -> None:
        before = self._state.get(key)
        if before == state:
            return
        if before is not None:
            self._gauge.labels(before).dec()
        self._state[key] = state
        self._gauge.labels(state).inc()

    def remove(self, key: Hashable) -> None:
        before = self._state.pop(key, None)
        if before is not None:
            self._gauge.labels(before).dec()

    def has(self, key: Hashable) -> bool:
        return key in self._state


class RecordMetrics:
    """Metrics of the records of one store."""

    def __init__(
        self, registry: CollectorRegistry, store: Store, clock: Clock, rng: Random
    ) -> None:
        self._store = store
        self._clock = clock
        self._rng = rng
        self.clusters: dict[ClusterKey, None] = {}
        """The clusters that there are."""
        self._heard: set[tuple[str, str, str]] | None = None
        """What changed since a look at everything began: the look is older than that."""
        self._running = _States(
            Gauge(
                "poolwright_operations_running",
                "Operations in progress, by type.",
                ("type",),
                registry=registry,
            )
        )
        self._ended = Counter(
            "poolwright_operations",
            "Operations that ended, by type and terminal state.",
            ("type", "state"),
            registry=registry,
        )
        self._seconds = Histogram(
            "poolwright_operation_seconds",
            "Wall time from an operation's acceptance to its end.",
            ("type", "state"),
            buckets=_SECONDS,
            registry=registry,
        )
        self._pools = _States(
            Gauge(
                "poolwright_agent_pools",
                "Agent pools, by provisioning state.",
                ("state",),
                registry=registry,
            )
        )
        self._cluster_states = _States(
            Gauge(
                "poolwright_managed_clusters",
                "Managed clusters, by provisioning state.",
                ("state",),
                registry=registry,
            )
        )
        self._reachable = Gauge(
            "poolwright_cluster_reachable",
            "Whether the API server of an adopted cluster answers and lets us in: 1 or 0.",
            ("cluster",),
            registry=registry,
        )
        self._nodes = Gauge(
            "poolwright_nodes",
            "Nodes of an agent pool, by state: ready or not_ready.",
            ("cluster", "agent_pool", "state"),
            registry=registry,
        )

    async def run(self) -> None:
        """Follow the records until cancelled."""
        await supervise("telemetry/records", self._follow, self._clock, self._rng)

    async def _follow(self) -> None:
        await follow_records(self._store, _ARM, self._look, self._on_change)

    async def _look(self) -> None:
        self._heard = set()
        for kind in (MANAGED_CLUSTER, AGENT_POOL, OPERATION):
            records: Any = await self._store.find(_ARM, kind)
            for record in records:
                if (record.scope, kind.name, record.name) not in self._heard:
                    self._on_record(record)
        self._heard = None

    def _on_change(self, change: Change) -> None:
        record = change.record
        if self._heard is not None:
            self._heard.add((record.scope, record.kind.name, record.name))
        if not change.deleted:
            self._on_record(record)
            return
        key = (record.scope, record.name)
        match record.kind.name:
            case AGENT_POOL.name:
                self._pools.remove(key)
                self._forget_nodes(record)
            case MANAGED_CLUSTER.name:
                self._cluster_states.remove(key)
                self.clusters.pop(_cluster_of(record), None)
                if record.spec.is_adopted:
                    self._reachable.remove(str(_cluster_of(record)))
            case OPERATION.name:
                self._running.remove(key)
            case _:
                pass

    def _on_record(self, record: Stored[Any, Any]) -> None:
        key = (record.scope, record.name)
        match record.kind.name:
            case AGENT_POOL.name:
                self._pools.put(key, record.status.provisioning_state.value)
                self._show_nodes(record)
            case MANAGED_CLUSTER.name:
                self._cluster_states.put(key, record.status.provisioning_state.value)
                self.clusters[_cluster_of(record)] = None
                if record.spec.is_adopted:
                    reachable = self._reachable.labels(str(_cluster_of(record)))
                    reachable.set(record.status.outage is None)
            case OPERATION.name:
                self._on_operation(key, record)
            case _:
                pass

    def _on_operation(self, key: Hashable, record: Stored[OperationSpec, OperationStatus]) -> None:
        spec, status = record.spec, record.status
        if not status.state.is_terminal:
            self._running.put(key, spec.type)
            return
        if not self._running.has(key):
            return  # it ended before we looked, or we were told already
        self._running.remove(key)
        self._ended.labels(spec.type, status.state.value).inc()
        if status.ended_at is not None:
            seconds = (status.ended_at - status.started_at).total_seconds()
            self._seconds.labels(spec.type, status.state.value).observe(seconds)

    def _show_nodes(self, record: Stored[Any, Any]) -> None:
        status = record.status
        counts = {
            "ready": status.ready_count,
            "not_ready": max(0, status.machine_count - status.ready_count),
        }
        cluster = str(_cluster_of(record))
        for state, count in counts.items():
            self._nodes.labels(cluster, record.name, state).set(count)

    def _forget_nodes(self, record: Stored[Any, Any]) -> None:
        cluster = str(_cluster_of(record))
        for state in ("ready", "not_ready"):
            self._nodes.remove(cluster, record.name, state)


def _cluster_of(record: Stored[Any, Any]) -> ClusterKey:
    return ClusterKey.parse(record.scope.removeprefix(_ARM))
