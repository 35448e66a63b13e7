"""The clusters that are measured: the embedded one of ``poolwright up``, and the real one."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from bench_scale import CONFIG, POOL_MAX, SPEED, make_pools
from kubernetes_api import Api
from measured import (
    Server,
    cluster_body,
    cluster_path,
    cpu_seconds,
    make_group,
    memory_mib,
    write_kubeconfig,
)

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from live_stack import COMPONENTS as PROGRAMS
from live_stack import LiveStack, live_tools

COMPONENTS = 2
"""Pods that a pool with managed components brings to each of its nodes."""


def _requests(cpu: str) -> dict[str, Any]:
    return {"requests": {"cpu": cpu, "memory": "32Mi"}}


def pod_spec(cpu: str = "10m") -> dict[str, Any]:
    container = {"name": "main", "image": "registry.k8s.io/pause:3.10", "resources": _requests(cpu)}
    return {"containers": [container], "tolerations": [{"operator": "Exists"}]}


def workload(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": name}}, "spec": pod_spec()}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template, **spec},
    }


def node_object(name: str) -> dict[str, Any]:
    """A machine of 32 cores."""
    amounts = {"cpu": "32", "memory": "256Gi", "pods": "110", "ephemeral-storage": "500Gi"}
    labels = {f"kubernetes.io/{k}": v for k, v in (("os", "linux"), ("arch", "amd64"))}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {**labels, "kubernetes.io/hostname": name}},
        "status": {"capacity": amounts, "allocatable": amounts},
    }


class Embedded:
    """``poolwright up`` in a process of its own; nodes come from agent pools."""

    name = "embedded"
    how = "PUT of agent pools through ARM; simulated machines register their nodes"

    def __init__(self, folder: Path, *, speed: float = SPEED) -> None:
        self._folder = folder
        self._server = Server(folder / "up", speed=speed, config=CONFIG)
        self._pools = 0

    async def start(self) -> Api:
        self._server.start()
        client = self._server.client()
        make_group(client)
        cluster = cluster_path(client, "c")
        client.operate("PUT", cluster, body=cluster_body())
        return self._api()

    def _api(self) -> Api:
        client = self._server.client()
        path = self._folder / "kubeconfig"
        write_kubeconfig(client, cluster_path(client, "c"), path)
        found = yaml.safe_load(path.read_text())
        cluster, user = found["clusters"][0]["cluster"], found["users"][0]["user"]
        url = urlsplit(cluster["server"])
        context = ssl.create_default_context(cadata=_pem(cluster["certificate-authority-data"]))
        assert url.hostname is not None
        return Api(url.hostname, url.port or 443, context, url.path, user["token"])

    async def restart(self, speed: float) -> Api:
        """The same cluster, at another speed."""
        self._server.stop()
        self._server.speed = speed
        self._server.start()
        return self._api()

    async def prepare_components(self, api: Api) -> None:
        """They come with the pools."""

    async def add_nodes(self, api: Api, count: int, *, components: bool) -> None:
        profile = "with_components" if components else "without_components"
        client = self._server.client()
        first, self._pools = self._pools, self._pools - (-count // POOL_MAX)
        cluster = cluster_path(client, "c")
        await asyncio.to_thread(make_pools, client, cluster, count, profile, first=first)

    def pids(self) -> dict[str, int]:
        return {"poolwright": self._server.pid}

    def stop(self) -> None:
        self._server.stop()


class Real:
    """etcd, kube-apiserver, kube-scheduler, kube-controller-manager and KWOK."""

    name = "real"
    how = "Node objects by 8 parallel creators; KWOK plays their kubelets"

    def __init__(self, folder: Path) -> None:
        self._stack = LiveStack(folder / "real", nodes=0)
        self._nodes = 0

    async def start(self) -> Api:
        await asyncio.to_thread(self._stack.start)
        context = ssl.create_default_context(cafile=str(self._stack.authority.ca))
        admin = self._stack.authority.folder / "admin"
        context.load_cert_chain(admin.with_suffix(".crt"), admin.with_suffix(".key"))
        return Api("127.0.0.1", self._stack.port, context)

    async def prepare_components(self, api: Api) -> None:
        """As many DaemonSets as a pool with components brings pods."""
        sets = [workload("DaemonSet", f"component-{n}") for n in range(COMPONENTS)]
        await api.create_all("/apis/apps/v1/namespaces/default/daemonsets", sets)

    async def add_nodes(self, api: Api, count: int, *, components: bool) -> None:
        del components
        first, self._nodes = self._nodes, self._nodes + count
        names = (f"node-{n:05d}" for n in range(first, first + count))
        await api.create_all("/api/v1/nodes", map(node_object, names))

    def pids(self) -> dict[str, int]:
        return self._stack.pids()

    def stop(self) -> None:
        self._stack.stop()


def _pem(data: str) -> str:
    return base64.b64decode(data).decode()


def processor_seconds(stack: Embedded | Real) -> float:
    return sum(cpu_seconds(pid) for pid in stack.pids().values())


def resident_mib(stack: Embedded | Real) -> dict[str, float]:
    """Of each process, and of all."""
    found = {name: memory_mib(pid)["resident_mib"] for name, pid in stack.pids().items()}
    return {**found, "all": round(sum(found.values()))}


def missing_tools() -> str:
    """Why the real stack cannot be measured; empty if it can."""
    try:
        live_tools.require(*PROGRAMS, environment=os.environ)
    except live_tools.ToolsMissing as error:
        return str(error)
    return ""


def version_of(answer: bytes) -> str:
    return json.loads(answer)["gitVersion"]
