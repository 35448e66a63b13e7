"""Persistent volumes and claims, as objects: nothing provisions, binds or mounts them.

Clients of stateful sets list them. Source of defaults and columns: k8s.io/kubernetes
pkg/apis/core/v1/defaults.go and pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from poolwright.kubesim.kinds.cell import age_of
from poolwright.kubesim.kinds.declare import all_of, defaults, needed, starts_with_status
from poolwright.kubesim.kinds.kind import Column, ObjectKind
from poolwright.model import kubernetes as names
from poolwright.model.json_value import child

_AGE = Column("Age")
_UNSET = "<unset>"
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
        {"spec.persistentVolumeReclaimPolicy": "Retain", "spec.volumeMode": "Filesystem"}
    ),
    prepare=starts_with_status({"phase": "Pending"}),
    validate=all_of(needed("spec.accessModes", "spec.capacity")),
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
    validate=all_of(needed("spec.accessModes", "spec.resources.requests.storage")),
)
