"""The processes of the chart's pods, started on this machine with what their containers would see.

They listen on 127.0.0.2: loopback to the kernel, and not to the server.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import httpx

from helm_chart import ACCOUNT, pod_specs

SERVICE = "pw.poolwright.svc"
LOGIN = {"client_id": "app", "client_secret": "right"}
_HASH = hashlib.sha256(b"saltright").hexdigest()
_CLIENTS = [{"client_id": "app", "secret_sha256": _HASH, "salt": "salt"}]
SECRETS = {"poolwright-clients": {"clients.json": json.dumps(_CLIENTS)}}
"""Secrets that the user makes, as texts by key; the store's is not among them."""
_HERE = {"POOLWRIGHT_SERVER__HOST": "127.0.0.2", "POOLWRIGHT_SERVER__PORT": "0"}


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


class Pod:
    """A pod's process in the pod's folders."""

    _folders = PodFolders

    def __init__(self, folder, objects, container, secrets, account):
        self.spec = pod_specs(objects)[container]
        self.folders = self._folders(folder, self.spec, sources_of(objects, **secrets))
        if self.spec["automountServiceAccountToken"]:
            for name, text in account.items():
                (self.folders.here(ACCOUNT) / name).write_text(text)
        self.here = self.folders.here
        self.process = None

    def launch(self):
        scratch = self.here("/tmp")
        log = (self.folders.folder / "log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "poolwright", *self.folders.arguments()],
            stdout=subprocess.PIPE,
            stderr=log,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=scratch,
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": str(scratch),
                "TMPDIR": str(scratch),
                **self.environment(),
            },
        )
        log.close()
        return self

    def environment(self):
        """What the pod's container has of its own, and where a server listens here."""
        listens = "ports" in self.spec["containers"][0]
        return {**(_HERE if listens else {}), **self.folders.environment()}

    def end(self):
        """Wait for it to end by itself; its exit code."""
        self.process.communicate(timeout=60)
        return self.process.returncode

    def log(self):
        return (self.folders.folder / "log").read_text()

    def ready(self):
        """Wait until it says that it serves; its port."""
        line = self.process.stdout.readline()
        found = re.match(r"ready https://127\.0\.0\.2:(\d+)", line)
        assert found, self.log()
        self.port = int(found[1])
        return self

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        seconds = self.spec["terminationGracePeriodSeconds"]
        self.process.communicate(timeout=seconds)
        return self.process.returncode

    def ca(self, secrets):
        if "certificate" in secrets:
            return secrets["certificate"]["ca.crt"]
        return (self.here("/var/lib/poolwright") / "tls/ca.pem").read_text()


class Client(contextlib.AbstractContextManager):
    """Talks TLS to one server under the name of the Service, as a connection through it would."""

    def __init__(self, pod, ca, host=SERVICE):
        context = ssl.create_default_context(cadata=ca)
        self._http = httpx.Client(verify=context, trust_env=False, timeout=30)
        self._url = f"https://127.0.0.2:{pod.port}"
        self._host = host

    def __exit__(self, *error):
        self._http.close()

    def __call__(self, method, path, token=None, **options):
        headers = {"Host": self._host}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        url, names = self._url + path, {"sni_hostname": SERVICE}
        return self._http.request(method, url, headers=headers, extensions=names, **options)

    def token(self, **fields):
        form = {"grant_type": "client_credentials", **LOGIN, **fields}
        return self("POST", "/adfs/oauth2/token", data=form)
