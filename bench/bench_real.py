"""Agent pools on a real Kubernetes: what we add to the machines' own time, how fast nodes come
beside KWOK alone, and what a thousand nodes cost our process.

Run: python bench/bench_real.py [--parts rate overhead] [--nodes 1000]. The overhead waits ten
minutes for machines; it is not part of ``make bench``.
Needs the binaries of ``make live-tools``; without them it says so and ends well. The Kubernetes
(etcd, API server, controller manager, scheduler, KWOK) runs on the same machine.

The **machines' own time** of a pool is read from the cloud's ledger after the server has ended:
of each machine, from the first segment of its course (it was accepted by the cloud) to the segment
in which it runs (its kubelet would register); of the pool, that of its slowest machine. What is
over it, from the PUT to the operation's ``Succeeded``, is ours, the cluster's and KWOK's.

**KWOK alone** are the same Node objects (as our pool's were, their state put back to that of a node
that registers), created directly by the same client with as many requests at a time, on the same
API server, until all are Ready; we do not run meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from measured import (
    ADOPTING,
    RESULTS,
    Server,
    cluster_path,
    counters,
    cpu_seconds,
    machine,
    memory_mib,
    until,
    write_result,
)

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from live_stack import COMPONENTS, LiveStack, live_tools
from poolwright.app.cli.arm_client import AKS_PREVIEW_API_VERSION, ArmClient
from poolwright.app.real_clock import RealClock
from poolwright.kube.client import Endpoint, HttpKube
from poolwright.kube.kubeconfig import read_kubeconfig
from poolwright.model.kubernetes import NODES
from poolwright.model.machine import MachinePhase
from poolwright.providers.simulated.ledger import MACHINE
from poolwright.providers.simulated.settings import SimulatedCloudSettings
from poolwright.store import SqlStore

OWNED = "poolwright.dev/machine-provider=kwok"
PARALLEL = SimulatedCloudSettings().requests_parallel
IDLE_SECONDS = 30
OVERHEAD_AIM = 5
"""Per cent over the machines' own time."""
CPU_POOL: dict[str, Any] = {"vmSize": "Standard_D4s_v5", "mode": "User"}
GPU_POOL: dict[str, Any] = {
    "vmSize": "Standard_NC24ads_A100_v4",
    "mode": "User",
    "gpuProfile": {"nvidia": {"managementMode": "Managed"}, "driver": "Install"},
}


def say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


class Adopted:
    """A real Kubernetes and a server that manages it, in a folder of their own."""

    def __init__(self, folder: Path, factor: float) -> None:
        self.stack = LiveStack(folder / "live", nodes=1, by_annotation=True)
        config = ADOPTING.format(kubeconfig=self.stack.kubeconfig, factor=factor)
        self.server = Server(folder / "data", speed=1, config=config)

    def __enter__(self) -> Adopted:
        self.stack.start()
        try:
            self.server.start()
        except BaseException:
            self.stack.stop()
            raise
        self.client: ArmClient = self.server.client()
        self.cluster = cluster_path(self.client, "c")
        return self

    def __exit__(self, *error: object) -> None:
        self.server.stop()
        self.stack.stop()

    def begin(self, name: str, count: int, body: Mapping[str, Any]) -> None:
        properties = {**body, "count": count}
        self.client.operate(
            "PUT",
            f"{self.cluster}/agentPools/{name}",
            body={"properties": properties},
            api_version=AKS_PREVIEW_API_VERSION,
            wait=False,
        )

    def state(self, name: str) -> str:
        return self.client.get(f"{self.cluster}/agentPools/{name}")["properties"][
            "provisioningState"
        ]

    def finish(self, name: str) -> float:
        """When the pool had ended, and well; monotonic."""
        state = until(
            lambda: (s := self.state(name)) in {"Succeeded", "Failed", "Canceled"} and s, every=0.05
        )
        if state != "Succeeded":
            raise RuntimeError(f"{name}: {state}")
        return time.monotonic()

    def requests(self) -> dict[str, float]:
        """Requests of the server to the cluster's API so far, by method and resource."""
        return counters(self.client, "poolwright_cluster_requests_total")

    def cpu(self) -> dict[str, float]:
        """CPU seconds so far, by process."""
        pids = {"poolwright": self.server.pid, **self.stack.pids()}
        return {name: cpu_seconds(pid) for name, pid in pids.items()}


def less(after: Mapping[str, float], before: Mapping[str, float], per: int = 1) -> dict[str, float]:
    found = {key: round((value - before.get(key, 0)) / per, 3) for key, value in after.items()}
    return {key: value for key, value in found.items() if value}


