"""``poolwright demo``: the main job from nothing to GPU pods and back, each step checked.

It is a client like any other: it starts ``poolwright up`` on a fresh data directory and talks to
it over HTTPS.
"""

from __future__ import annotations

import base64
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml
from rich.console import Console
from rich.table import Table

from poolwright.app.cli.arm_client import AKS_API_VERSION, ArmClient, CliError
from poolwright.model.json_value import child, children

_SPEED = 120.0  # the whole demo in well under a minute, and its progress still visible
_GROUP, _CLUSTER, _POOL = "demo", "aks1", "gpunp"
_SIZE = "Standard_NC24ads_A100_v4"
_OLD, _NEW = "1.34.4", "1.35.4"
_JOB: dict[str, Any] = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "samples-tf-mnist-demo", "labels": {"app": "samples-tf-mnist-demo"}},
    "spec": {
        "template": {
            "metadata": {"labels": {"app": "samples-tf-mnist-demo"}},
            "spec": {
                "containers": [
                    {
                        "name": "samples-tf-mnist-demo",
                        "image": "mcr.microsoft.com/azuredocs/samples-tf-mnist-demo:gpu",
                        "args": ["--max_steps", "500"],
                        "resources": {"limits": {"nvidia.com/gpu": 1}},
                    }
                ],
                "restartPolicy": "OnFailure",
                "tolerations": [
                    {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}
                ],
            },
        }
    },
}


class DemoError(Exception):
    """A step did not do what it says."""


def _check(holds: object, what: str) -> None:
    if not holds:
        raise DemoError(what)


@dataclass
class _Kubernetes:
    """A few calls to the cluster, by the kubeconfig that ARM gave."""

    http: httpx.Client

    @classmethod
    def of(cls, kubeconfig: dict[str, Any], directory: Path) -> _Kubernetes:
        cluster = kubeconfig["clusters"][0]["cluster"]
        ca = directory / "cluster-ca.pem"
        ca.write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
        return cls(
            httpx.Client(
                base_url=cluster["server"],
                verify=str(ca),
                headers={"Authorization": f"Bearer {kubeconfig['users'][0]['user']['token']}"},
            )
        )

    def get(self, path: str, **query: str) -> Any:
        answer = self.http.get(path, params=query)
        if answer.is_error:
            raise DemoError(f"GET {path}: {answer.status_code} {answer.text[:200]}")
        is_json = "json" in answer.headers.get("content-type", "")
        return answer.json() if is_json else answer.text

    def post(self, path: str, body: object) -> Any:
        answer = self.http.post(path, json=body)
        if answer.is_error:
            raise DemoError(f"POST {path}: {answer.status_code} {answer.text[:200]}")
        return answer.json()

    def nodes(self, pool: str) -> list[Any]:
        return self.get("/api/v1/nodes", labelSelector=f"agentpool={pool}")["items"]

    def pods(self, **query: str) -> list[Any]:
        return self.get("/api/v1/namespaces/default/pods", **query)["items"]


