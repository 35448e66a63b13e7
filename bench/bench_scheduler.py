"""How many pods a second the scheduler decides, alone; prints one JSON line per case.

Run: python bench/bench_scheduler.py
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace

from poolwright.model.label_selector import LabelSelector
from poolwright.model.node import Node
from poolwright.model.pod import Pod
from poolwright.model.pod_affinity import PodAffinity, PodTerm, SpreadConstraint
from poolwright.plan.kubernetes.action import BindPod
from poolwright.plan.kubernetes.neighbours import HOST_NAME, ZONE
from poolwright.plan.kubernetes.scheduler import Scheduler

GIB = 2**30
CPU = (100, 250, 500, 1000, 1500)
MEMORY = (100, 256, 512, 1024, 2048, 4096)


def node(index: int) -> Node:
    name = f"aks-gpu-12345678-vmss{index:06d}"
    size = {"cpu": 23_500, "memory": 210 * GIB, "pods": 110, "nvidia.com/gpu": 1}
    labels = {HOST_NAME: name, ZONE: f"zone-{index % 3}"}
    return Node(name, f"u{index}", "1", labels, allocatable=size)


def equal(index: int) -> Pod:
    """Pods of one kind."""
    requests = {"cpu": 500, "memory": 512 * 2**20, "pods": 1}
    return Pod("default", f"pod-{index:06d}", f"p{index}", "1", requests=requests)


def diverse(index: int) -> Pod:
    """Pods of thirty sizes."""
    cpu, memory = CPU[index % len(CPU)], MEMORY[index % len(MEMORY)]
    requests = {"cpu": cpu, "memory": memory * 2**20, "pods": 1}
    return replace(equal(index), requests=requests)


def neighbours(index: int) -> Pod:
    """A fifth each: plain, spread over zones, over hosts, together in a zone, apart on hosts; of
    seven labels. The shape of Karpenter's own scheduling benchmark, in sizes and in proportions.
    """
    labels = {"my-label": "abcdefg"[index // 5 % 7]}
    match index % 5:
        case 1 | 2:
            key = ZONE if index % 5 == 1 else HOST_NAME
            constraint = SpreadConstraint(key, 1, True, SELECTORS[labels["my-label"]])
            return replace(diverse(index), labels=labels, spread=(constraint,))
        case 3:
            near = PodTerm(ZONE, SELECTORS[labels["my-label"]], ("default",))
            return replace(diverse(index), labels=labels, affinity=PodAffinity(together=(near,)))
        case 4:
            labels = {"app": "nginx"}
            return replace(diverse(index), labels=labels, affinity=PodAffinity(apart=(APART,)))
        case _:
            return replace(diverse(index), labels=labels)


SELECTORS = {value: LabelSelector((("my-label", value),)) for value in "abcdefg"}
APART = PodTerm(HOST_NAME, LabelSelector((("app", "nginx"),)), ("default",))
PODS = 2_000
KINDS: dict[str, Callable[[int], Pod]] = {
    "equal": equal,
    "diverse": diverse,
    "neighbours": neighbours,
}


def case(nodes: int, pods: int, kind: str) -> dict[str, object]:
    pod = KINDS[kind]
    scheduler = Scheduler()
    started = time.process_time()
    for index in range(nodes):
        scheduler.set_node(node(index))
    ready = time.process_time()
    bound = 0
    for index in range(pods):
        scheduler.set_pod(pod(index))
    while scheduler.has_work:
        bound += sum(isinstance(a, BindPod) for a in scheduler.plan(256).actions)
    done = time.process_time()
    return {
        "nodes": nodes,
        "pods": pods,
        "kind": kind,
        "bound": bound,
        "nodes_per_second": round(nodes / (ready - started)),
        "pods_per_second": round(pods / (done - ready)),
    }


def main() -> None:
    for nodes, pods in ((1_000, PODS), (5_000, PODS), (5_000, 20_000)):
        for kind in KINDS if pods == PODS else ("equal", "diverse"):
            print(json.dumps(case(nodes, pods, kind)), flush=True)


if __name__ == "__main__":
    main()