def own_seconds(data_dir: Path) -> dict[str, float]:
    """By pool, the time of its slowest machine from acceptance to running, by the ledger."""

    async def read() -> dict[str, float]:
        store = SqlStore.open(data_dir / "state", clock=RealClock())
        try:
            machines = await store.find("cloud/", MACHINE)
        finally:
            await store.close()
        slowest: dict[str, float] = {}
        for record in machines:
            segments = record.status.segments
            (runs,) = (s for s in segments if s.phase is MachinePhase.RUNNING and not s.step)
            took = runs.begins_at.since(segments[0].begins_at).total_seconds()
            pool = record.spec.request.pool
            slowest[pool] = max(took, slowest.get(pool, 0.0))
        return slowest

    return asyncio.run(read())


def overhead(folder: Path, factor: float, large: int) -> dict[str, Any]:
    """One node and many, managed GPU pools, at the machines' full delays."""
    counts = {"one": 1, "many": large}
    took: dict[str, float] = {}
    with Adopted(folder, factor) as world:
        for name, count in counts.items():
            say(f"overhead: {count} nodes")
            began = time.monotonic()
            world.begin(name, count, GPU_POOL)
            took[name] = world.finish(name) - began
    own = own_seconds(world.server.data_dir)
    pools = [
        {
            "nodes": count,
            "seconds_from_put_to_succeeded": round(took[name], 2),
            "machines_own_seconds": round(own[name], 2),
            "over_percent": round((took[name] / own[name] - 1) * 100, 1),
        }
        for name, count in counts.items()
    ]
    return {"delay_factor": factor, "aim_percent": OVERHEAD_AIM, "pools": pools}


def registering(node: Mapping[str, Any]) -> dict[str, Any]:
    """The Node as it was when it registered: what the cluster and KWOK wrote is taken back."""
    meta, status = node["metadata"], node["status"]
    conditions = [
        {**each, "status": "False"} if each["type"] == "Ready" else each
        for each in status["conditions"]
    ]
    keep = {key: meta[key] for key in ("name", "labels", "annotations") if key in meta}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": keep,
        "spec": {key: node["spec"][key] for key in ("providerID",) if key in node["spec"]},
        "status": {**status, "conditions": conditions, "phase": None},
    }


def is_ready(node: Mapping[str, Any]) -> bool:
    return any(
        each["type"] == "Ready" and each["status"] == "True"
        for each in node["status"].get("conditions", ())
    )


class Direct:
    """The same client as the server's, without the server."""

    def __init__(self, kubeconfig: Path) -> None:
        access = read_kubeconfig(kubeconfig)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        transport = httpx.AsyncHTTPTransport(verify=access.ssl_context(), limits=limits)

        async def connect() -> Endpoint:
            return Endpoint(transport, access.server_url, access.token)

        self._transport, self.kube = transport, HttpKube(connect)

    async def close(self) -> None:
        await self._transport.aclose()

    async def nodes(self) -> Sequence[dict[str, Any]]:
        return (await self.kube.list(NODES, label_selector=OWNED)).items

    async def all(self, work: Any, items: Sequence[Any]) -> None:
        """Do the work for every item, as many at a time as the server would."""
        queue = iter(items)

        async def some() -> None:
            for item in queue:
                await work(item)

        async with asyncio.TaskGroup() as group:
            for _ in range(PARALLEL):
                group.create_task(some())

    async def until_ready(self, count: int) -> None:
        """Wait, by a watch, until so many are Ready."""
        listed = await self.kube.list(NODES, label_selector=OWNED)
        ready = {node["metadata"]["name"] for node in listed.items if is_ready(node)}
        watch = self.kube.watch(NODES, after=listed.revision, label_selector=OWNED)
        while len(ready) < count:
            event = await anext(watch)
            if event.type != "BOOKMARK" and is_ready(event.object):
                ready.add(event.object["metadata"]["name"])
        await watch.aclose()  # type: ignore[attr-defined]


