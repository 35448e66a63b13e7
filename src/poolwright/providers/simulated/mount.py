"""The volumes of a pod that are made of config maps and secrets, and why one cannot be mounted.

Source: k8s.io/kubernetes v1.36 pkg/volume/{configmap,secret,projected}, pkg/kubelet/volumemanager.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from poolwright.model.errors import NotFound
from poolwright.model.json_value import Json, child, children
from poolwright.model.kubernetes import CONFIG_MAPS, SECRETS
from poolwright.ports.kube import Kube
from poolwright.providers.simulated.variable import Source

RETRY_FIRST = 0.5
RETRY_MAX = 122.0
"""World seconds until a mount that failed is tried again, doubled each time.
Source: pkg/util/goroutinemap/exponentialbackoff."""

_IN_EVERY_NAMESPACE = "kube-root-ca.crt"
"""Published by the control plane and mounted by nearly every pod, so nobody reads it."""


@dataclass(frozen=True, slots=True)
class Files:
    """What a volume takes from one config map or secret: these keys, or whatever it holds."""

    source: Source
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume that some container mounts, with what must be there for it."""

    name: str
    files: tuple[Files, ...]

    def trouble(self, held: Keys) -> str:
        """The kubelet's words why it cannot be mounted; empty if it can."""
        found = (_trouble(files, held.get(files.source)) for files in self.files)
        words = list(dict.fromkeys(each for each in found if each))
        if not words:
            return ""
        why = words[0] if len(words) == 1 else f"[{', '.join(words)}]"
        return f'MountVolume.SetUp failed for volume "{self.name}" : {why}'


Keys = Mapping[Source, frozenset[str] | None]
"""The keys that sources hold; None for one that is not there."""


def read_volumes(spec: Json) -> tuple[Volume, ...]:
    """The volumes of a pod that need a config map or a secret."""
    found = [
        Volume(wire["name"], files)
        for wire in children(spec, "volumes")
        if (files := tuple(_files(wire)))
    ]
    if not found:
        return ()
    mounted = {
        mount.get("name")
        for member in ("containers", "initContainers")
        for container in children(spec, member)
        for mount in children(container, "volumeMounts")
    }
    return tuple(volume for volume in found if volume.name in mounted)


_MEMBERS = (("configMap", CONFIG_MAPS), ("secret", SECRETS))


def _files(volume: Json) -> Iterator[Files]:
    parts = (
        (volume, *children(volume, "projected", "sources")) if "projected" in volume else (volume,)
    )
    for wire in parts:
        for member, resource in _MEMBERS:
            if member not in wire:
                continue
            found = child(wire, member)
            name = found.get("secretName") or found.get("name") or ""
            if name and name != _IN_EVERY_NAMESPACE and not found.get("optional"):
                keys = tuple(item.get("key") or "" for item in children(found, "items"))
                yield Files(Source(resource, name), keys)


def _trouble(files: Files, held: frozenset[str] | None) -> str:
    is_secret = files.source.resource is SECRETS
    if held is None:
        return f'{files.source.resource.kind.lower()} "{files.source.name}" not found'
    missing = next((key for key in files.keys if key not in held), None)
    if missing is None:
        return ""
    subject, kind = ("", "secret") if is_secret else ("configmap ", "config")
    return f"{subject}references non-existent {kind} key: {missing}"


async def read_keys(kube: Kube, namespace: str, volumes: tuple[Volume, ...]) -> Keys:
    """Which keys there are now of what the volumes are made of."""
    held: dict[Source, frozenset[str] | None] = {}
    for source in dict.fromkeys(files.source for volume in volumes for files in volume.files):
        try:
            wire = await kube.get(source.resource, source.name, namespace=namespace)
        except NotFound:
            held[source] = None
        else:
            held[source] = frozenset((*child(wire, "data"), *child(wire, "binaryData")))
    return held
