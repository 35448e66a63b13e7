"""A container's variables: what its spec says of them, and their values.

Source: k8s.io/kubernetes v1.36 pkg/kubelet/kubelet_pods.go, makeEnvironmentVariables.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from poolwright.model.errors import NotFound
from poolwright.model.json_value import Json, child, children
from poolwright.model.kubernetes import CONFIG_MAPS, SECRETS, Resource
from poolwright.ports.kube import Kube
from poolwright.providers.simulated.shell import filled_in

SERVICE = {
    "KUBERNETES_SERVICE_PORT": "443",
    "KUBERNETES_SERVICE_HOST": "10.0.0.1",
    "HOME": "/root",
}
"""What every container is given besides."""


@dataclass(frozen=True, slots=True)
class Source:
    """A config map or a secret of the pod's namespace."""

    resource: Resource
    name: str

    def values(self, wire: Json) -> dict[str, str]:
        """What it holds, as text, by key."""
        data: Mapping[str, str] = wire.get("data") or {}
        if self.resource is CONFIG_MAPS:
            return dict(data)
        return {key: _plain(value) for key, value in data.items()}


def _plain(value: str) -> str:
    try:
        return base64.b64decode(value).decode(errors="replace")
    except binascii.Error:
        return ""


@dataclass(frozen=True, slots=True)
class Variable:
    """One entry of ``env``, or of ``envFrom``: there ``name`` is a prefix, and ``key`` empty."""

    name: str
    value: str = ""
    field: str = ""
    """A field of the pod."""
    resource: tuple[str, str, str] = ("", "", "")
    """A container's name, what it requests or may use at most, and the divisor."""
    source: Source | None = None
    key: str = ""
    is_optional: bool = False


class Unfilled(Exception):
    """A variable has no value, so the container cannot start; the kubelet's words why."""


def read_variables(container: Json) -> tuple[Variable, ...]:
    """The variables of a container in the order in which they are set."""
    if not (container.get("env") or container.get("envFrom")):
        return ()
    whole = (_from_whole(wire) for wire in children(container, "envFrom"))
    single = (_from_entry(wire, container["name"]) for wire in children(container, "env"))
    return (*whole, *single)


_KINDS: tuple[tuple[str, str, Resource], ...] = (
    ("configMapRef", "configMapKeyRef", CONFIG_MAPS),
    ("secretRef", "secretKeyRef", SECRETS),
)


def _from_whole(wire: Json) -> Variable:
    prefix = wire.get("prefix") or ""
    for whole, _, resource in _KINDS:
        if found := child(wire, whole):
            source = Source(resource, found.get("name") or "")
            return Variable(prefix, source=source, is_optional=bool(found.get("optional")))
    return Variable(prefix)


def _from_entry(wire: Json, container: str) -> Variable:
    name, value, origin = wire["name"], wire.get("value"), child(wire, "valueFrom")
    if value or not origin:
        return Variable(name, str(value or ""))
    if found := child(origin, "fieldRef"):
        return Variable(name, field=found.get("fieldPath") or "")
    if found := child(origin, "resourceFieldRef"):
        named, wanted = found.get("containerName") or container, found.get("resource") or ""
        return Variable(name, resource=(named, wanted, str(found.get("divisor") or "")))
    for _, single, resource in _KINDS:
        if found := child(origin, single):
            source, key = Source(resource, found.get("name") or ""), found.get("key") or ""
            return Variable(name, source=source, key=key, is_optional=bool(found.get("optional")))
    return Variable(name)


Held = Mapping[Source, Mapping[str, str] | None]
"""What sources hold; None for one that is not there."""


async def read_sources(kube: Kube, namespace: str, sources: Iterable[Source]) -> Held:
    """What the sources hold now."""
    held: dict[Source, Mapping[str, str] | None] = {}
    for source in sources:
        try:
            wire = await kube.get(source.resource, source.name, namespace=namespace)
        except NotFound:
            held[source] = None
        else:
            held[source] = source.values(wire)
    return held


def fill(
    variables: tuple[Variable, ...],
    namespace: str,
    held: Held,
    of_pod: Callable[[Variable], str],
) -> dict[str, str]:
    """The values by name. ``of_pod`` knows what a field or a resource of the pod is.

    Raises:
        Unfilled: a config map or secret, or its key, is not there and not optional.
    """
    found: dict[str, str] = {}
    for variable in variables:
        if variable.source is not None:
            found |= _drawn(variable, variable.source, namespace, held)
        elif variable.field or variable.resource[1]:
            found[variable.name] = of_pod(variable)
        elif variable.name:
            found[variable.name] = filled_in(variable.value, SERVICE | found)
    return found


def _drawn(variable: Variable, source: Source, namespace: str, held: Held) -> dict[str, str]:
    kind, values = source.resource.kind, held.get(source)
    if values is None:
        if variable.is_optional:
            return {}
        raise Unfilled(f'{kind.lower()} "{source.name}" not found')
    if not variable.key:
        return {variable.name + key: values[key] for key in sorted(values)}
    if variable.key in values:
        return {variable.name: values[variable.key]}
    if variable.is_optional:
        return {}
    raise Unfilled(f"couldn't find key {variable.key} in {kind} {namespace}/{source.name}")