@dataclass
class _Demo:
    """The running demo: its server, its clients, and what each step took."""

    console: Console
    directory: Path
    process: subprocess.Popen[bytes]
    arm: ArmClient
    steps: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])

    @property
    def group(self) -> str:
        return f"/subscriptions/{self.arm.subscription}/resourceGroups/{_GROUP}"

    @property
    def cluster(self) -> str:
        return f"{self.group}/providers/Microsoft.ContainerService/managedClusters/{_CLUSTER}"

    @property
    def pool(self) -> str:
        return f"{self.cluster}/agentPools/{_POOL}"

    @contextmanager
    def step(self, title: str) -> Generator[None]:
        began = time.monotonic()
        self.console.print(f"[bold]▸ {title}[/bold]")
        yield
        took = time.monotonic() - began
        self.steps.append((title, took))
        self.console.print(f"  [green]✓[/green] {took:.1f} s")

    def operate(self, method: str, path: str, body: object = None) -> None:
        """Start a long-running operation and show what it says of itself until it ends."""
        answer = self.arm.send(method, path, api_version=AKS_API_VERSION, body=body)
        url = answer.headers["azure-asyncoperation"]
        shown = ""
        while True:
            status = self.arm.send("GET", url, api_version="").json()
            if status["status"] != shown:
                shown = status["status"]
                self.console.print(f"    {shown}", style="dim")
            if shown in {"Succeeded", "Failed", "Canceled"}:
                break
            time.sleep(0.1)
        error = child(status, "error")
        _check(shown == "Succeeded", f"{method} {path}: {shown} {error.get('message', '')}")

    def wait(self, what: str, question: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + 30
        while True:
            answer = question()
            if answer:
                return answer
            _check(time.monotonic() < deadline, f"{what}: it did not come true within 30 s")
            time.sleep(0.1)


@contextmanager
def _server(directory: Path) -> Generator[tuple[subprocess.Popen[bytes], dict[str, str]]]:
    command = [sys.executable, "-m", "poolwright", "up", "--data-dir", str(directory)]
    command += ["--port", "0", "--speed", str(_SPEED)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        ready = any(re.match(rb"ready https://", line) for line in process.stdout)
        _check(ready, "the server did not start")
        variables: dict[str, str] = {}
        for line in (directory / "env.sh").read_text().splitlines():
            if line.startswith("export "):
                name, _, value = line.removeprefix("export ").partition("=")
                variables[name] = "".join(shlex.split(value))
        yield process, variables
        process.terminate()
        _check(process.wait(10) == 0, "the server did not end cleanly")
    finally:
        process.kill()
        process.wait()


def _prepare(demo: _Demo) -> _Kubernetes:
    arm, cluster = demo.arm, demo.cluster
    with demo.step("Resource group and preview feature"):
        arm.send("PUT", demo.group, api_version="2024-11-01", body={"location": "eastus"})
        feature = (
            f"/subscriptions/{arm.subscription}/providers/Microsoft.Features/providers/"
            "Microsoft.ContainerService/features/ManagedGPUExperiencePreview"
        )
        arm.send("POST", f"{feature}/register", api_version="2021-07-01")
        demo.wait(
            "feature",
            lambda: (
                arm.get(feature, api_version="2021-07-01")["properties"]["state"] == "Registered"
            ),
        )
    with demo.step("Managed cluster with a system pool (az aks create)"):
        pool = {"name": "nodepool1", "count": 1, "vmSize": "Standard_DS2_v2", "mode": "System"}
        body = {
            "location": "eastus",
            "identity": {"type": "SystemAssigned"},
            "properties": {
                "kubernetesVersion": _NEW,
                "dnsPrefix": "demo",
                "agentPoolProfiles": [pool],
            },
        }
        demo.operate("PUT", cluster, body)
        answer = arm.send(
            "POST", f"{cluster}/listClusterUserCredential", api_version=AKS_API_VERSION
        ).json()
        kubeconfig = yaml.safe_load(base64.b64decode(answer["kubeconfigs"][0]["value"]))
        kubernetes = _Kubernetes.of(kubeconfig, demo.directory)
        _check(len(kubernetes.nodes("nodepool1")) == 1, "the system pool has one node")
    return kubernetes


def _create_pool(demo: _Demo, kubernetes: _Kubernetes) -> None:
    with demo.step(f"Managed GPU pool, 2 × {_SIZE} (az aks nodepool add)"):
        properties = {
            "count": 2,
            "vmSize": _SIZE,
            "orchestratorVersion": _OLD,
            "mode": "User",
            "nodeTaints": ["sku=gpu:NoSchedule"],
            "gpuProfile": {"nvidia": {"managementMode": "Managed"}},
        }
        demo.operate("PUT", demo.pool, {"properties": properties})
        nodes = kubernetes.nodes(_POOL)
        table = Table("NODE", "GPU", "TAINTS", box=None, pad_edge=False)
        for node in nodes:
            gpus = child(node, "status", "allocatable").get("nvidia.com/gpu")
            _check(gpus == "1", f"{node['metadata']['name']} has 1 nvidia.com/gpu")
            taints = [f"{t['key']}={t.get('value')}" for t in children(node, "spec", "taints")]
            table.add_row(node["metadata"]["name"], gpus, ", ".join(taints))
        _check(len(nodes) == 2, "the pool has two nodes")
        demo.console.print(table)
    with demo.step("Device-plugin and DCGM-exporter pods (kubectl get pods -n default)"):
        table = Table("POD", "STATUS", "NODE", box=None, pad_edge=False)
        pods = kubernetes.pods()
        for pod in pods:
            status, spec = child(pod, "status"), child(pod, "spec")
            table.add_row(pod["metadata"]["name"], status.get("phase"), spec.get("nodeName"))
        names = [pod["metadata"]["name"] for pod in pods if pod["status"]["phase"] == "Running"]
        for prefix in ("nvidia-device-plugin", "nvidia-dcgm-exporter"):
            _check(sum(n.startswith(prefix) for n in names) == 2, f"two {prefix} pods run")
        demo.console.print(table)


def _run_workload(demo: _Demo, kubernetes: _Kubernetes) -> None:
    selector = "app=samples-tf-mnist-demo"
    with demo.step("GPU job, with its metrics while it runs"):
        kubernetes.post("/apis/batch/v1/namespaces/default/jobs", _JOB)
        pod = demo.wait(
            "the job's pod runs",
            lambda: next(
                (
                    p
                    for p in kubernetes.pods(labelSelector=selector)
                    if p["status"]["phase"] == "Running"
                ),
                None,
            ),
        )
        node = pod["spec"]["nodeName"]
        path = f"/api/v1/nodes/{node}:19400/proxy/metrics"

        def busy() -> str | None:
            lines = str(kubernetes.get(path)).splitlines()
            found = [line for line in lines if line.startswith("DCGM_FI_DEV_GPU_UTIL{")]
            return next((line for line in found if float(line.split()[-1]) > 0), None)

        line = demo.wait("the GPU is busy", busy)
        demo.console.print(f"    DCGM_FI_DEV_GPU_UTIL on {node}: {line.split()[-1]} %", style="dim")
        job = "/apis/batch/v1/namespaces/default/jobs/samples-tf-mnist-demo"
        demo.wait("the job completes", lambda: kubernetes.get(job)["status"].get("succeeded") == 1)
        name = pod["metadata"]["name"]
        log = str(kubernetes.get(f"/api/v1/namespaces/default/pods/{name}/log", tailLines="2"))
        _check(log.strip(), "the job logged something")
        demo.console.print(f"    {log.strip()}", style="dim", markup=False)


def _change_pool(demo: _Demo, kubernetes: _Kubernetes) -> None:
    with demo.step("Scale to 3 nodes"):
        properties = dict(demo.arm.get(demo.pool)["properties"]) | {"count": 3}
        demo.operate("PUT", demo.pool, {"properties": properties})
        _check(len(kubernetes.nodes(_POOL)) == 3, "the pool has three nodes")
    with demo.step(f"Upgrade from {_OLD} to {_NEW}, node by node with a surge node"):
        before = {n["metadata"]["uid"] for n in kubernetes.nodes(_POOL)}
        properties = dict(demo.arm.get(demo.pool)["properties"]) | {"orchestratorVersion": _NEW}
        demo.operate("PUT", demo.pool, {"properties": properties})
        nodes = kubernetes.nodes(_POOL)
        versions = {child(n, "status", "nodeInfo").get("kubeletVersion") for n in nodes}
        _check(versions == {f"v{_NEW}"}, f"every node runs {_NEW}, not {versions}")
        _check(len(nodes) == 3, "the pool still has three nodes")
        _check(not before & {n["metadata"]["uid"] for n in nodes}, "every node was replaced")
        gpus = {child(n, "status", "allocatable").get("nvidia.com/gpu") for n in nodes}
        _check(gpus == {"1"}, "every node has its GPU again")
    with demo.step("Delete the pool, then the resource group"):
        demo.operate("DELETE", demo.pool)
        _check(not kubernetes.nodes(_POOL), "the nodes are gone")
        demo.arm.operate("DELETE", demo.group, api_version="2024-11-01")


def _summary(demo: _Demo) -> None:
    width = max(len(title) for title, _ in demo.steps)
    demo.console.print(f"{'STEP':{width}}  {'HERE':>7}  IN REAL TIME", soft_wrap=True)
    for title, took in demo.steps:
        minutes, seconds = divmod(round(took * _SPEED), 60)
        line = f"{title:{width}}  {took:5.1f} s  about {minutes:2} min {seconds:02} s"
        demo.console.print(line, soft_wrap=True)
    demo.console.print(
        f"\n{sum(took for _, took in demo.steps):.0f} s at {_SPEED:.0f} world seconds per second; "
        "no GPU was harmed, or needed. Next: poolwright up",
        soft_wrap=True,
    )


def run_demo() -> None:
    """Run it; exit code 0 only if every step was checked."""
    console = Console(highlight=False)
    root = Path(tempfile.mkdtemp(prefix="poolwright-demo-"))
    try:
        with _server(root / "data") as (process, variables):
            demo = _Demo(console, root, process, ArmClient(variables))
            kubernetes = _prepare(demo)
            _create_pool(demo, kubernetes)
            _run_workload(demo, kubernetes)
            _change_pool(demo, kubernetes)
            _summary(demo)
    except (DemoError, CliError, httpx.HTTPError) as error:
        console.print(f"[red]✗ {error}[/red]")
        sys.exit(1)
    finally:
        shutil.rmtree(root, ignore_errors=True)
