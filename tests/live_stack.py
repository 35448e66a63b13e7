"""A real Kubernetes without machines on loopback: etcd, kube-apiserver, kube-controller-manager,
kube-scheduler and KWOK, each a process of this one, ended by its pid.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))
import live_tools

COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
_KWOK = "kwok.x-k8s.io/node"
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class StackFailed(AssertionError):
    """The stack could not be started; the message carries the end of the log that says why."""


class Authority:
    """One certificate authority and what it signs, as PEM files of a folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = self._subject("live-ca", "")
        self.ca = folder / "ca.crt"
        certificate = self._sign(self._name, self._key.public_key(), is_authority=True)
        self._write("ca", certificate, self._key)
        # Signs and checks the tokens of service accounts.
        self._write("service-account", None, rsa.generate_private_key(65537, 2048))

    def issue(self, file: str, user: str, group: str = "", names: Sequence[str] = ()) -> None:
        """A pair for a client or, with names, a server."""
        key = ec.generate_private_key(ec.SECP256R1())
        self._write(file, self._sign(self._subject(user, group), key.public_key(), names), key)

    @staticmethod
    def _subject(user: str, group: str) -> x509.Name:
        parts = [x509.NameAttribute(NameOID.COMMON_NAME, user)]
        if group:
            parts.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
        return x509.Name(parts)

    def _sign(self, subject, public_key, names=(), *, is_authority=False):
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=30))
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        )
        if names:
            alternatives = [
                x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
                for name in names
            ]
            builder = builder.add_extension(
                x509.SubjectAlternativeName(alternatives), critical=False
            )
        if not is_authority:
            usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def _write(self, file, certificate, key) -> None:
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        (self.folder / f"{file}.key").write_bytes(pem)
        if certificate is not None:
            text = certificate.public_bytes(serialization.Encoding.PEM)
            (self.folder / f"{file}.crt").write_bytes(text)


