"""A KubeSim with one cluster behind uvicorn on loopback, with a kubeconfig beside it."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from poolwright.kubesim.server import KubeSim, KubeSimSettings
from poolwright.model.cluster_key import ClusterKey
from poolwright.model.errors import InvalidRequest
from poolwright.model.instant import Instant, Now
from poolwright.ports.kube import ExecResult, ProxyAnswer

from .fake import FakeClock, FakeIdentity, FakeStore

KEY = ClusterKey("sub", "rg", "one")


class WallClock(FakeClock):
    def now(self):
        return Now(Instant(0), datetime.now(UTC))


class FakeKubelet:
    async def logs(self, cluster, pod, container, *, follow=False, tail_lines=None,
                   timestamps=False, previous=False):  # fmt: skip
        if previous:
            name = pod["metadata"]["name"]
            raise InvalidRequest(
                f'previous terminated container "{container}" in pod "{name}" not found'
            )
        for line in [b"one\n", b"two\n", b"three\n"][-tail_lines if tail_lines else 0 :]:
            yield b"2026-01-01T00:00:00.000000000Z " + line if timestamps else line
        if follow:
            await asyncio.sleep(0.2)
            yield b"four\n"

    async def execute(self, cluster, pod, container, command, *, standard_input=None):
        if command == ["cat"]:
            read = await standard_input() if standard_input else b""
            return ExecResult(read, b"", 0)
        if command == ["false"]:
            return ExecResult(b"", b"no\n", 3)
        return ExecResult(" ".join(command).encode() + b"\n", b"", 0)

    async def proxy(self, cluster, node, port, path):
        return ProxyAnswer(200, "text/plain", f"{node} {port} {path}\n".encode())


def certificate(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def kubeconfig(url, token):
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": url, "insecure-skip-tls-verify": True}}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }


async def serve(folder: Path, *, controllers: bool = False, port: int = 0) -> None:
    certificate(folder)
    sim = KubeSim(
        FakeStore(),
        WallClock(),
        FakeIdentity(),
        FakeKubelet(),
        KubeSimSettings(system_pods=False, controllers=controllers),
    )
    server = uvicorn.Server(
        uvicorn.Config(
            sim.asgi_app,
            port=port,
            log_level="warning",
            lifespan="off",
            ssl_certfile=folder / "cert.pem",
            ssl_keyfile=folder / "key.pem",
        )
    )
    async with asyncio.TaskGroup() as group:
        running = group.create_task(sim.run())
        await sim.put(KEY, version="1.35.4", running=True)
        serving = group.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110  (uvicorn has no event for it)
            await asyncio.sleep(0.01)
        bound = server.servers[0].sockets[0].getsockname()[1]
        url = f"https://127.0.0.1:{bound}/k8s/{KEY}"
        config = kubeconfig(url, await sim.token(KEY, admin=True))
        (folder / "config.part").write_text(json.dumps(config))
        (folder / "config.part").rename(folder / "config")
        await serving
        running.cancel()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), controllers="controllers" in sys.argv))
