"""Rules of a persistent volume: what it is made of, who reaches it, and what of it stays.

Source: k8s.io/kubernetes v1.36 pkg/apis/core/validation (ValidatePersistentVolume,
ValidatePersistentVolumeSpec, ValidatePersistentVolumeUpdate).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from poolwright.kubesim.kinds.claim_rules import VOLUME_MODES, check_modes
from poolwright.kubesim.kinds.pod_placement import check_node_selector
from poolwright.kubesim.kinds.pod_volume import SOURCES, no_steps_back
from poolwright.kubesim.rules import dns_subdomain
from poolwright.kubesim.status import Cause, forbidden, invalid, not_supported, required
from poolwright.model.json_value import Json, child
from poolwright.model.quantity import parse_quantity

_RECLAIMS = ("Delete", "Recycle", "Retain")
_ONLY_IN_PODS = frozenset((
    "configMap", "downwardAPI", "emptyDir", "ephemeral", "gitRepo", "image",
    "persistentVolumeClaim", "projected", "secret",
))  # fmt: skip
_CLASS = "volumeAttributesClassName"
_SECRETS = (
    "controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef",
    "nodeExpandSecretRef",
)  # fmt: skip


def _check_local(source: Json, path: str) -> Iterator[Cause]:
    place = str(source.get("path") or "")
    if not place:
        yield required(f"{path}.path")
    yield from no_steps_back(place, f"{path}.path")


def _check_driver(source: Json, path: str) -> Iterator[Cause]:
    yield from SOURCES["csi"](source, path)
    if not source.get("volumeHandle"):
        yield required(f"{path}.volumeHandle")
    for member in _SECRETS:
        if source.get(member) is not None:
            for inner in ("name", "namespace"):
                if not source[member].get(inner):
                    yield required(f"{path}.{member}.{inner}")


def _check_share(source: Json, path: str) -> Iterator[Cause]:
    yield from SOURCES["azureFile"](source, path)
    if source.get("secretNamespace") == "":
        yield required(f"{path}.secretNamespace")


_SOURCES: Mapping[str, Callable[[Json, str], Iterator[Cause]]] = {
    **{kind: check for kind, check in SOURCES.items() if kind not in _ONLY_IN_PODS},
    "azureFile": _check_share,
    "local": _check_local,
    "csi": _check_driver,
}


def _sources(spec: Json) -> dict[str, Any]:
    return {kind: spec[kind] for kind in _SOURCES if spec.get(kind) is not None}


def _check_capacity(spec: Json) -> Iterator[Cause]:
    where, said = "spec.capacity", spec.get("capacity")
    given = dict(sorted(said.items())) if said else said
    if not given:
        yield required(where)
    if not given or [*given] != ["storage"]:
        yield not_supported(where, given, ("storage",))
        return
    amount = parse_quantity(given["storage"])
    if amount < 0:
        why = "must be a valid resource quantity"
        yield invalid(f"{where}[storage]", int(amount), why)
    if amount <= 0:
        yield invalid(f"{where}[storage]", str(given["storage"]), "must be greater than zero")


def _check_sources(spec: Json) -> Iterator[Cause]:
    given = _sources(spec)
    for position, (kind, source) in enumerate(given.items()):
        if position:
            yield forbidden(f"spec.{kind}", "may not specify more than 1 volume type")
            continue
        yield from _SOURCES[kind](source, f"spec.{kind}")
        if kind == "local" and spec.get("nodeAffinity") is None:
            yield required("spec.nodeAffinity", "Local volume requires node affinity")
    if not given:
        yield required("spec", "must specify a volume type")
    is_root = child(spec, "hostPath").get("path") == "/"
    if is_root and spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        why = "may not be 'recycle' for a hostPath mount of '/'"
        yield forbidden("spec.persistentVolumeReclaimPolicy", why)


def _check_classes(spec: Json) -> Iterator[Cause]:
    name, mode = str(spec.get("storageClassName") or ""), spec.get("volumeMode")
    for problem in dns_subdomain(name) if name else ():
        yield invalid("spec.storageClassName", name, problem)
    if mode is not None and mode not in VOLUME_MODES:
        yield not_supported("spec.volumeMode", mode, VOLUME_MODES)
    attributes = spec.get(_CLASS)
    if attributes is None:
        return
    if not attributes:
        yield required(f"spec.{_CLASS}", "an empty string is disallowed")
    for problem in dns_subdomain(str(attributes)) if attributes else ():
        yield invalid(f"spec.{_CLASS}", attributes, problem)
    if spec.get("csi") is None:
        yield required("spec.csi", f"has to be specified when using {_CLASS}")


def check_volume(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> Iterator[Cause]:
    """Broken rules of a volume; of what it is made, nothing changes."""
    spec = child(new, "spec")
    if not spec.get("accessModes"):
        yield required("spec.accessModes")
    capacity = list(_check_capacity(spec))
    yield from (cause for cause in capacity if not cause.field.endswith("]"))
    yield from check_modes(spec, "spec")
    yield from (cause for cause in capacity if cause.field.endswith("]"))
    policy, affinity = spec.get("persistentVolumeReclaimPolicy"), spec.get("nodeAffinity")
    if policy not in _RECLAIMS:
        yield not_supported("spec.persistentVolumeReclaimPolicy", policy, _RECLAIMS)
    if affinity is not None:
        where = "spec.nodeAffinity.required"
        if affinity.get("required") is None:
            yield required(where, "must specify required node constraints")
        else:
            yield from check_node_selector(affinity["required"], where)
    yield from _check_sources(spec)
    yield from _check_classes(spec)
    if old is not None:
        yield from _check_change(spec, child(old, "spec"))


def _check_change(spec: Json, before: Json) -> Iterator[Cause]:
    where = "spec.persistentvolumesource"
    after, kept = _sources(spec), _sources(before)
    for sources in (after, kept):  # how a volume grows may be told later
        if "csi" in sources:
            driver = {n: v for n, v in sources["csi"].items() if n != "controllerExpandSecretRef"}
            sources["csi"] = driver
    if after != kept:
        yield forbidden(where, f"{where} is immutable after creation")
    if spec.get("volumeMode") != before.get("volumeMode"):
        yield invalid("volumeMode", spec.get("volumeMode"), "field is immutable")
    if before.get("nodeAffinity") not in (None, spec.get("nodeAffinity")):
        why = "field is immutable, except for updating from beta label to GA"
        yield invalid("nodeAffinity", _go_selector(spec.get("nodeAffinity")), why)


def _go_selector(affinity: Any) -> Any:
    """A node affinity as the real server prints its own form of it."""
    if affinity is None:
        return None
    members = ("key", "operator", "values")
    terms = [
        {
            f"{name[0].upper()}{name[1:]}": [
                {member.capitalize(): each.get(member) for member in members} for each in term[name]
            ]
            if term.get(name)
            else None
            for name in ("matchExpressions", "matchFields")
        }
        for term in child(affinity, "required").get("nodeSelectorTerms") or ()
    ]
    return {"Required": {"NodeSelectorTerms": terms}}
