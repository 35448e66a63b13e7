"""What our process asks of a real API server: requests and bytes per node over a pool's life, and
per hour while nothing happens.

Run: python bench/bench_requests.py [--nodes 50] [--idle 600]
Needs the binaries of ``make live-tools``. Counted by the server itself (``/metrics``): bytes as
HTTP/1.1 writes them, with headers, without TLS. The hour is extrapolated from the idle seconds,
in which a cluster whose watches bring something is asked once whether it is still the same;
KWOK's heartbeats of nodes, every 10 to 20 minutes, are reckoned in by themselves: each is an event
of about the Node's size for each of the two watches of nodes.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from measured import ADOPTING, Server, cluster_path, machine, until, write_result

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from live_stack import COMPONENTS, LiveStack, live_tools
from poolwright.app.cli.arm_client import ArmClient

POOL = {
    "vmSize": "Standard_NC24ads_A100_v4",
    "mode": "User",
    "gpuProfile": {"nvidia": {"managementMode": "Managed"}, "driver": "Install"},
}
API_VERSION = "2026-08-02-preview"
HEARTBEATS = 3600 / 905
"""A node's heartbeats an hour; KWOK waits 600 s and up to 610 s more."""
NODE_WATCHES = 2


def counted(client: ArmClient) -> Counter[str]:
    """Requests by method and resource, and bytes, since the server began."""
    text = client.send("GET", "/metrics", api_version="").text
    found: Counter[str] = Counter()
    pattern = r'^poolwright_cluster_requests_total{method="(\w+)",resource="(\S+)"} (\S+)$'
    for method, resource, value in re.findall(pattern, text, re.MULTILINE):
        found[f"{method} {resource}"] = int(float(value))
    for way, value in re.findall(
        r"^poolwright_cluster_(\w+)_bytes_total (\S+)$", text, re.MULTILINE
    ):
        found[f"bytes {way}"] = int(float(value))
    return found


def shown(counts: Counter[str], factor: float) -> dict[str, Any]:
    """So much of each, and in all."""
    requests = {k: n for k, n in counts.items() if n and not k.startswith("bytes ")}
    return {
        "requests": round(sum(requests.values()) * factor, 2),
        "bytes_sent": round(counts["bytes sent"] * factor),
        "bytes_received": round(counts["bytes received"] * factor),
        "by_kind": {
            k: round(n * factor, 3) for k, n in sorted(requests.items(), key=lambda each: -each[1])
        },
    }


def quiet(client: ArmClient) -> Counter[str]:
    """The counts once ten seconds brought no write."""
    while True:
        before = counted(client)
        time.sleep(10)
        after = counted(client)
        writes = {k for k in after - before if k.split()[0] in {"POST", "PATCH", "PUT", "DELETE"}}
        if not writes:
            return after


def measure(client: ArmClient, stack: LiveStack, nodes: int, idle: int) -> dict[str, Any]:
    pool = f"{cluster_path(client, 'c')}/agentPools/gpunp"
    start = counted(client)
    body = {"properties": {**POOL, "count": nodes}}
    client.operate("PUT", pool, body=body, api_version=API_VERSION)
    made = quiet(client)
    time.sleep(idle)
    rested = counted(client)
    wire = json.loads(stack.request("GET", "/api/v1/nodes"))["items"]
    size = max(len(json.dumps(node, separators=(",", ":"))) for node in wire)
    client.operate("DELETE", pool, api_version=API_VERSION)
    until(lambda: len(json.loads(stack.request("GET", "/api/v1/nodes"))["items"]) == 1)
    gone = quiet(client)
    hour = shown(rested - made, 3600 / idle)
    hour["bytes_of_heartbeats"] = round(nodes * HEARTBEATS * NODE_WATCHES * size)
    return {
        "nodes": nodes,
        "create_per_node": shown(made - start, 1 / nodes),
        "delete_per_node": shown(gone - rested, 1 / nodes),
        "idle_per_hour": hour,
        "node_bytes": size,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, default=50)
    parser.add_argument("--idle", type=int, default=600, help="seconds")
    asked = parser.parse_args()
    try:
        live_tools.require(*COMPONENTS)
    except live_tools.ToolsMissing as error:
        sys.stderr.write(f"not measured: {error}\n")
        return
    began = machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stack = LiveStack(folder / "live", nodes=1, by_annotation=True)
        server = Server(
            folder / "data",
            speed=1,
            config=ADOPTING.format(kubeconfig=stack.kubeconfig, factor=0.02),
        )
        stack.start()
        try:
            server.start()
            result = measure(server.client(), stack, asked.nodes, asked.idle)
        finally:
            server.stop()
            stack.stop()
    version = live_tools.kubernetes_version()
    write_result("requests", began, {"kubernetes": version, "idle_seconds": asked.idle, **result})


if __name__ == "__main__":
    main()
