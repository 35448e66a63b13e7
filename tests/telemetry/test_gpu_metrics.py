"""GPU figures of pools from their nodes' exporters, and where Prometheus finds these."""

import asyncio
import json
from datetime import timedelta
from random import Random

import pytest

from poolwright.model.cluster_key import ClusterKey
from poolwright.model.errors import Transient
from poolwright.model.node import Node, NodeCondition
from poolwright.ports.kube import ControlPlane
from poolwright.sim.clock import SimClock
from poolwright.sim.loop import run
from poolwright.telemetry.application import TelemetryApp
from poolwright.telemetry.gpu_metrics import GpuMetrics, read_exposition
from poolwright.telemetry.metrics import Metrics
from poolwright.telemetry.record_metrics import RecordMetrics
from poolwright.telemetry.settings import TelemetrySettings

KEY = ClusterKey("s", "rg", "c")
LABELS = {"cluster": "s/rg/c", "agent_pool": "gpunp"}


def node(name, pool="gpunp", *, is_ready=True, exporter="enabled"):
    labels = {"kubernetes.azure.com/agentpool": pool, "agentpool": pool}
    if exporter:
        labels["kubernetes.azure.com/dcgm-exporter"] = exporter
    ready = NodeCondition("True" if is_ready else "False")
    return Node(name, f"uid-{name}", "1", labels=labels, conditions={"Ready": ready})


def exposition(*utilizations, xid=0):
    rows = ["# HELP DCGM_FI_DEV_GPU_UTIL x", "garbage", 'DCGM_FI_DEV_FB_USED{gpu="9"} none']
    for index, utilization in enumerate(utilizations):
        labels = f'{{gpu="{index}",modelName="NVIDIA A100"}}'
        rows += [
            f"DCGM_FI_DEV_GPU_UTIL{labels} {utilization}",
            f"DCGM_FI_DEV_FB_USED{labels} 1024",
            f"DCGM_FI_DEV_FB_FREE{labels} 3072",
            f"DCGM_FI_DEV_POWER_USAGE{labels} 250.5",
            f'DCGM_FI_DEV_XID_ERRORS{{gpu="{index}",err_msg="a b"}} {xid}',
            f"DCGM_FI_DEV_SM_CLOCK{labels} 1410",
        ]
    return "\n".join(rows) + "\n"


class Fleet:
    """Clusters, view, client and control planes in one: what one cluster has."""

    def __init__(self, *nodes):
        self.all = list(nodes)
        self.answers = {}
        self.asked = []
        self.at_once = self.most_at_once = 0

    def view(self, cluster):
        return self

    def kube(self, cluster):
        return self

    def nodes(self, pool=None):
        return self.all

    async def proxy_node(self, name, port, path):
        self.asked.append((name, port, path))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.01)
        self.at_once -= 1
        answer = self.answers.get(name)
        if answer is None:
            raise Transient("nothing listens there")
        return answer.encode()

    async def get(self, cluster):
        return ControlPlane("v1.35.4", True, f"https://localhost:8443/k8s/{cluster}", b"")


class Story:
    def __init__(self, fleet, **settings):
        self.clock = SimClock()
        self.fleet = fleet
        self.metrics = Metrics()
        registry = self.metrics.registry
        self.settings = TelemetrySettings(**settings)
        self.gpus = GpuMetrics(registry, fleet, self.clock, self.settings, lambda: [KEY])
        self.records = RecordMetrics(registry, None, self.clock, Random(1))
        self.records.clusters[KEY] = None

    def value(self, name, **labels):
        return self.metrics.registry.get_sample_value(name, labels or LABELS)

    async def ask(self, path, *, method="GET", is_allowed=True, query=b""):
        app = TelemetryApp(
            self.metrics, self.records, self.gpus, self.fleet, self.fleet, lambda _: is_allowed
        )
        sent = []

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": method, "path": path, "query_string": query}
        await app(scope, None, send)
        return sent[0]["status"], sent[1]["body"]


def test_only_what_is_used_is_read():
    found = read_exposition(exposition(10, 30))
    assert found["DCGM_FI_DEV_GPU_UTIL"] == (10, 30)
    assert found["DCGM_FI_DEV_FB_USED"] == (1024, 1024)
    assert "DCGM_FI_DEV_SM_CLOCK" not in found
    assert read_exposition("") == {}


