"""The embedded Kubernetes beside the real one, in one run, asked by the same client.

Run: python bench/bench_kubernetes.py [--nodes 200 --large 400 --pods 1000 --deployment 200]
The embedded one is ``poolwright up`` over HTTPS, its nodes made by agent pools; the real one is
etcd, kube-apiserver, scheduler, controller-manager and KWOK (``make live-tools``), its nodes
made as objects. What nodes carry is the same: two pods each where there are components.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

import bench_scheduler
from bench_scale import IDLE_SPEED, say
from kubernetes_api import TABLE, Api, is_ready, is_running, until
from kubernetes_stacks import (
    COMPONENTS,
    Embedded,
    Real,
    missing_tools,
    node_object,
    pod_spec,
    processor_seconds,
    resident_mib,
    version_of,
    workload,
)
from measured import RESULTS, machine, versions, write_result

Stack = Embedded | Real
IDLE_SECONDS = 15
CALM = 0.2
"""Of a core: below this a cluster has done what there was to do (the real one renews leases)."""
CALM_SECONDS = 40
PODS = "/api/v1/namespaces/default/pods"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
AIMS = {
    "nodes_with_components": ("nodes_per_second", 10),
    "nodes_plain": ("nodes_per_second", 5),
    "deployment": ("pods_per_second", 3),
}
"""Times the real stack."""


class Run:
    """One stack while it is measured; keeps what each row cost."""

    def __init__(self, stack: Stack, api: Api, options: argparse.Namespace) -> None:
        self.stack = stack
        self.api = api
        self.options = options
        self.rows: dict[str, Any] = {}

    def add(self, name: str, cpu_before: float, **figures: Any) -> None:
        cpu = round(processor_seconds(self.stack) - cpu_before, 2)
        self.rows[name] = {**figures, "cpu_seconds": cpu}
        say(f"{self.stack.name} {name}: {json.dumps(self.rows[name])}")

    async def nodes(self, name: str, count: int, *, components: bool) -> None:
        """From nothing to nodes that are ready, and to their components' pods that run."""
        watched, before = asyncio.Event(), processor_seconds(self.stack)

        async def begin() -> None:
            await watched.wait()
            await self.stack.add_nodes(self.api, count, components=components)

        async def are_watched() -> None:
            watched.set()

        limit = self.options.row_seconds
        work = [until(self.api, "/api/v1/nodes", is_ready, count, begin=begin, seconds=limit)]
        if components:
            work.append(
                until(
                    self.api,
                    PODS,
                    is_running,
                    count * COMPONENTS,
                    begin=are_watched,
                    seconds=limit,
                )
            )
        else:
            watched.set()
        found = await asyncio.gather(*work)
        seconds = max(took for _, took in found)
        figures: dict[str, Any] = {
            "nodes": found[0][0],
            "seconds": round(seconds, 2),
            "nodes_per_second": round(found[0][0] / seconds, 1),
            "pods_running": found[1][0] if components else 0,
        }
        self.add(name, before, **figures)

    async def deployment(self, name: str, count: int) -> None:
        """A Deployment until its pods run."""
        before, path = processor_seconds(self.stack), "/apis/apps/v1/namespaces/default/deployments"
        body = workload("Deployment", f"work-{len(self.rows)}", replicas=count)

        async def begin() -> None:
            await self.api.request("POST", path, body)

        pods = f"{PODS}?labelSelector=app%3D{body['metadata']['name']}"
        limit = self.options.row_seconds
        done, seconds = await until(self.api, pods, is_running, count, begin=begin, seconds=limit)
        rate = round(done / max(seconds, 0.001), 1)
        self.add(name, before, pods=done, seconds=round(seconds, 2), pods_per_second=rate)

    async def fan_out(self, watchers: int, changes: int) -> None:
        """Objects that are created while many watch them, until everybody has heard of all."""
        before = processor_seconds(self.stack)
        listed = await self.api.get(f"{CONFIG_MAPS}?limit=1")
        ready = asyncio.Semaphore(0)

        async def watch() -> None:
            revision = listed["metadata"]["resourceVersion"]
            heard = 0
            async with aclosing(self.api.watch(CONFIG_MAPS, revision, ready.release)) as events:
                async for event in events:
                    heard += event.type == "ADDED"
                    if heard >= changes:
                        return

        async with asyncio.timeout(self.options.row_seconds), asyncio.TaskGroup() as group:
            for _ in range(watchers):
                group.create_task(watch())
            for _ in range(watchers):
                await ready.acquire()
            began = time.monotonic()
            bodies = ({"metadata": {"name": f"c{n}"}, "data": {"a": "b"}} for n in range(changes))
            await self.api.create_all(CONFIG_MAPS, bodies)
        seconds = time.monotonic() - began
        rate = round(watchers * changes / seconds)
        self.add("fan_out", before, watchers=watchers, changes=changes, events_per_second=rate)

    async def objects(self, count: int) -> None:
        """Node objects, created alike on both, whoever makes them ready."""
        before, began = processor_seconds(self.stack), time.monotonic()
        bodies = [node_object(f"object-{n:05d}") for n in range(count)]
        await self.api.create_all("/api/v1/nodes", bodies)
        rate = round(count / (time.monotonic() - began), 1)
        self.add("node_objects_created", before, nodes=count, objects_per_second=rate)

    async def idle(self) -> None:
        """What it costs that nothing happens."""
        await self.calm()
        before, began = processor_seconds(self.stack), time.monotonic()
        await asyncio.sleep(IDLE_SECONDS)
        cores = (processor_seconds(self.stack) - before) / (time.monotonic() - began)
        self.rows["idle"] = {"cores": round(cores, 3)}
        say(f"{self.stack.name} idle: {cores:.3f} cores")

    async def calm(self) -> None:
        """Wait until there is little to do, or some time has passed."""
        end = time.monotonic() + CALM_SECONDS
        while time.monotonic() < end:
            before, began = processor_seconds(self.stack), time.monotonic()
            await asyncio.sleep(2)
            if (processor_seconds(self.stack) - before) / (time.monotonic() - began) < CALM:
                return

    async def fill(self, count: int) -> None:
        """Pods that name their nodes, up to so many in all."""
        before, began = processor_seconds(self.stack), time.monotonic()
        nodes = [n["metadata"]["name"] for n in (await self.api.get("/api/v1/nodes"))["items"]]
        there = len((await self.api.get("/api/v1/pods"))["items"])
        bodies = (
            {
                "metadata": {"name": f"fill-{n:05d}", "labels": {"app": "fill"}},
                "spec": {**pod_spec(), "nodeName": nodes[n % len(nodes)]},
            }
            for n in range(count - there)
        )
        try:
            async with asyncio.timeout(self.options.row_seconds):
                await self.api.create_all(PODS, bodies)
        except TimeoutError:
            pass
        seconds = time.monotonic() - began
        rate = round((count - there) / seconds, 1)
        self.add("pods_created", before, pods=count - there, objects_per_second=rate)

    async def lists(self) -> None:
        """Everything in one answer, as JSON and as a table; the middle one of three."""
        for plural in ("nodes", "pods"):
            for form, accept in (("json", "application/json"), ("table", TABLE)):
                before, found, size = processor_seconds(self.stack), [], 0
                for _ in range(3):
                    began = time.monotonic()
                    size = len(await self.api.request("GET", f"/api/v1/{plural}", accept=accept))
                    found.append(time.monotonic() - began)
                seconds = round(sorted(found)[1], 3)
                self.add(f"list_{plural}_{form}", before, seconds=seconds, bytes=size)
        count = {p: len((await self.api.get(f"/api/v1/{p}"))["items"]) for p in ("nodes", "pods")}
        self.rows["memory"] = {**count, "resident_mib": resident_mib(self.stack)}
        say(f"{self.stack.name} memory: {json.dumps(self.rows['memory'])}")


