"""A server with a cluster made through ARM, what the clients need in it, and the clients."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx

from behaviour.world import connect
from server_process import ServerProcess

HERE = Path(__file__).parent
PYTHON = Path(
    os.environ.get(
        "POOLWRIGHT_TEST_KUBERNETES",
        str(Path.home() / ".cache/poolwright/kubernetes-venv/bin/python"),
    )
)
"""Of the environment that has the official Python client."""
NAMESPACES = ("churn-a", "churn-b")
SIZE = "Standard_D8s_v5"
_MERGE = "application/merge-patch+json"
_MARK = "churn/mark"


class ClientMissing(Exception):
    """A client cannot be had here, and why."""


def go_client() -> Path:
    """The client-go program, built when its source or modules changed; kept outside the tree.

    Raises:
        ClientMissing: there is no Go, or it could not build the program and said why.
    """
    if shutil.which("go") is None:
        raise ClientMissing("Go 1.26 (it builds the client-go program of tests/churn)")
    source = HERE / "go"
    files = sorted(file for file in source.iterdir() if file.suffix in {".go", ".mod", ".sum"})
    stamp = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
    place = Path.home() / ".cache/poolwright/churn"
    target = place / f"churn-{stamp}"
    if not target.exists():
        place.mkdir(parents=True, exist_ok=True)
        unfinished = place / f"unfinished-{os.getpid()}"
        command = ["go", "build", "-trimpath", "-ldflags", "-s -w", "-o", str(unfinished), "."]
        flags = {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GOWORK": "off"}
        try:
            subprocess.run(command, cwd=source, env={**os.environ, **flags}, check=True)
        except subprocess.CalledProcessError as error:
            said = f"go build ended with {error.returncode}"
            raise ClientMissing(f"the client-go program of tests/churn ({said})") from error
        unfinished.replace(target)
    return target


def python_client() -> Path:
    """The Python of the environment that has the official client.

    Raises:
        ClientMissing: it is not there.
    """
    if not PYTHON.exists():
        raise ClientMissing("the official Python client of Kubernetes (make kubernetes-client)")
    return PYTHON


class Arena:
    """The server; its cluster has two namespaces, counters, sentinels and a Deployment."""

    def __init__(self, folder: Path, *, bug: str = "", speed: float = 20, nodes: int = 3):
        self.folder = folder
        self.kubeconfig = folder / "kubeconfig"
        self._nodes = nodes
        self.server = ServerProcess(
            folder / "data",
            speed=600,
            command=(str(HERE / "launcher.py"),),
            environment={"CHURN_BUG": bug},
        )
        self._speed = speed
        self._client: httpx.Client | None = None
        self.names: list[str] = []

    def start(self) -> None:
        """Make the cluster in fast time; what follows is at the arena's speed."""
        self.server.start()
        self.server.run("group create -n churn -l eastus")
        self.server.run(f"aks create -g churn -n churn -c {self._nodes} -s {SIZE}")
        self.server.run(f"aks get-credentials -g churn -n churn --admin -f {self.kubeconfig}")
        assert self.server.stop() == 0
        self.server.speed = self._speed
        self.server.start()
        self._client = connect(self.kubeconfig)
        self.names = [node["metadata"]["name"] for node in self.items("nodes")]
        self._furnish()

    def stop(self) -> None:
        """SIGTERM, which must end it well.

        Raises:
            subprocess.TimeoutExpired: it took too long, and was killed.
        """
        assert self.server.stop() == 0, self.server.log()[-4000:]

    def close(self) -> None:
        """End our own connections."""
        if self._client is not None:
            self._client.close()

    def ask(self, method: str, path: str, body: Any = None, media: str = "application/json") -> Any:
        """A request that must be answered well."""
        assert self._client is not None
        content = None if body is None else json.dumps(body)
        response = self._client.request(
            method, path, content=content, headers={"Content-Type": media}
        )
        assert response.status_code < 300, f"{method} {path}: {response.text}"
        return response.json()

    def items(self, resource: str) -> list[Any]:
        return self.ask("GET", f"api/v1/{resource}")["items"]

    def say_the_end(self) -> None:
        """Put the last mark on something that each watch selects."""
        end = {"metadata": {"annotations": {_MARK: "end"}, "labels": {"color": "red"}}}
        for namespace in NAMESPACES:
            path = f"api/v1/namespaces/{namespace}/configmaps/sentinel"
            self.ask("PATCH", path, end, _MERGE)
        for name in self.names:
            self.ask("PATCH", f"api/v1/nodes/{name}", end, _MERGE)
        on = {}
        for pod in self.items("pods"):
            if pod["metadata"].get("deletionTimestamp") is None:
                on[pod["spec"].get("nodeName", "")] = pod["metadata"]
        for about in on.values():
            path = f"api/v1/namespaces/{about['namespace']}/pods/{about['name']}"
            self.ask("PATCH", path, end, _MERGE)

    def _furnish(self) -> None:
        for namespace in NAMESPACES:
            self.ask("POST", "api/v1/namespaces", {"metadata": {"name": namespace}})
            maps = f"api/v1/namespaces/{namespace}/configmaps"
            self.ask("POST", maps, _map("sentinel", color="red"))
            self.ask("POST", maps, _map("counter", count="0"))
        self.ask("POST", f"apis/apps/v1/namespaces/{NAMESPACES[0]}/deployments", _DEPLOYMENT)
        for name in self.names:
            mark = {"metadata": {"labels": {"color": "blue"}}}
            self.ask("PATCH", f"api/v1/nodes/{name}", mark, _MERGE)


def _map(name: str, color: str = "", **data: str) -> Any:
    labels = {"color": color} if color else {}
    return {
        "metadata": {"name": name, "labels": labels, "annotations": {_MARK: "0|start"}},
        "data": data,
    }


_DEPLOYMENT = {
    "metadata": {"name": "web"},
    "spec": {
        "replicas": 3,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": "nginx"}]},
        },
    },
}


class Program:
    """A client in a process of its own, told what to do by lines."""

    def __init__(self, name: str, command: list[str], log: Path):
        self.name = name
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        self._log = log
        self._await("ready")

    def tell(self, order: str, answer: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{order}\n")
        self._process.stdin.flush()
        self._await(answer)

    def _await(self, answer: str) -> None:
        assert self._process.stdout is not None
        said = self._process.stdout.readline().strip()
        assert said == answer, f"{self.name} said {said!r}: {self._log.read_text()[-3000:]}"

    def is_running(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        """End it, whatever it does."""
        if self.is_running():
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


def now() -> int:
    return time.time_ns()
