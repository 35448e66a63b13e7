"""GPU figures of agent pools, read from the DCGM exporters of their nodes.

The series of single GPUs belong to a Prometheus that scrapes the exporters itself
(`poolwright.telemetry.discovery`); here is what a pool as a whole does. A node that does not
answer is unknown and counted as a failure: its last figures are dropped, never taken for zero.

Source of names and units: DCGM exporter's default counters (MiB, watts, percent).
"""

from __future__ import annotations

from asyncio import TaskGroup
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from poolwright.model.cluster_key import ClusterKey, PoolKey
from poolwright.model.errors import PoolwrightError
from poolwright.model.node import Node
from poolwright.plan.bootstrap import MANAGED_GPU_LABEL
from poolwright.plan.components import EXPORTER_PORT
from poolwright.ports.clock import Clock
from poolwright.ports.kube import Clusters
from poolwright.telemetry.settings import TelemetrySettings

_MIB = 1024 * 1024
_UTILIZATION = "DCGM_FI_DEV_GPU_UTIL"
_USED = "DCGM_FI_DEV_FB_USED"
_FREE = "DCGM_FI_DEV_FB_FREE"
_POWER = "DCGM_FI_DEV_POWER_USAGE"
_XID = "DCGM_FI_DEV_XID_ERRORS"
_READ = frozenset({_UTILIZATION, _USED, _FREE, _POWER, _XID})


@dataclass(frozen=True, slots=True)
class Sample:
    """What one node's exporter said: the values of each metric, one per GPU or MIG instance."""

    pool: PoolKey
    values: Mapping[str, tuple[float, ...]]


def read_exposition(text: str) -> dict[str, tuple[float, ...]]:
    """The values of the metrics that we use; anything else, and what is no number, is skipped."""
    found: dict[str, list[float]] = {}
    for line in text.splitlines():
        name = line[: line.find("{")]
        if name not in _READ:
            continue
        try:
            value = float(line.rpartition(" ")[2])
        except ValueError:
            continue
        found.setdefault(name, []).append(value)
    return {name: tuple(values) for name, values in found.items()}


def has_exporter(node: Node) -> bool:
    """Whether the node should have a managed DCGM exporter that can be asked."""
    is_managed = node.labels.get(MANAGED_GPU_LABEL) == "enabled" and not node.is_foreign
    return is_managed and node.is_ready and node.kubelet_port != 0


class GpuMetrics(Collector):
    """Asks the exporters in rounds while somebody reads the result."""

    def __init__(
        self,
        registry: CollectorRegistry,
        clusters: Clusters,
        clock: Clock,
        settings: TelemetrySettings,
        known: Callable[[], Iterable[ClusterKey]],
    ) -> None:
        self._clusters = clusters
        self._clock = clock
        self._settings = settings
        self._known = known
        self._samples: Mapping[tuple[ClusterKey, str], Sample] = {}
        self._wanted_until = clock.monotonic()
        self._failures = Counter(
            "poolwright_gpu_scrape_failures",
            "Exporters that did not answer.",
            ("cluster", "agent_pool"),
            registry=registry,
        )
        registry.register(self)

    def want(self) -> None:
        """Somebody reads: keep asking the exporters for a while."""
        idle = self._settings.gpu_idle.total_seconds()
        self._wanted_until = self._clock.monotonic() + idle

    async def run(self) -> None:
        """Ask until cancelled, and rest four times as long as a round took, so that a big fleet
        cannot take the process from those it serves.
        """
        while True:
            started = self._clock.monotonic()
            if started < self._wanted_until:
                await self.round()
            elif self._samples:
                self._samples = {}
            took = self._clock.monotonic() - started
            rest = timedelta(seconds=4 * took)
            await self._clock.sleep(max(self._settings.gpu_interval, rest))

    async def round(self) -> None:
        """Ask every exporter once."""
        waiting = iter(
            [
                (cluster, node)
                for cluster in self._known()
                for node in self._clusters.view(cluster).nodes()
                if has_exporter(node)
            ]
        )
        samples: dict[tuple[ClusterKey, str], Sample] = {}
        async with TaskGroup() as group:
            for _ in range(self._settings.gpu_requests):
                group.create_task(self._ask(waiting, samples))
        self._samples = samples

    async def _ask(
        self,
        waiting: Iterator[tuple[ClusterKey, Node]],
        samples: dict[tuple[ClusterKey, str], Sample],
    ) -> None:
        for cluster, node in waiting:
            pool = PoolKey(cluster, node.pool)
            try:
                body = await self._clusters.kube(cluster).proxy_node(
                    node.name, EXPORTER_PORT, "/metrics"
                )
            except PoolwrightError:
                self._failures.labels(str(cluster), pool.pool).inc()
                continue
            values = read_exposition(body.decode("utf-8", "replace"))
            samples[cluster, node.name] = Sample(pool, values)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The figures by pool, as of the last round."""
        pools: defaultdict[PoolKey, list[Sample]] = defaultdict(list)
        for sample in self._samples.values():
            pools[sample.pool].append(sample)
        for name, text, figure in _FIGURES:
            family = GaugeMetricFamily(name, text, labels=("cluster", "agent_pool"))
            for pool in sorted(pools):
                value = figure(pools[pool])
                if value is not None:
                    family.add_metric((str(pool.cluster), pool.pool), value)
            yield family


def _all(samples: Iterable[Sample], name: str) -> list[float]:
    return [value for sample in samples for value in sample.values.get(name, ())]


def _sum(name: str, factor: int = 1) -> Callable[[list[Sample]], float | None]:
    def figure(samples: list[Sample]) -> float | None:
        values = _all(samples, name)
        return sum(values) * factor if values else None

    return figure


def _mean(samples: list[Sample]) -> float | None:
    values = _all(samples, _UTILIZATION)
    return sum(values) / len(values) if values else None


_FIGURES: tuple[tuple[str, str, Callable[[list[Sample]], float | None]], ...] = (
    (
        "poolwright_gpu_devices",
        "GPUs, or MIG instances, whose exporter answered.",
        lambda samples: float(len(_all(samples, _USED))),
    ),
    (
        "poolwright_gpu_utilization_percent",
        "Mean utilization of the pool's GPUs; MIG instances have none.",
        _mean,
    ),
    ("poolwright_gpu_memory_used_bytes", "Frame buffer in use.", _sum(_USED, _MIB)),
    ("poolwright_gpu_memory_free_bytes", "Frame buffer that is free.", _sum(_FREE, _MIB)),
    ("poolwright_gpu_power_watts", "Power that the pool's GPUs draw.", _sum(_POWER)),
    (
        "poolwright_gpu_xid_devices",
        "GPUs whose last XID is an error.",
        lambda samples: float(sum(value != 0 for value in _all(samples, _XID))),
    ),
)
