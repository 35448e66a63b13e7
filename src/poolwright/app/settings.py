"""All settings as one tree, built once from a TOML file, ``POOLWRIGHT_*`` and command options."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, cast

import msgspec

from poolwright.arm.settings import ArmSettings
from poolwright.control.run import ControlSettings
from poolwright.kubesim.server import KubeSimSettings
from poolwright.model.bounds import Bounds, check_bounds
from poolwright.providers.simulated.settings import SimulatedCloudSettings
from poolwright.telemetry.logs import LogSettings
from poolwright.telemetry.settings import TelemetrySettings

_PREFIX = "POOLWRIGHT_"
_STORES = ("postgresql://", "postgres://")
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
# Names in the environment that configure clients (``env.sh`` exports them) and tests, not the
# server.
_NOT_SETTINGS = ("POOLWRIGHT_ENDPOINT", "POOLWRIGHT_IDENTITY_ENDPOINT", "POOLWRIGHT_TEST_")


class SettingsError(Exception):
    """A setting that cannot be used: one line that names it."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where the server listens and keeps its state."""

    host: str = "localhost"
    """Address to listen on. Beyond loopback ``arm.is_development`` must be off."""
    port: int = 8443
    """TCP port, 0 to 65535; 0 picks a free one."""
    names: tuple[str, ...] = ()
    """Further DNS names and addresses that the certificate shall carry."""
    data_dir: str = ".poolwright"
    """Folder of the state, the certificates and ``env.sh``; made if missing."""
    store: str = ""
    """``postgresql://…`` keeps the state in PostgreSQL; empty (default): SQLite in ``data_dir``."""
    migrates: bool = True
    """Whether the store's tables are brought up to date at start; off where ``poolwright store
    migrate`` has done so before: a store of another version is then refused."""
    tls_certificate: str = ""
    """PEM file of the certificate to serve, with its chain; empty (default): a CA of our own
    issues one. A new one is served once the file and its key's have changed."""
    tls_key: str = ""
    """PEM file of the certificate's private key."""
    tls_ca: str = ""
    """PEM file of the CA that clients shall trust; empty (default): the served certificate's
    file, or our own CA."""
    token_keys: tuple[str, ...] = ()
    """PEM files of RSA private keys: the first signs access tokens, all of them verify. Empty
    (default): one that is drawn once, kept in ``data_dir`` or, with PostgreSQL, in the store."""
    drain: timedelta = timedelta()
    """How long requests are still served after SIGTERM while ``/readyz`` says no, 0 s to 5 min, so
    that a load balancer can look elsewhere."""
    identity_port: int = 0
    """Port of the plain-HTTP managed-identity endpoint on 127.0.0.1; 0 picks a free one."""

    BOUNDS: ClassVar[Bounds] = {
        "port": (0, 65535),
        "drain": (0, 300),
        "identity_port": (0, 65535),
    }

    def __post_init__(self) -> None:
        check_bounds(self, self.BOUNDS)
        if self.store and not self.store.startswith(_STORES):
            raise ValueError("store: must be postgresql://…, or empty for SQLite")
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("tls_certificate and tls_key: give both or none")
        if self.tls_ca and not self.tls_certificate:
            raise ValueError("tls_ca: says nothing without tls_certificate")

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host in _LOOPBACK


@dataclass(frozen=True, slots=True)
class WorldSettings:
    """The world that the embedded default simulates."""

    speed: float = 60.0
    """World seconds per real second, 1 to 100,000. At 60 five minutes take five seconds."""
    seed: str = ""
    """Seed of the world's chance; empty (default) draws one for a new data directory."""

    BOUNDS: ClassVar[Bounds] = {"speed": (1, 100_000)}

    def __post_init__(self) -> None:
        check_bounds(self, self.BOUNDS)


@dataclass(frozen=True, slots=True)
class ClusterToAdopt:
    """One of several Kubernetes that somebody else made: ``kubeconfig`` and ``cluster_name`` must
    be given.
    """

    kubeconfig: str
    cluster_name: str
    context: str = ""
    resource_group: str = "poolwright"
    location: str = "eastus"


