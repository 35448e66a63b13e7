"""Persistent volumes, the claims for them, and the classes that claims name.

Source of defaults and columns: k8s.io/kubernetes
pkg/apis/core/v1/defaults.go and pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from poolwright.kubesim.kinds.cell import age_of
from poolwright.kubesim.kinds.claim_rules import check_claim
from poolwright.kubesim.kinds.declare import (
    all_of,
    defaults,
    needed,
    one_of,
    starts_with_status,
    unchanged,
)
from poolwright.kubesim.kinds.kind import Column, ObjectKind
from poolwright.kubesim.kinds.pod_default import default_source
from poolwright.kubesim.kinds.volume_rules import check_volume
from poolwright.model import kubernetes as names
from poolwright.model.json_value import child

_AGE = Column("Age")
_UNSET = "<unset>"
_DOMAINS = ("kubernetes.io", "beta.kubernetes.io")
_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def _modes(part: Mapping[str, Any]) -> str:
    given = part.get("accessModes") or ()
    return ",".join(short for mode, short in _MODES.items() if mode in given)


def _phase(body: Mapping[str, Any]) -> str:
    if "deletionTimestamp" in body["metadata"]:
        return "Terminating"
    return str(child(body, "status").get("phase") or "")


def _volume_row(body: Mapping[str, Any], now: datetime) -> Sequence[Any]:
    spec, claim = child(body, "spec"), child(body, "spec", "claimRef")
    return (
        str(child(spec, "capacity").get("storage") or "0"),
        _modes(spec),
        spec.get("persistentVolumeReclaimPolicy") or "",
        _phase(body),
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        spec.get("storageClassName") or "",
        spec.get("volumeAttributesClassName") or _UNSET,
        child(body, "status").get("reason") or "",
        age_of(body, now),
        spec.get("volumeMode") or _UNSET,
    )


def _claim_row(body: Mapping[str, Any], now: datetime) -> Sequence[Any]:
    spec, status = child(body, "spec"), child(body, "status")
    is_bound = bool(spec.get("volumeName"))
    return (
        _phase(body),
        spec.get("volumeName") or "",
        str(child(status, "capacity").get("storage") or "0") if is_bound else "",
        _modes(status) if is_bound else "",
        spec.get("storageClassName") or "",
        spec.get("volumeAttributesClassName") or _UNSET,
        age_of(body, now),
        spec.get("volumeMode") or _UNSET,
    )


def is_default_class(body: Mapping[str, Any]) -> bool:
    """Whether claims that name no class get this one."""
    said = child(body, "metadata", "annotations")
    return any(said.get(f"storageclass.{each}/is-default-class") == "true" for each in _DOMAINS)


def _class_name(body: Mapping[str, Any]) -> str:
    name = body["metadata"]["name"]
    return f"{name} (default)" if is_default_class(body) else name


STORAGE_CLASS = ObjectKind(
    names.STORAGE_CLASSES,
    "storageclass",
    ("sc",),
    columns=(
        Column("Name", format="name"),
        Column("Provisioner"),
        Column("ReclaimPolicy"),
        Column("VolumeBindingMode"),
        Column("AllowVolumeExpansion", "boolean"),
        _AGE,
    ),
    row=lambda body, now: (
        _class_name(body),
        body.get("provisioner") or "",
        body.get("reclaimPolicy") or "Delete",
        body.get("volumeBindingMode") or "Immediate",
        bool(body.get("allowVolumeExpansion")),
        age_of(body, now),
    ),
    default=defaults({}, pointers={"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"}),
    validate=all_of(
        needed("provisioner"),
        one_of("reclaimPolicy", ("Delete", "Retain")),
        one_of("volumeBindingMode", ("Immediate", "WaitForFirstConsumer")),
        unchanged("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"),
    ),
)

PERSISTENT_VOLUME = ObjectKind(
    names.PERSISTENT_VOLUMES,
    "persistentvolume",
    ("pv",),
    subresources=("status",),
    columns=(
        Column("Capacity"),
        Column("Access Modes"),
        Column("Reclaim Policy"),
        Column("Status"),
        Column("Claim"),
        Column("StorageClass"),
        Column("VolumeAttributesClass"),
        Column("Reason"),
        _AGE,
        Column("VolumeMode", priority=1),
    ),
    row=_volume_row,
    default=defaults(
        {"spec.persistentVolumeReclaimPolicy": "Retain", "spec.volumeMode": "Filesystem"},
        lambda body: default_source(body["spec"]),
    ),
    prepare=starts_with_status({"phase": "Pending"}),
    validate=all_of(check_volume),
)

PERSISTENT_VOLUME_CLAIM = ObjectKind(
    names.PERSISTENT_VOLUME_CLAIMS,
    "persistentvolumeclaim",
    ("pvc",),
    subresources=("status",),
    columns=(
        Column("Status"),
        Column("Volume"),
        Column("Capacity"),
        Column("Access Modes"),
        Column("StorageClass"),
        Column("VolumeAttributesClass"),
        _AGE,
        Column("VolumeMode", priority=1),
    ),
    row=_claim_row,
    default=defaults({"spec.volumeMode": "Filesystem"}),
    prepare=starts_with_status({"phase": "Pending"}),
    validate=all_of(check_claim),
)