async def busy(stack: Stack, options: argparse.Namespace) -> dict[str, Any]:
    """Nodes with components, pods of a Deployment, watches, plain objects."""
    api = await stack.start()
    run = Run(stack, api, options)
    run.rows["version"] = version_of(await api.request("GET", "/version"))
    await stack.prepare_components(api)
    await run.nodes("nodes_with_components", options.nodes, components=True)
    await run.deployment("deployment", options.deployment)
    await run.fan_out(options.watchers, options.changes)
    await run.objects(options.nodes // 2)
    await api.close()
    return run.rows


async def large(stack: Stack, options: argparse.Namespace) -> dict[str, Any]:
    """Plain nodes, then many of them, idle; then many pods, lists and memory."""
    api = await stack.start()
    run = Run(stack, api, options)
    await run.nodes("nodes_plain", options.nodes, components=False)
    # One node of the embedded cluster's most is that of its system pool.
    more = options.large - options.nodes - isinstance(stack, Embedded)
    await run.nodes("nodes_large", more, components=False)
    await run.deployment("deployment_large", options.deployment)
    if isinstance(stack, Embedded):
        await api.close()
        run.api = api = await stack.restart(IDLE_SPEED)
    await run.idle()
    await run.fill(options.pods)
    await run.calm()
    await run.lists()
    await api.close()
    return run.rows


async def measure(kind: type[Stack], options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    rows: dict[str, Any] = {"how": kind.how}
    for work in (busy, large):
        place = folder / f"{kind.name}-{work.__name__}"
        place.mkdir()
        stack = kind(place)
        try:
            rows |= await work(stack, options)
        except (OSError, EOFError, TimeoutError, ExceptionGroup) as error:
            rows[f"{work.__name__}_failed"] = repr(error)[:500]
            say(f"{kind.name} {work.__name__}: {error!r}")
        finally:
            stack.stop()
    return rows


def compared(embedded: dict[str, Any], real: dict[str, Any]) -> dict[str, Any]:
    """The aims, by how many times the real stack."""
    found: dict[str, Any] = {}
    stacks = (embedded, real)
    for row, (figure, aim) in AIMS.items():
        if row in embedded and row in real:
            times = round(embedded[row][figure] / max(real[row][figure], 0.1), 1)
            count = "pods" if figure == "pods_per_second" else "nodes"
            cost, other = (each[row]["cpu_seconds"] / (each[row][count] or 1) for each in stacks)
            by_cpu = round(other / max(cost, 1e-6), 1)
            found[row] = {"times": times, "times_by_cpu": by_cpu, "aim": aim, "met": times >= aim}
    memory = embedded.get("memory", {}).get("resident_mib", {}).get("all")
    if memory is not None:
        found["memory"] = {"mib": memory, "aim_mib": 954, "met": memory < 954}
    return found


FIGURES = (
    "nodes_per_second",
    "pods_per_second",
    "events_per_second",
    "objects_per_second",
    "seconds",
    "cores",
)


def table(result: dict[str, Any]) -> str:
    """The rows of both stacks in Markdown, with CPU seconds in brackets."""
    lines = ["| row | embedded | real |", "| --- | --- | --- |"]
    for row, found in result["embedded"].items():
        if not isinstance(found, dict):
            continue
        cells = [_cell(stack.get(row, {})) for stack in (result["embedded"], result["real"])]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(found: dict[str, Any]) -> str:
    if "resident_mib" in found:
        return f"{found['resident_mib']['all']} MiB"
    for figure in FIGURES:
        if figure in found:
            cpu = f" ({found['cpu_seconds']} s)" if "cpu_seconds" in found else ""
            return f"{found[figure]} {figure.replace('_per_second', '/s')}{cpu}"
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=1_000)
    parser.add_argument("--large", type=int, default=5_000, help="nodes for lists and memory")
    parser.add_argument("--pods", type=int, default=20_000, help="pods for lists and memory")
    parser.add_argument("--deployment", type=int, default=2_000)
    parser.add_argument("--watchers", type=int, default=100)
    parser.add_argument("--changes", type=int, default=200)
    parser.add_argument("--row-seconds", type=float, default=200, help="a row takes at most")
    parser.add_argument("--stacks", nargs="*", default=["embedded", "real"])
    parser.add_argument("--name", default="kubernetes")
    parser.add_argument("--table", action="store_true", help="print what was measured last")
    options = parser.parse_args()
    if options.large <= options.nodes + 1:
        parser.error("--large must be more than --nodes and the node of a system pool")
    if options.table:
        print(table(json.loads((RESULTS / f"{options.name}.json").read_text())))
        return
    began, start = machine(), time.monotonic()
    result: dict[str, Any] = {
        "options": vars(options),
        "versions": versions("uvicorn", "httptools", "msgspec", "httpx"),
        "scheduler_alone": bench_scheduler.case(options.large, options.deployment, "diverse"),
    }
    with tempfile.TemporaryDirectory() as name:
        for kind in (Embedded, Real):
            if kind.name not in options.stacks:
                continue
            missing = missing_tools() if kind is Real else ""
            if missing:
                sys.stderr.write(f"the real stack is left out: {missing}\n")
                result[kind.name] = {"left_out": missing}
                continue
            result[kind.name] = asyncio.run(measure(kind, options, Path(name)))
    result["compared"] = compared(result.get("embedded", {}), result.get("real", {}))
    result["took_seconds"] = round(time.monotonic() - start)
    write_result(options.name, began, result)


if __name__ == "__main__":
    main()
