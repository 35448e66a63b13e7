"""Simulated nodes to Ready at top speed, with and without the managed components' pods.

Run: python bench/bench_scale.py [--minutes 8] [--parts 1000/with_components ...]
Server and simulated machines are one process, as in ``poolwright up``; this program only makes
the pools and watches through the API. A part that is not done in its time says how far it came.
"""

from __future__ import annotations

import argparse
import json
import os
import pstats
import sys
import tempfile
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

from measured import (
    RESULTS,
    Server,
    cluster_body,
    cluster_path,
    counters,
    cpu_seconds,
    kubectl,
    machine,
    make_group,
    memory_mib,
    synchronous_read,
    write_kubeconfig,
    write_result,
)

from poolwright.app.cli.arm_client import ArmClient

SPEED = 100_000  # the fastest there is: the world waits for the process (ARCHITECTURE, Time)
IDLE_SPEED = 60  # what `poolwright up` runs at
POOL_MAX = 1_000  # nodes of an agent pool
CLUSTER_MAX = 5_000  # nodes of a cluster; one is of the system pool
IDLE_SECONDS = 20
PROFILED_NODES = 200
CONFIG = """
[arm]
retry_after_ms = 50
[kubernetes]
system_pods = false
[cloud.scarcity]
default_quota = 10000000
"""
GPU_SIZE = "Standard_NC24ads_A100_v4"
# A pool with managed components, and one of the same size without: only the driver.
PROFILES: dict[str, dict[str, Any]] = {
    "with_components": {"nvidia": {"managementMode": "Managed"}, "driver": "Install"},
    # From 1.36 on the components come unless they are declined.
    "without_components": {"nvidia": {"managementMode": "Unmanaged"}, "driver": "Install"},
}
PARTS = (
    "1000/with_components",
    "5000/with_components",
    "1000/without_components",
    "5000/without_components",
)
# Source: facts measured with kwok 0.8 and a real apiserver on two cores, nodes per second.
KWOK = {
    ("without_components", 1_000): 37,
    ("without_components", 5_000): 37,
    ("with_components", 1_000): 20,
    ("with_components", 5_000): 10,
}
AIMS = {"with_components": 10, "without_components": 5}  # times KWOK


def say(text: str) -> None:
    """A line of progress."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.monotonic()
    found = work()
    return found, round(time.monotonic() - began, 2)


def pods_running(kubeconfig: Path) -> int:
    text = kubectl(kubeconfig, "get", "pods", "-A", "--no-headers")
    return sum(" Running " in line for line in text.splitlines())


def nodes_ready(kubeconfig: Path) -> int:
    text = kubectl(kubeconfig, "get", "nodes", "--no-headers")
    return sum(line.split()[1] == "Ready" for line in text.splitlines())


def per_node(before: dict[str, float], after: dict[str, float], nodes: int) -> dict[str, float]:
    found = {key: round((n - before.get(key, 0)) / nodes, 3) for key, n in after.items()}
    return {key: n for key, n in sorted(found.items(), key=lambda i: -i[1]) if n >= 0.001}


def read_per_pass(
    client: ArmClient, read: dict[str, float], passes: dict[str, float]
) -> dict[str, float]:
    """Machines, nodes and pods that a controller's pass looked at, in memory, on average."""
    now_read = counters(client, "poolwright_reconcile_objects_read_total")
    now_passes = counters(client, "poolwright_reconcile_passes_total")
    found: dict[str, float] = {}
    for controller, count in now_read.items():
        key = f"{controller} done"
        made = now_passes.get(key, 0) - passes.get(key, 0)
        found[controller] = round((count - read.get(controller, 0)) / max(made, 1), 1)
    return found


