"""The simulated cloud against the embedded Kubernetes, through the real client."""

import asyncio
from random import Random

from poolwright.kube.asgi_transport import AsgiTransport
from poolwright.kube.clusters import HttpClusters
from poolwright.kubesim.server import KubeSim, KubeSimSettings
from poolwright.model.kubernetes import EVENTS, JOBS, LEASES, NODES, PODS
from poolwright.providers.simulated.cloud import SimulatedCloud
from poolwright.providers.simulated.ledger import KINDS
from poolwright.providers.simulated.pod_run import PodRun
from poolwright.providers.simulated.settings import SimulatedCloudSettings
from poolwright.sim.clock import SimClock
from poolwright.sim.identity import SeededIdentity
from poolwright.sim.loop import run
from poolwright.store import SqlStore
from providers.world import CLUSTER, GPU_SIZE, component, gpu_bootstrap, machine_name, pod, request


class NoKubelet:
    """Until the cloud is there, nobody asks."""


def on_kubesim(story):
    async def whole():
        clock = SimClock(speed=60.0)
        store = SqlStore.open(None, clock=clock, kinds=KINDS)
        identity = SeededIdentity(Random("identity"))
        kubesim = KubeSim(store, clock, identity, NoKubelet(), KubeSimSettings())
        transport = AsgiTransport(kubesim.asgi_app)
        clusters = HttpClusters(kubesim, lambda _: transport, clock, Random("clusters"))
        cloud = SimulatedCloud(
            store, clusters, clock, identity, Random("cloud"), SimulatedCloudSettings()
        )
        async with transport, asyncio.TaskGroup() as group:
            tasks = [group.create_task(part.run()) for part in (kubesim, clusters, cloud)]
            await kubesim.put(CLUSTER, version="1.35.4", running=True)
            await story(cloud, clusters.kube(CLUSTER), clock)
            for task in tasks:
                task.cancel()

    run(whole())


async def passes(clock, minutes):
    for _ in range(int(minutes * 4)):
        await asyncio.sleep(0.25)


def test_a_gpu_node_with_components_on_the_embedded_kubernetes():
    async def story(cloud, kube, clock):
        made = await cloud.create_machine(request(vm_size=GPU_SIZE, setup=gpu_bootstrap()))
        await passes(clock, 6)
        node = await kube.get(NODES, made.name)
        assert node["status"]["allocatable"]["cpu"] == "23660m"
        lease = await kube.get(LEASES, made.name, namespace="kube-node-lease")
        assert lease["spec"]["holderIdentity"] == made.name
        for name in ("nvidia-device-plugin", "nvidia-dcgm-exporter"):
            body = component(name)
            body["metadata"].pop("ownerReferences")
            body["spec"]["nodeName"] = made.name
            body["spec"]["tolerations"] = [{"operator": "Exists"}]
            await kube.create(PODS, body, namespace="default")
        await passes(clock, 1)
        node = await kube.get(NODES, made.name)
        assert node["status"]["allocatable"]["nvidia.com/gpu"] == "1"
        assert node["metadata"]["labels"]["kubernetes.azure.com/dcgm-exporter"] == "enabled"
        conditions = {c["type"]: c["status"] for c in node["status"]["conditions"]}
        assert conditions["Ready"] == "True"
        assert conditions["GPUMissing"] == "False"
        plugin = await kube.get(PODS, "nvidia-device-plugin-x", namespace="default")
        result = await cloud.kubelet.execute(CLUSTER, plugin, "main", ["nvidia-smi", "-L"])
        assert result.stdout.startswith(b"GPU 0: NVIDIA A100")
        await kube.delete(PODS, "nvidia-device-plugin-x", namespace="default")
        await passes(clock, 1)
        left = (await kube.list(PODS, namespace="default")).items
        assert [p["metadata"]["name"] for p in left] == ["nvidia-dcgm-exporter-x"]
        await cloud.delete_machine(CLUSTER, made.name, uid=made.uid)
        await passes(clock, 2)
        assert (await kube.list(NODES)).items == []
        placed = [p for p in (await kube.list(PODS)).items if p["spec"].get("nodeName")]
        assert placed == []
        assert await cloud.list_machines(CLUSTER) == []

    on_kubesim(story)


def test_a_stopped_node_falls_silent_on_the_embedded_kubernetes():
    async def story(cloud, kube, clock):
        made = await cloud.create_machine(request())
        await passes(clock, 4)

        async def renewed():
            lease = await kube.get(LEASES, made.name, namespace="kube-node-lease")
            return lease["spec"]["renewTime"]

        first = await renewed()
        await asyncio.sleep(60)
        assert await renewed() > first
        await cloud.stop_machine(CLUSTER, made.name, uid=made.uid)
        await asyncio.sleep(5)
        silent = await renewed()
        await asyncio.sleep(60)
        assert await renewed() == silent
        ready = [
            c["status"]
            for c in (await kube.get(NODES, made.name))["status"]["conditions"]
            if c["type"] == "Ready"
        ]
        assert ready == ["Unknown"]

    on_kubesim(story)


def test_a_job_runs_to_completion_on_the_embedded_kubernetes():
    async def story(cloud, kube, clock):
        await cloud.create_machine(request())
        await passes(clock, 4)
        assert (await kube.list(NODES)).items[0]["metadata"]["name"] == machine_name(0)
        body = pod("train", "busybox", command=["sh", "-c", "echo hi; sleep 40"])
        template = {"spec": {**body["spec"], "restartPolicy": "Never"}}
        job = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "train"},
            "spec": {"template": template},
        }
        await kube.create(JOBS, job, namespace="default")
        await passes(clock, 2)
        done = await kube.get(JOBS, "train", namespace="default")
        assert done["status"]["succeeded"] == 1
        reasons = [e["reason"] for e in (await kube.list(EVENTS)).items]
        assert "Pulled" in reasons

    on_kubesim(story)


BARE = [{}, {"type": "Ready"}]


def test_conditions_that_say_nothing_stop_nobody():
    anywhere = [{"operator": "Exists"}]

    async def story(cloud, kube, clock):
        made = await cloud.create_machine(request())
        await passes(clock, 4)
        for name in ("first", "second"):
            body = pod(name, nodeName=made.name, tolerations=anywhere)
            await kube.create(PODS, body, namespace="default")
            await passes(clock, 1)
            found = await kube.get(PODS, name, namespace="default")
            assert found["status"]["phase"] == "Running"
            said = {"status": {"conditions": BARE, "containerStatuses": [{}]}}
            await kube.patch(PODS, name, said, namespace="default", subresource="status")
            said = {"status": {"conditions": BARE}}
            await kube.patch(NODES, made.name, said, subresource="status")
            await passes(clock, 1)

    on_kubesim(story)


def test_a_status_that_says_little_is_taken_over_by_the_next_process():
    status = {"phase": "Running", "conditions": BARE, "containerStatuses": [{}]}
    body = pod("one", nodeName="node")
    body["metadata"]["uid"] = "uid"
    taken = PodRun.from_object({**body, "status": status})
    assert taken.is_begun
    assert [run.state for run in taken.containers] == ["waiting"]
