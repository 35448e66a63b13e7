"""Simulated nodes to Ready at top speed, with and without the managed components' pods.

Run: python bench/bench_scale.py [--pools 1 5] [--size 1000] [--profile FILE]
Server and simulated machines are one process, as in ``poolwright up``; this program only makes
the pools and watches through the API.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Any

from measured import (
    Server,
    cluster_body,
    cluster_path,
    cpu_seconds,
    kubectl,
    machine,
    make_group,
    memory_mib,
    until,
    write_kubeconfig,
    write_result,
)

SPEED = 10  # with no delays left in the world, speed only shortens deadlines
SET_UP_SPEED = 300  # an empty cluster takes four world minutes
IDLE_SPEED = 60  # what `poolwright up` runs at
CONFIG = """
[arm]
retry_after_ms = 50
[kubernetes]
system_pods = false
[cloud]
delay_factor = 0
pod_events = false
[cloud.scarcity]
default_quota = 10000000
"""
GPU_SIZE = "Standard_NC24ads_A100_v4"
# A pool with managed components, and one of the same size without: only the driver.
PROFILES: dict[str, dict[str, Any]] = {
    "with_components": {"nvidia": {"managementMode": "Managed"}, "driver": "Install"},
    "without_components": {"driver": "Install"},
}
# Source: facts measured with kwok 0.8 and a real apiserver on two cores, nodes per second.
KWOK = {
    ("without_components", 1_000): 37,
    ("without_components", 5_000): 37,
    ("with_components", 1_000): 20,
    ("with_components", 5_000): 10,
}


def pods_running(kubeconfig: Path) -> int:
    text = kubectl(kubeconfig, "get", "pods", "-A", "--no-headers")
    return sum(" Running " in line for line in text.splitlines())


def nodes_ready(kubeconfig: Path) -> int:
    text = kubectl(kubeconfig, "get", "nodes", "--no-headers")
    return sum(line.split()[1] == "Ready" for line in text.splitlines())


def revisions(data_dir: Path) -> dict[str, int]:
    """Changes made so far by kind of scope, from the files of the store."""
    found: dict[str, int] = {}
    for path in sorted((data_dir / "state").glob("**/*")):
        if path.is_file() and path.read_bytes()[:6] == b"SQLite":
            connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
            for scope, revision in connection.execute("SELECT scope, revision FROM scopes"):
                room = scope.split("/", 1)[0]
                found[room] = found.get(room, 0) + revision
            connection.close()
    return found


def case(
    profile: str, pools: int, size: int, folder: Path, cprofile: Path | None
) -> dict[str, Any]:
    server = Server(folder / f"{profile}-{pools}", speed=SPEED, config=CONFIG)
    server.speed = SET_UP_SPEED
    server.start()
    try:
        client = server.client()
        make_group(client)
        cluster = cluster_path(client, "c")
        client.operate("PUT", cluster, body=cluster_body())
        server.stop()
        server.speed = SPEED
        server.start(cprofile)
        client = server.client()
        before, began = cpu_seconds(server.pid), time.monotonic()
        for index in range(pools):
            body = {
                "count": size,
                "vmSize": GPU_SIZE,
                "mode": "User",
                "gpuProfile": PROFILES[profile],
            }
            client.operate(
                "PUT",
                f"{cluster}/agentPools/gpu{index}",
                body={"properties": body},
                api_version="2026-08-02-preview",
                wait=False,
            )
        accepted = time.monotonic() - began
        states = lambda: [  # noqa: E731
            each["properties"]["provisioningState"]
            for each in client.pages(f"{cluster}/agentPools")
        ]
        until(lambda: set(states()) == {"Succeeded"}, seconds=900, every=0.5)
        took, cpu = time.monotonic() - began, cpu_seconds(server.pid) - before
        nodes = pools * size
        result: dict[str, Any] = {
            "profile": profile,
            "nodes": nodes,
            "pools": pools,
            "seconds": round(took, 2),
            "seconds_to_accept_the_pools": round(accepted, 2),
            "server_cpu_seconds": round(cpu, 2),
            "nodes_per_second": round(nodes / took, 1),
            "nodes_per_cpu_second": round(nodes / cpu, 1),
            "kwok_nodes_per_second": KWOK.get((profile, nodes)),
            **memory_mib(server.pid),
        }
        kubeconfig = write_kubeconfig(client, cluster, folder / f"{profile}-{pools}.kubeconfig")
        began = time.monotonic()
        result["ready_nodes"] = nodes_ready(kubeconfig)
        result["kubectl_get_nodes_seconds"] = round(time.monotonic() - began, 2)
        began = time.monotonic()
        result["running_pods"] = pods_running(kubeconfig)
        result["kubectl_get_pods_seconds"] = round(time.monotonic() - began, 2)
        result |= memory_mib(server.pid)
        server.stop()
        changes = revisions(server.data_dir)
        result["changes_written"] = changes
        result["changes_per_node"] = {
            room: round(count / nodes, 2) for room, count in changes.items()
        }
        if not cprofile:
            server.speed = IDLE_SPEED
            result["restart_seconds"] = round(server.start(), 2)
            result["restart_cpu_seconds"] = round(cpu_seconds(server.pid), 2)
            result["ready_nodes_after_restart"] = nodes_ready(kubeconfig)
            until_quiet(server.pid)
            before = cpu_seconds(server.pid)
            time.sleep(20)
            result["idle_cpu_percent"] = round((cpu_seconds(server.pid) - before) / 20 * 100, 1)
            result["resident_mib_after_restart"] = memory_mib(server.pid)["resident_mib"]
        return result
    finally:
        server.stop()


def until_quiet(pid: int) -> None:
    """Until a second costs less than a tenth, or 30 seconds passed."""
    for _ in range(30):
        before = cpu_seconds(pid)
        time.sleep(1)
        if cpu_seconds(pid) - before < 0.1:
            return


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pools", type=int, nargs="*", default=[1, 5])
    parser.add_argument("--size", type=int, default=1000)
    parser.add_argument("--profiles", nargs="*", default=list(PROFILES))
    parser.add_argument("--cprofile", type=Path, help="write the server's cProfile here")
    parser.add_argument("--name", default="scale")
    options = parser.parse_args()
    began = machine()
    cases = []
    with tempfile.TemporaryDirectory() as name:
        for pools in options.pools:
            for profile in options.profiles:
                found = case(profile, pools, options.size, Path(name), options.cprofile)
                print(json.dumps(found), flush=True)
                cases.append(found)
    write_result(
        options.name,
        began,
        {"speed": SPEED, "synchronous": "FULL (arm, cloud), NORMAL (kube)", "cases": cases},
    )


if __name__ == "__main__":
    main()
