"""How many pods a second the scheduler decides, alone; prints one JSON line per case.

Run: python bench/bench_scheduler.py
"""

from __future__ import annotations

import json
import time

from poolwright.model.node import Node
from poolwright.model.pod import Pod
from poolwright.plan.kubernetes.action import BindPod
from poolwright.plan.kubernetes.scheduler import Scheduler

GIB = 2**30
CPU = (100, 250, 500, 1000, 1500)
MEMORY = (100, 256, 512, 1024, 2048, 4096)


def node(index: int) -> Node:
    name = f"aks-gpu-12345678-vmss{index:06d}"
    size = {"cpu": 23_500, "memory": 210 * GIB, "pods": 110, "nvidia.com/gpu": 1}
    return Node(name, f"u{index}", "1", {"kubernetes.io/hostname": name}, allocatable=size)


def pod(index: int, *, diverse: bool) -> Pod:
    cpu = CPU[index % len(CPU)] if diverse else 500
    memory = MEMORY[index % len(MEMORY)] if diverse else 512
    requests = {"cpu": cpu, "memory": memory * 2**20, "pods": 1}
    return Pod("default", f"pod-{index:06d}", f"p{index}", "1", requests=requests)


def case(nodes: int, pods: int, *, diverse: bool) -> dict[str, object]:
    scheduler = Scheduler()
    started = time.perf_counter()
    for index in range(nodes):
        scheduler.set_node(node(index))
    ready = time.perf_counter()
    bound = 0
    for index in range(pods):
        scheduler.set_pod(pod(index, diverse=diverse))
    while scheduler.has_work:
        bound += sum(isinstance(a, BindPod) for a in scheduler.plan(256).actions)
    done = time.perf_counter()
    return {
        "nodes": nodes,
        "pods": pods,
        "diverse": diverse,
        "bound": bound,
        "nodes_per_second": round(nodes / (ready - started)),
        "pods_per_second": round(pods / (done - ready)),
    }


def main() -> None:
    for nodes, pods in ((1_000, 2_000), (5_000, 2_000), (5_000, 20_000)):
        for diverse in (False, True):
            print(json.dumps(case(nodes, pods, diverse=diverse)))


if __name__ == "__main__":
    main()
