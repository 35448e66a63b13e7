"""An API server that can be adopted, and starts of a server that adopt it."""

import asyncio
import contextlib
import json
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from itertools import count
from random import Random

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from arm_aks.world import World
from poolwright.app.adopting import adopt_clusters
from poolwright.app.settings import ClusterToAdopt
from poolwright.kube.adopted import AdoptedControlPlanes
from poolwright.model.cluster_key import ClusterKey
from poolwright.model.instant import Instant, Now
from poolwright.model.managed_cluster import MANAGED_CLUSTER
from poolwright.sim.identity import SeededIdentity

DAY = timedelta(days=1)
NOW = datetime.now(UTC)


def pair(folder, name, *, since=NOW - 10 * DAY, until=NOW + DAY):
    """A certificate that signs itself, for loopback, and its key; the file that has both."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (folder / f"{name}.crt").write_bytes(pem)
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


OWNER = "/api/v1/namespaces/kube-system/configmaps/poolwright-owner"


class Api:
    """An API server of three answers and one immutable object, on loopback with TLS."""

    def __init__(self, folder):
        self.folder = folder
        self.answers = {
            "/version": (200, {"gitVersion": "v1.35.4"}),
            "/api/v1/nodes": (200, {"metadata": {"resourceVersion": "1"}, "items": []}),
            "/api/v1/namespaces/kube-system": (200, {"metadata": {"uid": "uid-1"}}),
        }
        self.owner = None
        self.asked = []
        self.certificate = "server"
        self.token = None
        self.connections = 0
        self.port = 0
        pair(folder, "server")

    async def _connected(self, reader, writer):
        self.connections += 1
        with contextlib.suppress(asyncio.CancelledError):
            await self._answer(reader, writer)
        self.connections -= 1

    async def _answer(self, reader, writer):
        while head := await reader.readline():
            method, path = head.decode().partition("?")[0].split()[:2]
            lines = [head]
            while lines[-1].strip():
                lines.append(await reader.readline())
            sizes = [
                line.split()[1] for line in lines if line.lower().startswith(b"content-length")
            ]
            sent = await reader.readexactly(int(sizes[0])) if sizes else b""
            self.asked.append((method, path))
            is_known = self.token is None or b"Authorization: Bearer %s\r\n" % self.token in lines
            if not is_known:
                code, body = 401, {"message": "Unauthorized"}
            elif path in self.answers:
                code, body = self.answers[path]
            else:
                assert path == OWNER
                code, body = self._own(method, sent)
            text = body if isinstance(body, bytes) else json.dumps(body).encode()
            writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (code, len(text)) + text)
            await writer.drain()
        writer.close()

    def _own(self, method, sent):
        """As a server with that object and nothing else: server-side apply, get, delete."""
        if method == "PATCH":
            wanted = json.loads(sent)
            assert wanted["immutable"]
            if self.owner and self.owner["data"] != wanted["data"]:
                return 422, {"code": 422, "message": "field is immutable when `immutable` is set"}
            self.owner = wanted
        elif method == "DELETE":
            self.owner = None
            return 200, {}
        if self.owner is None:
            return 404, {"code": 404, "reason": "NotFound", "message": "not found"}
        return 200, self.owner

    @contextlib.asynccontextmanager
    async def serving(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        one = str(self.folder / self.certificate)
        context.load_cert_chain(f"{one}.crt", f"{one}.key")
        server = await asyncio.start_server(self._connected, "127.0.0.1", self.port, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    def kubeconfig(self, name="kubeconfig", *, user=None, ca="server", host="127.0.0.1"):
        cluster = {"server": f"https://{host}:{self.port}", "certificate-authority": f"{ca}.crt"}
        document = {
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": user or {"token": "secret"}}],
        }
        path = self.folder / name
        path.write_text(json.dumps(document))
        return str(path)


class Today:
    """A clock that stands at the moment the certificates are made for."""

    def now(self):
        return Now(Instant(0), NOW)


class Start:
    """One start of a server over a store."""

    _seeds = count()

    def __init__(self, before=None):
        identity = SeededIdentity(Random(next(self._seeds)))
        self.context = before.context if before else World().context
        self.context = replace(self.context, clock=Today(), identity=identity)
        self.control_planes = AdoptedControlPlanes()

    async def adopt(self, *wanted):
        async with self.control_planes:
            await adopt_clusters(self.context, self.control_planes, wanted)

    def key(self, name="c1"):
        return ClusterKey.of(self.context.settings.subscriptions[0].id, "rg", name)

    async def cluster(self, name="c1"):
        key = self.key(name)
        return await self.context.store.get(key.arm_scope, MANAGED_CLUSTER, key.name)


def named(kubeconfig, name="c1", **more):
    return ClusterToAdopt(kubeconfig, name, resource_group="rg", **more)
