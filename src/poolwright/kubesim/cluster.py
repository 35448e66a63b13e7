"""One embedded cluster while the process runs: its record, registry, watches and users."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field

from poolwright.kubesim.account_token import AUDIENCE, Invalid, Tokens, Wanted
from poolwright.kubesim.registry import Registry
from poolwright.kubesim.user import User
from poolwright.kubesim.watch import WatchHub
from poolwright.model.cluster_key import ClusterKey
from poolwright.model.json_value import Json
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


@dataclass(slots=True)
class Cluster:
    """A running control plane."""

    key: ClusterKey
    record: ControlPlaneRecord
    registry: Registry
    kubelet: Kubelet
    hub: WatchHub = field(init=False)
    _tokens: Tokens = field(init=False)

    def __post_init__(self) -> None:
        self.hub = WatchHub(self.registry)
        self._tokens = Tokens(self.registry)
        self.registry.on_reload(self.hub.close)  # clients list again

    @property
    def git_version(self) -> str:
        """As ``/version`` says it."""
        return f"v{self.record.version.removeprefix('v')}"

    def authenticate(self, token: str) -> User | None:
        """Whose bearer token this is, or None."""
        try:
            found = self.identify(token)
        except Invalid:
            return None
        return None if found is None else found[0]

    def identify(
        self, token: str, audiences: Sequence[str] = ()
    ) -> tuple[User, Sequence[str]] | None:
        """Whose token this is, and for which of the audiences; without any: for the API's own.

        Raises:
            Invalid: a service account's that is not good, with the reason.
        """
        sent = token.encode()
        admin = hmac.compare_digest(sent, self.record.admin_token.encode())
        user = hmac.compare_digest(sent, self.record.user_token.encode())
        if admin or user:
            if audiences and AUDIENCE not in audiences:
                return None
            return _ADMIN if admin else _USER, [AUDIENCE]
        if token.count(".") != 2:
            return None
        now = self.registry.clock.now().wall
        return self._tokens.check(token, self.record.signing_key, now, audiences)

    def issue(self, wanted: Wanted) -> str:
        """A token of a service account."""
        registry = self.registry
        now, identifier = registry.clock.now().wall, registry.identity.uid()
        return self._tokens.issue(wanted, self.record.signing_key, now, identifier)

    def sign_account_secret(self, secret: Json, account: Json) -> str:
        """The token that a secret holds for a service account."""
        return self._tokens.issue_for_secret(secret, account, self.record.signing_key)