def test_figures_of_a_pool():
    async def scenario():
        fleet = Fleet(node("a"), node("b"), node("cpu", "np", exporter=""))
        fleet.answers = {"a": exposition(10, 30), "b": exposition(80, 80, xid=79)}
        story = Story(fleet)
        await story.gpus.round()
        assert story.value("poolwright_gpu_devices") == 4
        assert story.value("poolwright_gpu_utilization_percent") == 50
        assert story.value("poolwright_gpu_memory_used_bytes") == 4 * 2**30
        assert story.value("poolwright_gpu_memory_free_bytes") == 12 * 2**30
        assert story.value("poolwright_gpu_power_watts") == 1002
        assert story.value("poolwright_gpu_xid_devices") == 2
        assert sorted(fleet.asked) == [(name, 19400, "/metrics") for name in ("a", "b")]

    run(scenario())


def test_a_node_that_does_not_answer_is_unknown_and_never_zero():
    async def scenario():
        fleet = Fleet(node("a"), node("b"))
        fleet.answers = {"a": exposition(40), "b": exposition(80)}
        story = Story(fleet)
        await story.gpus.round()
        assert story.value("poolwright_gpu_utilization_percent") == 60
        del fleet.answers["b"]
        await story.gpus.round()
        assert story.value("poolwright_gpu_utilization_percent") == 40
        assert story.value("poolwright_gpu_scrape_failures_total") == 1
        fleet.answers.clear()
        await story.gpus.round()
        assert story.value("poolwright_gpu_utilization_percent") is None
        assert story.value("poolwright_gpu_devices") is None

    run(scenario())


def test_nodes_that_are_not_ready_are_not_asked():
    async def scenario():
        fleet = Fleet(node("a", is_ready=False))
        await Story(fleet).gpus.round()
        assert fleet.asked == []

    run(scenario())


def test_no_more_at_once_than_the_setting():
    async def scenario():
        fleet = Fleet(*(node(f"n{index:03}") for index in range(50)))
        await Story(fleet, gpu_requests=4).gpus.round()
        assert (len(fleet.asked), fleet.most_at_once) == (50, 4)

    run(scenario())


def test_exporters_are_asked_only_while_somebody_reads():
    async def scenario():
        fleet = Fleet(node("a"))
        fleet.answers = {"a": exposition(40)}
        story = Story(fleet)
        task = asyncio.create_task(story.gpus.run())
        await asyncio.sleep(100)
        assert fleet.asked == []
        assert (await story.ask("/metrics"))[0] == 200
        await asyncio.sleep(60)
        assert 2 <= len(fleet.asked) <= 5
        assert (
            b'poolwright_gpu_utilization_percent{agent_pool="gpunp"'
            in (await story.ask("/metrics"))[1]
        )
        await asyncio.sleep(story.settings.gpu_idle.total_seconds() + 60)
        asked = len(fleet.asked)
        assert story.value("poolwright_gpu_utilization_percent") is None
        await asyncio.sleep(1000)
        assert len(fleet.asked) == asked
        task.cancel()

    run(scenario())


def test_service_discovery_names_every_exporter_by_the_way_through_its_api_server():
    async def scenario():
        fleet = Fleet(node("a"), node("b", is_ready=False), node("cpu", exporter=""))
        story = Story(fleet)
        status, body = await story.ask("/discovery/dcgm-exporter")
        assert status == 200
        assert json.loads(body) == [
            {
                "targets": ["localhost:8443"],
                "labels": {
                    "__scheme__": "https",
                    "__metrics_path__": "/k8s/s/rg/c/api/v1/nodes/a:19400/proxy/metrics",
                    "instance": "a",
                    "cluster": "s/rg/c",
                    "agent_pool": "gpunp",
                },
            }
        ]
        for query, count in ((b"cluster=C", 1), (b"cluster=s/rg/c", 1), (b"cluster=x", 0)):
            _, body = await story.ask("/discovery/dcgm-exporter", query=query)
            assert len(json.loads(body)) == count

    run(scenario())


@pytest.mark.parametrize(
    ("method", "is_allowed", "status"),
    [("GET", False, 401), ("POST", True, 405), ("HEAD", True, 200)],
)
@pytest.mark.parametrize("path", ["/metrics", "/discovery/dcgm-exporter"])
def test_refusals_have_nothing_to_read(path, method, is_allowed, status):
    async def scenario():
        story = Story(Fleet(node("a")))
        got, body = await story.ask(path, method=method, is_allowed=is_allowed)
        assert got == status
        assert b"poolwright_" not in body
        assert b"gpunp" not in body

    run(scenario())


@pytest.mark.parametrize(
    "wrong",
    [
        {"gpu_interval": timedelta(0)},
        {"gpu_idle": timedelta(seconds=1)},
        {"gpu_requests": 0},
    ],
)
def test_settings_out_of_range(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TelemetrySettings(**wrong)