async def alone(kubeconfig: Path, bodies: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """Seconds, and CPU seconds of this process, from the first creation to all being Ready."""
    direct = Direct(kubeconfig)
    began, cpu = time.monotonic(), time.process_time()
    async with asyncio.TaskGroup() as group:
        group.create_task(direct.all(lambda body: direct.kube.create(NODES, body), bodies))
        group.create_task(direct.until_ready(len(bodies)))
    result = time.monotonic() - began, time.process_time() - cpu
    await direct.close()
    return result


async def seen(kubeconfig: Path) -> Sequence[dict[str, Any]]:
    direct = Direct(kubeconfig)
    try:
        return await direct.nodes()
    finally:
        await direct.close()


async def cleared(kubeconfig: Path) -> None:
    direct = Direct(kubeconfig)
    names = [node["metadata"]["name"] for node in await direct.nodes()]
    await direct.all(lambda name: direct.kube.delete(NODES, name), names)
    await direct.close()


def idle(world: Adopted) -> dict[str, Any]:
    """What the server costs while nothing is asked of it."""
    time.sleep(10)
    cpu, requests = world.cpu(), world.requests()
    time.sleep(IDLE_SECONDS)
    spent = less(world.cpu(), cpu)
    return {
        "seconds": IDLE_SECONDS,
        "cpu_percent": {k: round(v / IDLE_SECONDS * 100, 1) for k, v in spent.items()},
        "requests": less(world.requests(), requests),
        **memory_mib(world.server.pid),
    }


def rate(folder: Path, nodes: int, rounds: int) -> dict[str, Any]:
    """Machines without delays: nodes per second from the PUT, ours and KWOK's own, in turn."""
    result: dict[str, Any] = {"nodes": nodes, "parallel": PARALLEL, "rounds": []}
    for number in range(rounds):
        here = folder / str(number)
        here.mkdir()
        with Adopted(here, 0) as world:
            found = one_round(world, nodes)
        say(json.dumps(found))
        result["rounds"].append(found)
    return result


def one_round(world: Adopted, nodes: int) -> dict[str, Any]:
    kubeconfig = world.stack.kubeconfig
    say(f"rate: {nodes} nodes by us")
    cpu, requests, began = world.cpu(), world.requests(), time.monotonic()
    world.begin("pool", nodes, CPU_POOL)
    took = world.finish("pool") - began
    spent, asked = less(world.cpu(), cpu), less(world.requests(), requests, nodes)
    ours = {
        "seconds": round(took, 2),
        "nodes_per_second": round(nodes / took, 1),
        "cpu_seconds": spent,
        "requests_per_node": {key: value for key, value in asked.items() if value >= 0.005},
        **memory_mib(world.server.pid),
    }
    say("idle")
    at_rest = idle(world)
    bodies = [registering(node) for node in asyncio.run(seen(kubeconfig))]
    if len(bodies) != nodes:
        raise RuntimeError(f"{len(bodies)} of {nodes} nodes are there")
    world.server.stop()
    asyncio.run(cleared(kubeconfig))
    say(f"rate: {nodes} nodes by KWOK alone")
    before = {name: cpu_seconds(pid) for name, pid in world.stack.pids().items()}
    theirs, client_cpu = asyncio.run(alone(kubeconfig, bodies))
    after = {name: cpu_seconds(pid) for name, pid in world.stack.pids().items()}
    kwok = {
        "seconds": round(theirs, 2),
        "nodes_per_second": round(nodes / theirs, 1),
        "cpu_seconds": {"client": round(client_cpu, 2), **less(after, before)},
    }
    share = round(theirs / took, 2)
    return {"ours": ours, "kwok_alone": kwok, "share_of_kwok_alone": share, "idle": at_rest}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--parts", nargs="*", choices=["rate", "overhead"], default=["rate"])
    parser.add_argument("--nodes", type=int, default=1_000, help="of the rate")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--many", type=int, default=200, help="nodes of the overhead")
    parser.add_argument("--factor", type=float, default=1.0, help="of the machines' delays")
    parser.add_argument("--name", default="real")
    options = parser.parse_args()
    try:
        live_tools.require(*COMPONENTS)
    except live_tools.ToolsMissing as error:
        print(f"skipped: {error}")
        return
    began = machine()
    result: dict[str, Any] = {
        "kubernetes": live_tools.kubernetes_version(),
        "kwok": live_tools.KWOK_VERSION,
    }
    kept = RESULTS / f"{options.name}.json"
    if kept.exists():  # a part that is not measured now keeps its figures, with their date
        before = json.loads(kept.read_text())
        result |= {part: before[part] for part in ("rate", "overhead") if part in before}
    with tempfile.TemporaryDirectory() as name:
        for part in options.parts:
            folder = Path(name) / part
            folder.mkdir()
            about = {
                "date": datetime.now(UTC).isoformat(timespec="seconds"),
                "load_average_before": [round(each, 2) for each in os.getloadavg()],
            }
            if part == "rate":
                found = rate(folder, options.nodes, options.rounds)
            else:
                found = overhead(folder, options.factor, options.many)
            after = [round(each, 2) for each in os.getloadavg()]
            result[part] = {**about, "load_average_after": after, **found}
    write_result(options.name, began, result)


if __name__ == "__main__":
    main()
