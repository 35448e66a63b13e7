"""One embedded cluster while the process runs: its record, registry, watches and users."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import jwt

from poolwright.kubesim.registry import Registry
from poolwright.kubesim.user import User
from poolwright.kubesim.watch import WatchHub
from poolwright.model.cluster_key import ClusterKey
from poolwright.model.record import Kind
from poolwright.ports.kube import Kubelet


@dataclass(frozen=True, slots=True)
class ControlPlaneRecord:
    """What must survive of a control plane. ``version`` has no leading v."""

    version: str
    is_running: bool
    admin_token: str
    user_token: str
    signing_key: str


CONTROL_PLANE: Kind[ControlPlaneRecord, None] = Kind(
    "poolwright/controlplanes", ControlPlaneRecord, type(None)
)
CONTROL_PLANE_NAME = "control-plane"


_ADMIN = User("masterclient", ("system:masters", "system:authenticated"))
_USER = User("clusterUser", ("system:masters", "system:authenticated"))
TOKEN_AUDIENCE = "https://kubernetes.default.svc.cluster.local"


@dataclass(slots=True)
class Cluster:
    """A running control plane."""

    key: ClusterKey
    record: ControlPlaneRecord
    registry: Registry
    kubelet: Kubelet
    hub: WatchHub = field(init=False)

    def __post_init__(self) -> None:
        self.hub = WatchHub(self.registry)
        self.registry.on_reload(self.hub.close)  # clients list again

    @property
    def git_version(self) -> str:
        """As ``/version`` says it."""
        return f"v{self.record.version.removeprefix('v')}"

    def authenticate(self, token: str) -> User | None:
        """Whose bearer token this is, or None."""
        sent = token.encode()
        admin = hmac.compare_digest(sent, self.record.admin_token.encode())
        user = hmac.compare_digest(sent, self.record.user_token.encode())
        if admin:
            return _ADMIN
        if user:
            return _USER
        return self._service_account(token) if token.count(".") == 2 else None

    def issue(self, namespace: str, name: str, uid: str, seconds: int, audience: str) -> str:
        """A token of a service account."""
        now = self.registry.clock.now().wall
        return jwt.encode(
            {
                "aud": [audience or TOKEN_AUDIENCE],
                "iss": TOKEN_AUDIENCE,
                "sub": f"system:serviceaccount:{namespace}:{name}",
                "iat": int(now.timestamp()),
                "exp": int((now + timedelta(seconds=seconds)).timestamp()),
                "kubernetes.io": {
                    "namespace": namespace,
                    "serviceaccount": {"name": name, "uid": uid},
                },
            },
            self.record.signing_key,
            algorithm="HS256",
        )

    def _service_account(self, token: str) -> User | None:
        try:
            claims = jwt.decode(
                token,
                self.record.signing_key,
                algorithms=["HS256"],
                options={"verify_exp": False, "verify_aud": False, "verify_iat": False},
            )
        except jwt.PyJWTError:
            return None
        expires = datetime.fromtimestamp(int(claims.get("exp", 0)), UTC)
        if expires <= self.registry.clock.now().wall:
            return None
        subject = str(claims.get("sub", ""))
        namespace = subject.split(":")[2] if subject.count(":") == 3 else ""
        return User(
            subject,
            (
                "system:serviceaccounts",
                f"system:serviceaccounts:{namespace}",
                "system:authenticated",
            ),
        )
