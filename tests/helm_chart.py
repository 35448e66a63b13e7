"""Our Helm chart, rendered by the real helm."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
CHART = ROOT / "deploy/helm/poolwright"
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where pods find the account that they are to the cluster."""
VALUES = sorted((CHART / "ci").glob("*.yaml"))


class HelmFailed(AssertionError):
    """What helm said instead of doing it."""


class Helm:
    """The helm of the live tools, without anybody's configuration."""

    def __init__(self, binary: Path, home: Path, kubeconfig: Path | None = None):
        self._binary = binary
        self._home = home
        self._rendered: dict[tuple[object, ...], str] = {}
        self._environment = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
        if kubeconfig is not None:
            self._environment["KUBECONFIG"] = str(kubeconfig)

    def __call__(self, *words: object) -> str:
        done = subprocess.run(
            [str(self._binary), *map(str, words)],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        if done.returncode:
            raise HelmFailed(done.stderr + done.stdout)
        return done.stdout

    def render(self, values: Path, *words: object, namespace: str = "poolwright") -> list[dict]:
        """The objects of a release called pw."""
        key = (values, namespace, *words)
        if key not in self._rendered:
            self._rendered[key] = self(
                "template", "pw", CHART, "-f", values, "-n", namespace, *words
            )
        return [document for document in yaml.safe_load_all(self._rendered[key]) if document]

    def at(self, kubeconfig: Path) -> Helm:
        """The same, pointed at a cluster."""
        return Helm(self._binary, self._home, kubeconfig)


def one(objects, kind):
    """The only object of a kind."""
    found = [each for each in objects if each["kind"] == kind]
    assert len(found) == 1, f"{len(found)} of {kind}"
    return found[0]


def pod_specs(objects):
    """The pods that the objects make, by the name of their only container."""
    made = [each["spec"]["template"] for each in objects if each["kind"] in {"Deployment", "Job"}]
    return {each["spec"]["containers"][0]["name"]: each["spec"] for each in made}


def secret(name: str, **texts: str):
    """A Secret as the user makes it."""
    data = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}