def settled(client: ArmClient, cluster: str, deadline: float) -> tuple[set[str], int]:
    """The pools' states and ready nodes once they ended, or at the deadline."""
    said = 0.0
    while True:
        pools = [p["properties"] for p in client.pages(f"{cluster}/agentPools")]
        states = {p["provisioningState"] for p in pools}
        if states <= {"Succeeded", "Failed"} or time.monotonic() > deadline:
            return states, len(pools)
        if time.monotonic() - said > 15:
            said = time.monotonic()
            say(f"  {', '.join(sorted(states))}")
        time.sleep(0.25)


def make_pools(
    client: ArmClient, cluster: str, nodes: int, profile: str, *, first: int = 0
) -> None:
    for index in range(-(-nodes // POOL_MAX)):
        body = {
            "count": min(POOL_MAX, nodes - index * POOL_MAX),
            "vmSize": GPU_SIZE,
            "mode": "User",
            "gpuProfile": PROFILES[profile],
        }
        client.operate(
            "PUT",
            f"{cluster}/agentPools/gpu{first + index}",
            body={"properties": body},
            api_version="2026-08-02-preview",
            wait=False,
        )


def part(nodes: int, profile: str, folder: Path, deadline: float) -> dict[str, Any]:
    """Nodes from the first PUT to the last pool's ``Succeeded``, then reads, restart, idleness."""
    server = Server(folder / f"{profile}-{nodes}", speed=SPEED, config=CONFIG)
    result: dict[str, Any] = {"profile": profile, "nodes": nodes}
    gpu_nodes = min(nodes, CLUSTER_MAX - 1)
    server.start()
    try:
        client = server.client()
        make_group(client)
        cluster = cluster_path(client, "c")
        client.operate("PUT", cluster, body=cluster_body())
        requests = counters(client, "poolwright_cluster_requests_total")
        passes = counters(client, "poolwright_reconcile_passes_total")
        read = counters(client, "poolwright_reconcile_objects_read_total")
        before, began = cpu_seconds(server.pid), time.monotonic()
        make_pools(client, cluster, gpu_nodes, profile)
        states, _ = settled(client, cluster, deadline)
        took, cpu = time.monotonic() - began, cpu_seconds(server.pid) - before
        kubeconfig = write_kubeconfig(client, cluster, folder / f"{profile}-{nodes}.kubeconfig")
        ready, listed = timed(lambda: nodes_ready(kubeconfig))
        done = ready - 1  # one is of the system pool
        result |= {
            "states": sorted(states),
            "ready": done,
            "seconds": round(took, 2),
            "server_cpu_seconds": round(cpu, 2),
            "nodes_per_second": round(done / took, 1),
            "nodes_per_cpu_second": round(done / cpu, 1),
            "kwok_nodes_per_second": KWOK.get((profile, nodes)),
            "requests_per_node": per_node(
                requests, counters(client, "poolwright_cluster_requests_total"), done or 1
            ),
            "passes": per_node(passes, counters(client, "poolwright_reconcile_passes_total"), 1),
            "objects_read_per_pass": read_per_pass(client, read, passes),
            "kubectl_get_nodes_seconds": listed,
            **memory_mib(server.pid),
        }
        result["running_pods"], result["kubectl_get_pods_seconds"] = timed(
            lambda: pods_running(kubeconfig)
        )
        result["resident_peak_mib"] = memory_mib(server.pid)["resident_peak_mib"]
        server.stop()
        if states == {"Succeeded"} and time.monotonic() < deadline + 60:
            result |= restarted(server, kubeconfig)
        return result
    finally:
        server.stop()


def restarted(server: Server, kubeconfig: Path) -> dict[str, Any]:
    """A start on the data directory that is there, and how little it then does."""
    server.speed = IDLE_SPEED
    result: dict[str, Any] = {"warm_start_seconds": round(server.start(), 2)}
    result["warm_start_cpu_seconds"] = round(cpu_seconds(server.pid), 2)
    result["ready_after_restart"] = nodes_ready(kubeconfig) - 1
    for _ in range(15):  # until a second costs less than a tenth
        before = cpu_seconds(server.pid)
        time.sleep(1)
        if cpu_seconds(server.pid) - before < 0.1:
            break
    before = cpu_seconds(server.pid)
    time.sleep(IDLE_SECONDS)
    spent = cpu_seconds(server.pid) - before
    result["idle_cpu_percent"] = round(spent / IDLE_SECONDS * 100, 1)
    result["resident_mib_after_restart"] = memory_mib(server.pid)["resident_mib"]
    return result


def warm_start(folder: Path) -> dict[str, Any]:
    """The second and third start on a data directory with one small cluster; the quicker one."""
    server = Server(folder / "small", config=CONFIG)
    server.speed = SPEED
    server.start()
    try:
        client = server.client()
        make_group(client)
        client.operate("PUT", cluster_path(client, "c"), body=cluster_body())
        found: list[tuple[float, float]] = []
        for _ in range(3):
            server.stop()
            seconds = server.start()
            found.append((round(seconds, 2), round(cpu_seconds(server.pid), 2)))
        seconds, cpu = (min(each) for each in zip(*found, strict=True))
        return {"seconds": seconds, "cpu_seconds": cpu, "aim_seconds": 1.5}
    finally:
        server.stop()


def write_profile(folder: Path, deadline: float) -> None:
    """The 25 functions that most of the time goes to, beside the result."""
    path = folder / "profile"
    server = Server(folder / "profiled", speed=SPEED, config=CONFIG)
    server.start(path)
    try:
        client = server.client()
        make_group(client)
        cluster = cluster_path(client, "c")
        client.operate("PUT", cluster, body=cluster_body())
        make_pools(client, cluster, PROFILED_NODES, "with_components")
        settled(client, cluster, deadline)
    finally:
        server.stop()
    text = StringIO()
    stats = pstats.Stats(str(path), stream=text).strip_dirs()
    for order in ("tottime", "cumtime"):
        stats.sort_stats(order).print_stats(25)
    lines = [line.rstrip() for line in text.getvalue().splitlines() if str(folder) not in line]
    head = f"cProfile of a server that brings up {PROFILED_NODES} nodes with component pods\n"
    (RESULTS / "scale-profile.txt").write_text(head + "\n".join(lines) + "\n")


def share(text: str) -> int:
    """How much of the time a part is given, beside the others."""
    size, profile = text.split("/")
    return int(size) * (3 if profile == "with_components" else 1)


def is_missed(found: dict[str, Any]) -> bool:
    kwok = found.get("kwok_nodes_per_second") or 0
    return found["nodes_per_second"] < AIMS[found["profile"]] * kwok


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--parts", nargs="*", default=list(PARTS))
    parser.add_argument("--minutes", type=float, default=8, help="how long all of it may take")
    parser.add_argument("--name", default="scale")
    options = parser.parse_args()
    began, start = machine(), time.monotonic()
    end = start + options.minutes * 60
    result: dict[str, Any] = {
        "speed": SPEED,
        "synchronous": synchronous_read(),
        "load_average_before": [round(each, 2) for each in os.getloadavg()],
        "parts": [],
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        say("warm start")
        result["warm_start"] = warm_start(folder)
        for index, text in enumerate(options.parts):
            size, profile = text.split("/")
            left = end - time.monotonic() - 45  # a profile, and what the last part still reads
            shares = [share(each) for each in options.parts[index:]]
            limit = max(20.0, left * shares[0] / sum(shares) - 40)
            say(f"{text}: {limit:.0f} s at most")
            found = part(int(size), profile, folder, time.monotonic() + limit)
            say(json.dumps(found))
            result["parts"].append(found)
        if any(is_missed(found) for found in result["parts"]):
            say("profile")
            write_profile(folder, time.monotonic() + 60)
    result["took_seconds"] = round(time.monotonic() - start)
    write_result(options.name, began, result)


if __name__ == "__main__":
    main()