@dataclass(frozen=True, slots=True)
class AdoptSettings:
    """A Kubernetes that somebody else made, to be managed instead of clusters of our own making;
    several as ``[[adopt.clusters]]``.
    """

    kubeconfig: str = ""
    """File that says how to reach it; empty (default): clusters are made here, embedded."""
    context: str = ""
    """Context of the file; empty (default): its current one."""
    cluster_name: str = "kubernetes"
    """Its name as a managed cluster."""
    resource_group: str = "poolwright"
    """Its resource group; made if missing."""
    location: str = "eastus"
    """Its location, and its machines'."""
    clusters: tuple[ClusterToAdopt, ...] = ()
    """Several instead of one."""

    def __post_init__(self) -> None:
        if self.kubeconfig and self.clusters:
            raise ValueError("kubeconfig and clusters: give one of them")
        names: set[tuple[str, str]] = set()
        sources: dict[tuple[str, str], str] = {}
        for each in self.clusters:
            name = (each.resource_group.lower(), each.cluster_name.lower())
            if name in names:
                raise ValueError(f"clusters: {'/'.join(name)} is given twice")
            names.add(name)
            source = (each.kubeconfig, each.context)
            if source in sources:
                one, other = sources[source], each.cluster_name
                raise ValueError(f"clusters: {one} and {other} are one cluster ({each.kubeconfig})")
            sources[source] = each.cluster_name

    @property
    def wanted(self) -> tuple[ClusterToAdopt, ...]:
        """Every cluster to be adopted."""
        if not self.kubeconfig:
            return self.clusters
        one = ClusterToAdopt(
            self.kubeconfig, self.cluster_name, self.context, self.resource_group, self.location
        )
        return (one,)


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole tree; each part goes to the room it is for."""

    server: ServerSettings = field(default_factory=ServerSettings)
    world: WorldSettings = field(default_factory=WorldSettings)
    adopt: AdoptSettings = field(default_factory=AdoptSettings)
    arm: ArmSettings = field(default_factory=ArmSettings)
    control: ControlSettings = field(default_factory=ControlSettings)
    kubernetes: KubeSimSettings = field(default_factory=KubeSimSettings)
    cloud: SimulatedCloudSettings = field(default_factory=SimulatedCloudSettings)
    log: LogSettings = field(default_factory=LogSettings)
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)


def _unknown(kind: Any, value: Any, path: str) -> str | None:
    """The path of the first member of a TOML table that no field of the dataclass has."""
    if isinstance(value, list) and typing.get_origin(kind) is tuple:
        element = typing.get_args(kind)[0]
        inside = (
            _unknown(element, inner, f"{path}[{index}]")
            for index, inner in enumerate(cast("list[Any]", value))
        )
        return next((found for found in inside if found), None)
    if not dataclasses.is_dataclass(kind) or not isinstance(value, Mapping):
        return None
    hints = typing.get_type_hints(kind)
    fields = {field.name for field in dataclasses.fields(kind)}
    for name, inner in cast("Mapping[str, Any]", value).items():
        here = f"{path}.{name}" if path else name
        if name not in fields:
            return here
        found = _unknown(hints[name], inner, here)
        if found:
            return found
    return None


def _assign(tree: dict[str, Any], path: list[str], value: Any) -> None:
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
        if not isinstance(tree, dict):
            raise SettingsError(f"{name!r} is a value, and {'.'.join(path)!r} is inside of it")
    tree[path[-1]] = value


def _literal(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


_PLACE = re.compile(r"(.*) - at `\$\.?(.*)`")
"""How msgspec says where a value is wrong."""


def _placed(said: str) -> str:
    """The place first: ``world.speed: must be …``."""
    found = _PLACE.fullmatch(said)
    if found is None or not found[2]:
        return said
    what, where = found[1], found[2]
    return f"{where}{'.' if re.match('[-.a-zA-Z0-9_]+: ', what) else ': '}{what}"


def _adopting(tree: dict[str, Any]) -> str:
    """The member of ``adopt`` that names clusters; empty where they are made here.

    Raises:
        SettingsError: a member says more of a cluster that is not named.
    """
    adopt = tree.get("adopt")
    if not isinstance(adopt, dict):
        return ""
    given = cast("dict[str, Any]", adopt)
    if not given.get("kubeconfig"):
        for name in ("context", "cluster_name", "resource_group", "location"):
            if name in given:
                raise SettingsError(f"adopt.{name}: says nothing without adopt.kubeconfig")
    return next((name for name in ("kubeconfig", "clusters") if given.get(name)), "")


def _derive(tree: dict[str, Any]) -> None:
    """Set what follows from the rest: somebody else's Kubernetes lives in real time, and so do we
    then, and make no clusters beside it.
    """
    server = tree.get("server")
    given = cast("dict[str, Any]", server) if isinstance(server, dict) else {}
    host = given.get("host", "localhost")
    _assign(tree, ["arm", "is_loopback"], isinstance(host, str) and host in _LOOPBACK)
    named = _adopting(tree)
    _assign(tree, ["arm", "makes_clusters"], not named)
    if not named:
        return
    world = tree.get("world", {})
    speed = cast("dict[str, Any]", world).get("speed", 1) if isinstance(world, dict) else 1
    if speed != 1:
        raise SettingsError(f"world.speed: must be 1 with adopt.{named}, not {speed}")
    _assign(tree, ["world", "speed"], 1)


def load_settings(
    config: Path | None, environment: Mapping[str, str], options: Mapping[str, Any]
) -> Settings:
    """Build the tree: defaults, then the file, then ``POOLWRIGHT_SERVER__PORT``-like variables,
    then options by dotted path (None is not given).

    Raises:
        SettingsError: a file that cannot be read, an unknown name, a wrong type or value.
    """
    tree: dict[str, Any] = {}
    if config is not None:
        try:
            tree = tomllib.loads(config.read_text())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise SettingsError(f"{config}: {reason}") from error
    for name, text in sorted(environment.items()):
        if name.startswith(_PREFIX) and not name.startswith(_NOT_SETTINGS):
            _assign(tree, name.removeprefix(_PREFIX).lower().split("__"), _literal(text))
    for path, value in options.items():
        if value is not None:
            _assign(tree, path.split("."), value)
    _derive(tree)
    stranger = _unknown(Settings, tree, "")
    if stranger:
        raise SettingsError(f"unknown setting {stranger!r}")
    try:
        return msgspec.convert(tree, Settings, strict=False)
    except (msgspec.ValidationError, ValueError) as error:
        raise SettingsError(_placed(str(error))) from error
