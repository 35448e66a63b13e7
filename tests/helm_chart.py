"""Our Helm chart, rendered by the real helm, and its pods' folders laid out on this machine."""

from __future__ import annotations

import base64
import re
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
CHART = ROOT / "deploy/helm/poolwright"
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
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


class PodFolders:
    """What a pod's container would see of its volumes, below a folder of this machine.

    ``sources`` are the ConfigMaps and Secrets by name: texts by key. A path that no volume of the
    pod serves stays as it is, and so is missing here, as it would be in the pod.
    """

    def __init__(self, folder: Path, spec, sources):
        self.folder = folder
        self._sources = sources
        volumes = {each["name"]: each for each in spec["volumes"]}
        self._container = spec["containers"][0]
        self._mounts = [each["mountPath"] for each in self._container["volumeMounts"]]
        if spec["automountServiceAccountToken"]:
            self._mounts.append(ACCOUNT)
        for path in self._mounts:
            self.here(path).mkdir(parents=True)
        for mount in self._container["volumeMounts"]:
            volume = volumes[mount["name"]]
            name = volume.get("configMap", {}).get("name")
            name = name or volume.get("secret", {}).get("secretName")
            for key, text in sources[name].items() if name else ():
                (self.here(mount["mountPath"]) / key).write_text(self._moved(text))

    def here(self, path: str) -> Path:
        return self.folder / path.lstrip("/")

    def _moved(self, text: str) -> str:
        """The text with the paths of mounts replaced, each once."""
        mounts = "|".join(re.escape(path) for path in sorted(self._mounts, key=len, reverse=True))
        paths = re.compile(rf"(?<![\w.-])({mounts})(?=[/\"\s]|$)", re.MULTILINE)
        return paths.sub(lambda found: str(self.here(found[1])), text)

    def arguments(self) -> list[str]:
        return [self._moved(word) for word in self._container["args"]]

    def environment(self) -> dict[str, str]:
        result = {}
        for entry in self._container["env"]:
            reference = entry["valueFrom"]["secretKeyRef"]
            result[entry["name"]] = self._sources[reference["name"]][reference["key"]]
        return result


def sources_of(objects, **secrets):
    """What pods may mount: the rendered ConfigMaps, and Secrets that the user made."""
    maps = {each["metadata"]["name"]: each for each in objects if each["kind"] == "ConfigMap"}
    return {name: each["data"] for name, each in maps.items()} | secrets


def secret(name: str, **texts: str):
    """A Secret as the user makes it."""
    data = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}