class LiveStack:
    """The processes, started by ``start`` and all gone after ``stop``. KWOK plays every node, or
    with ``by_annotation`` those alone that carry its annotation, as the stack's own then do. What
    ``audited`` users ask for is in ``audit.log``.
    """

    def __init__(
        self,
        folder: Path,
        *,
        nodes: int = 3,
        by_annotation: bool = False,
        audited: Sequence[str] = (),
    ):
        self.folder = folder
        self.nodes = nodes
        self._by_annotation = by_annotation
        self._audited = audited
        self.ready_seconds = 0.0
        self._tools = live_tools.require(*COMPONENTS)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self.authority = authority = Authority(folder)
        authority.issue("server", "kube-apiserver", names=("127.0.0.1", "localhost"))
        authority.issue("admin", "live-admin", "system:masters")
        etcd, peer, self.port = _free_ports(3)
        self._etcd_urls = (f"http://127.0.0.1:{etcd}", f"http://127.0.0.1:{peer}")
        self.endpoint = f"https://127.0.0.1:{self.port}"
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(json.dumps(self._kubeconfig()))
        self._context = ssl.create_default_context(cafile=str(authority.ca))
        self._context.load_cert_chain(folder / "admin.crt", folder / "admin.key")

    def start(self) -> None:
        """Start everything; returns once the API is ready and the nodes are."""
        began = time.monotonic()
        try:
            for name in ("etcd", "kube-apiserver"):
                self._launch(name)
            self._wait(self._is_ready, "the API server")
            for name in COMPONENTS[2:]:
                self._launch(name)
            self._wait(lambda: self._exists("/api/v1/namespaces/default"), "the namespaces")
            for index in range(self.nodes):
                node = _node(index)
                if self._by_annotation:
                    node["metadata"]["annotations"] = {_KWOK: "fake"}
                self.request("POST", "/api/v1/nodes", node)
            self._wait(self._nodes_are_ready, "the nodes")
            account = "/api/v1/namespaces/default/serviceaccounts/default"
            self._wait(lambda: self._exists(account), "the service account")
        except BaseException:
            self.stop()
            raise
        self.ready_seconds = time.monotonic() - began

    def stop(self) -> None:
        """End everything; nothing of it runs afterwards."""
        for name in reversed(list(self._processes)):
            self.end(name)

    def end(self, name: str) -> None:
        """End one process. The API server would drain its watches for a minute: it is killed."""
        process = self._processes.pop(name)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL if name == "kube-apiserver" else signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def resume(self, name: str) -> None:
        """Start again one that was ended; what it serves comes back when it does."""
        self._launch(name)

    def restart(self) -> None:
        """Kill the API server and start it again over the same etcd and port."""
        self.end("kube-apiserver")
        self._launch("kube-apiserver")
        self._wait(self._is_ready, "the API server")

    def pids(self) -> dict[str, int]:
        """The processes by name."""
        return {name: process.pid for name, process in self._processes.items()}

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    # How each is called

    def _arguments(self, name: str) -> list[str]:
        file = self.folder.joinpath
        client, peer = self._etcd_urls
        controller = [f"--kubeconfig={self.kubeconfig}", "--leader-elect=false"]
        controller += ["--secure-port=0", "--kube-api-qps=1000", "--kube-api-burst=2000"]
        match name:
            case "etcd":
                return [
                    f"--data-dir={file('etcd')}",
                    f"--listen-client-urls={client}",
                    f"--advertise-client-urls={client}",
                    f"--listen-peer-urls={peer}",
                    f"--initial-advertise-peer-urls={peer}",
                    f"--initial-cluster=default={peer}",
                    "--unsafe-no-fsync",
                    "--log-level=warn",
                ]
            case "kube-apiserver":
                return [
                    f"--etcd-servers={client}",
                    f"--secure-port={self.port}",
                    "--bind-address=127.0.0.1",
                    f"--tls-cert-file={file('server.crt')}",
                    f"--tls-private-key-file={file('server.key')}",
                    f"--client-ca-file={file('ca.crt')}",
                    f"--service-account-key-file={file('service-account.key')}",
                    f"--service-account-signing-key-file={file('service-account.key')}",
                    "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
                    "--service-cluster-ip-range=10.0.0.0/16",
                    "--authorization-mode=Node,RBAC",
                    "--endpoint-reconciler-type=none",  # it refuses loopback addresses
                    "--allow-privileged=true",
                    *self._audit(),
                ]
            case "kube-controller-manager":
                return [
                    *controller,
                    f"--service-account-private-key-file={file('service-account.key')}",
                    f"--root-ca-file={file('ca.crt')}",
                    f"--cluster-signing-cert-file={file('ca.crt')}",
                    f"--cluster-signing-key-file={file('ca.key')}",
                ]
            case "kube-scheduler":
                return controller
            case _:
                return [
                    f"--kubeconfig={self.kubeconfig}",
                    f"--config={live_tools.document(live_tools.STAGES)}",
                    f"--manage-nodes-with-annotation-selector={_KWOK}=fake"
                    if self._by_annotation
                    else "--manage-all-nodes=true",
                    "--node-lease-duration-seconds=40",
                ]

    def _audit(self) -> list[str]:
        if not self._audited:
            return []
        rules = [{"level": "Metadata", "users": list(self._audited)}, {"level": "None"}]
        policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules}
        policy["omitStages"] = ["RequestReceived"]
        path = self.folder / "audit-policy.json"
        path.write_text(json.dumps(policy))
        log = self.folder / "audit.log"
        return [f"--audit-policy-file={path}", f"--audit-log-path={log}"]

    def audit(self) -> list[dict]:
        """What the audited users asked for so far, a request an entry."""
        try:
            lines = (self.folder / "audit.log").read_text().splitlines()
        except FileNotFoundError:
            return []
        return list({entry["auditID"]: entry for entry in map(json.loads, lines)}.values())

    def _launch(self, name: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [str(self._tools[name]), *self._arguments(name)],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_end_with_parent,  # noqa: PLW1509  no threads here
            )

    # What is asked while it starts

    def _wait(self, question, what: str, seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        while not question():
            for name, process in self._processes.items():
                if process.poll() is not None:
                    raise StackFailed(f"{name} ended: {self.log(name)[-2000:]}")
            if time.monotonic() > deadline:
                raise StackFailed(f"waited in vain for {what}")
            time.sleep(0.05)

    def _is_ready(self) -> bool:
        try:
            return self.request("GET", "/readyz") == b"ok"
        except (OSError, urllib.error.URLError):
            return False

    def _exists(self, path: str) -> bool:
        try:
            self.request("GET", path)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return False
            raise
        return True

    def _nodes_are_ready(self) -> bool:
        nodes = json.loads(self.request("GET", "/api/v1/nodes"))["items"]
        ready = [node for node in nodes if _is_ready_node(node)]
        return len(ready) >= self.nodes

    def request(self, method: str, path: str, body=None) -> bytes:
        request = urllib.request.Request(
            f"{self.endpoint}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, context=self._context, timeout=30) as response:
            return response.read()

    def _kubeconfig(self):
        def inline(file):
            return base64.b64encode((self.folder / file).read_bytes()).decode()

        cluster = {"server": self.endpoint, "certificate-authority-data": inline("ca.crt")}
        user = {
            "client-certificate-data": inline("admin.crt"),
            "client-key-data": inline("admin.key"),
        }
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "live", "cluster": cluster}],
            "users": [{"name": "admin", "user": user}],
            "contexts": [{"name": "live", "context": {"cluster": "live", "user": "admin"}}],
            "current-context": "live",
        }


def _end_with_parent() -> None:
    """Whatever becomes of the parent, the child does not outlive it."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setpgrp()  # Ctrl-C goes to the parent, which ends us in order


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


def _is_ready_node(node) -> bool:
    conditions = {item["type"]: item["status"] for item in node["status"].get("conditions", [])}
    return conditions.get("Ready") == "True" and not node["spec"].get("taints")


def _node(index: int):
    """As the facts of the conformance list were measured: 32 cores, addresses of their own."""
    resources = {"cpu": "32", "memory": "256Gi", "pods": "110", "ephemeral-storage": "500Gi"}
    name = f"node-{index}"
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
            },
        },
        "status": {
            "capacity": resources,
            "allocatable": resources,
            "addresses": [{"type": "InternalIP", "address": f"10.1.0.{index + 10}"}],
        },
    }
