"""A Kubernetes as a user meets it: a kubeconfig, kubectl, and the API over HTTP."""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx
import yaml

from waiting import until

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


class Stack(Protocol):
    """What starts and stops a Kubernetes."""

    kubeconfig: Path
    folder: Path

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def restart(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Said:
    """What kubectl printed, and its exit code."""

    code: int
    out: str
    err: str


class World:
    """One Kubernetes. ``name`` says which, for the list of known differences only."""

    def __init__(self, name: str, stack: Stack, kubectl: Path):
        self.name = name
        self.stack = stack
        self.kubectl_path = kubectl
        self._client = connect(stack.kubeconfig)
        version = json.loads(self.kubectl("version --client -o json").out)["clientVersion"]
        self.kubectl_minor: str = version["minor"].rstrip("+")

    def close(self) -> None:
        self._client.close()

    def kubectl(self, words: str, *more: str, stdin: str = "", namespace: str = "") -> Said:
        command = [str(self.kubectl_path), f"--kubeconfig={self.stack.kubeconfig}"]
        command += ["-n", namespace] if namespace else []
        done = subprocess.run(
            [*command, *words.split(), *more],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            input=stdin,
            env={"HOME": str(self.stack.folder), "PATH": "/usr/bin:/bin"},
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def ask(
        self, method: str, path: str, body: Any = None, *, media: str = "application/json", **query
    ) -> httpx.Response:
        """A request; the response whatever it is."""
        content = None
        if body is not None:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self._client.request(
            method,
            path.lstrip("/"),
            content=content,
            params=query,
            headers={"Content-Type": media} if content is not None else {},
        )

    def get(self, path: str, **query) -> Any:
        return self._good(self.ask("GET", path, **query))

    def create(self, path: str, body: Any, **query) -> Any:
        return self._good(self.ask("POST", path, body, **query))

    def replace(self, path: str, body: Any, **query) -> Any:
        return self._good(self.ask("PUT", path, body, **query))

    def patch(self, path: str, body: Any, media: str = MERGE_PATCH, **query) -> Any:
        return self._good(self.ask("PATCH", path, body, media=media, **query))

    def apply(self, path: str, body: Any, owner: str, **query) -> Any:
        return self.patch(path, body, APPLY_PATCH, fieldManager=owner, **query)

    def delete(self, path: str, body: Any = None, **query) -> Any:
        return self._good(self.ask("DELETE", path, body, **query))

    def refused(self, response: httpx.Response, code: int, reason: str) -> Any:
        """The Status of a refusal."""
        status = response.json()
        assert (response.status_code, status.get("reason")) == (code, reason), response.text
        assert status["kind"] == "Status"
        assert status["code"] == code
        return status

    @contextlib.contextmanager
    def watch(self, path: str, **query) -> Iterator[Iterator[dict[str, Any]]]:
        """The events of a watch as they come."""
        params = {"watch": "true", "timeoutSeconds": "60", **query}
        with self._client.stream("GET", path.lstrip("/"), params=params) as response:
            assert response.status_code == 200, response.read()
            yield (json.loads(line) for line in response.iter_lines())

    def until(self, question, seconds: float = 40) -> Any:
        """Ask again until it holds; the deadline only bounds a failure."""
        return until(question, seconds, every=0.1)

    def until_gone(self, path: str, seconds: float = 40) -> None:
        self.until(lambda: self.ask("GET", path).status_code == 404, seconds)

    def items(self, path: str, **query) -> list[Any]:
        return self.get(path, **query)["items"]

    def nodes(self) -> list[str]:
        """The nodes, in order."""
        return sorted(node["metadata"]["name"] for node in self.items("/api/v1/nodes"))

    @staticmethod
    def _good(response: httpx.Response) -> Any:
        assert response.status_code < 300, f"{response.status_code}: {response.text}"
        return response.json()


def connect(kubeconfig: Path) -> httpx.Client:
    """A client of the API that is meant, as the user that is meant."""
    config = yaml.safe_load(kubeconfig.read_text())
    cluster = config["clusters"][0]["cluster"]
    user = config["users"][0]["user"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    headers = {}
    if "token" in user:
        headers["Authorization"] = f"Bearer {user['token']}"
    else:
        pair = kubeconfig.with_name("client.pem")
        parts = (user["client-certificate-data"], user["client-key-data"])
        pair.write_bytes(b"".join(base64.b64decode(part) for part in parts))
        context.load_cert_chain(pair)
    return httpx.Client(
        base_url=cluster["server"].rstrip("/") + "/", verify=context, headers=headers, timeout=70
    )
