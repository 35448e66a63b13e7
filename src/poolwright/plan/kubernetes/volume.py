"""Volumes for claims: what stands ready is bound, the rest is provisioned once a pod needs it.

Source of steps, words and annotations:
k8s.io/kubernetes v1.36 pkg/controller/volume/persistentvolume (pv_controller.go), pvcprotection and
pvprotection; sigs.k8s.io/sig-storage-lib-external-provisioner (controller.go).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from poolwright.model.json_value import Json, child
from poolwright.model.kubernetes import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from poolwright.model.quantity import parse_quantity
from poolwright.plan.kubernetes.action import (
    Action,
    CreateObject,
    DeleteObject,
    PatchObject,
    Plan,
    RecordEvent,
    Target,
    patch_status,
)
from poolwright.plan.kubernetes.pod_claims import WAITS, is_bound

PROVISIONERS = ("disk.csi.azure.com", "file.csi.azure.com")
"""Those that every AKS cluster runs; claims of any other wait for whoever installs it."""
_BINDER = "persistentvolume-controller"
_PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
_CLAIM_PROTECTION = "kubernetes.io/pvc-protection"
_VOLUME_PROTECTION = "kubernetes.io/pv-protection"
_NO_CLASS = "no persistent volumes available for this claim and no storage class is set"
_FIRST_CONSUMER = "waiting for first consumer to be created before binding"


def _annotations(wire: Json) -> Json:
    return child(wire, "metadata", "annotations")


# ---------------------------------------------------------------------------------- claims


def plan_claim(
    claim: Json, storage_class: Json | None, volumes: Sequence[Json], node: str, *, in_use: bool
) -> Plan:
    """One claim's next step.

    ``storage_class``: the one that it names. ``volumes``: those that are its own or nobody's.
    ``node``: of a pod that mounts it. ``in_use``: whether an unfinished pod names it.
    """
    if "deletionTimestamp" in claim["metadata"]:
        return Plan(() if in_use else _release(PERSISTENT_VOLUME_CLAIMS, claim, _CLAIM_PROTECTION))
    if is_bound(claim):
        return Plan()
    target = Target.of(PERSISTENT_VOLUME_CLAIMS, claim)
    own = next((v for v in volumes if _is_of(v, claim)), None)
    if own is not None:
        return Plan(tuple(_bind(target, claim, own)))
    if storage_class is not None and storage_class.get("volumeBindingMode") == WAITS and not node:
        return Plan((RecordEvent(target, "WaitForFirstConsumer", _FIRST_CONSUMER, _BINDER),))
    match = _best_match(claim, volumes)
    if match is not None:
        reference = {"spec": {"claimRef": _reference(claim)}}
        because = f"it suits claim {target.namespace}/{target.name} best"
        return Plan((PatchObject(Target.of(PERSISTENT_VOLUMES, match), reference, because),))
    return Plan(_provision(target, claim, storage_class, node))


def _release(resource: Any, wire: Json, finalizer: str) -> tuple[Action, ...]:
    """Let an object go that nobody uses."""
    held = wire["metadata"].get("finalizers") or ()
    if finalizer not in held:
        return ()
    change = {"metadata": {"finalizers": [f for f in held if f != finalizer] or None}}
    revision = wire["metadata"].get("resourceVersion", "")
    patch = PatchObject(Target.of(resource, wire), change, "nobody uses it", revision=revision)
    return (patch,)


def _is_of(volume: Json, claim: Json) -> bool:
    reference = child(volume, "spec", "claimRef")
    return bool(reference) and reference.get("uid") == claim["metadata"]["uid"]


def _reference(claim: Json) -> dict[str, Any]:
    meta = claim["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "name": meta["name"],
        "namespace": meta["namespace"],
        "resourceVersion": meta.get("resourceVersion", ""),
        "uid": meta["uid"],
    }


def _best_match(claim: Json, volumes: Sequence[Json]) -> Json | None:
    """The smallest volume that is free and large enough; the one that the claim names first."""
    spec, meta = child(claim, "spec"), claim["metadata"]
    wanted = parse_quantity(str(child(spec, "resources", "requests").get("storage") or "0"))
    fits: list[tuple[Any, str, Json]] = []
    for volume in volumes:
        has, name = child(volume, "spec"), volume["metadata"]["name"]
        reference = child(has, "claimRef")
        promised = (reference.get("namespace"), reference.get("name"))
        size = parse_quantity(str(child(has, "capacity").get("storage") or "0"))
        if (
            "deletionTimestamp" not in volume["metadata"]
            and size >= wanted
            and (has.get("storageClassName") or "") == (spec.get("storageClassName") or "")
            and has.get("volumeMode") == spec.get("volumeMode")
            and set(spec.get("accessModes") or ()) <= set(has.get("accessModes") or ())
            and (not reference or promised == (meta["namespace"], meta["name"]))
            and spec.get("volumeName") in (None, "", name)
            and not spec.get("selector")
        ):
            fits.append((size, name, volume))
    return min(fits, key=lambda fit: fit[:2])[2] if fits else None


def _bind(target: Target, claim: Json, volume: Json) -> Iterable[Action]:
    name, has = volume["metadata"]["name"], child(volume, "spec")
    because = f"volume {name} is kept for it"
    said = {"pv.kubernetes.io/bind-completed": "yes"}
    if not child(claim, "spec").get("volumeName"):
        said["pv.kubernetes.io/bound-by-controller"] = "yes"
    change = {"metadata": {"annotations": said}, "spec": {"volumeName": name}}
    yield PatchObject(target, change, because)
    status: dict[str, Any] = {
        "phase": "Bound",
        "accessModes": has.get("accessModes") or [],
        "capacity": {"storage": child(has, "capacity").get("storage") or "0"},
    }
    yield PatchObject(target, {"status": status}, because, "status")


def _provision(
    target: Target, claim: Json, storage_class: Json | None, node: str
) -> tuple[Action, ...]:
    name = child(claim, "spec").get("storageClassName") or ""
    if not name:
        return (RecordEvent(target, "FailedBinding", _NO_CLASS, _BINDER),)
    if storage_class is None:
        words = f'storageclass.storage.k8s.io "{name}" not found'
        return (RecordEvent(target, "ProvisioningFailed", words, _BINDER, "Warning"),)
    provisioner = str(storage_class.get("provisioner") or "")
    said: dict[str, str] = {
        "volume.beta.kubernetes.io/storage-provisioner": provisioner,
        "volume.kubernetes.io/storage-provisioner": provisioner,
    }
    if node and storage_class.get("volumeBindingMode") == WAITS:
        said["volume.kubernetes.io/selected-node"] = node
    actions: list[Action] = []
    if any(_annotations(claim).get(key) != value for key, value in said.items()):
        change = {"metadata": {"annotations": said}}
        actions.append(PatchObject(target, change, "its class names the provisioner"))
    if provisioner not in PROVISIONERS:
        words = (
            "Waiting for a volume to be created either by the external provisioner"
            f" '{provisioner}' or manually by the system administrator. If volume creation is"
            " delayed, please verify that the provisioner is running and correctly registered."
        )
        return (*actions, RecordEvent(target, "ExternalProvisioning", words, _BINDER))
    volume = f"pvc-{target.uid}"
    words = f'External provisioner is provisioning volume for claim "{target.namespace}/'
    actions.append(RecordEvent(target, "Provisioning", f'{words}{target.name}"', provisioner))
    told = RecordEvent(
        target, "ProvisioningSucceeded", f"Successfully provisioned volume {volume}", provisioner
    )
    body = _volume(volume, claim, storage_class, provisioner)
    made = CreateObject(PERSISTENT_VOLUMES, body, "no volume that is there suits", told)
    return (*actions, made)


def _volume(name: str, claim: Json, storage_class: Json, provisioner: str) -> dict[str, Any]:
    spec = child(claim, "spec")
    source: dict[str, Any] = {
        "driver": provisioner,
        "volumeHandle": name,
        "volumeAttributes": dict(child(storage_class, "parameters")),
    }
    found: dict[str, Any] = {
        "accessModes": spec.get("accessModes"),
        "capacity": {"storage": child(spec, "resources", "requests").get("storage")},
        "claimRef": _reference(claim),
        "csi": {key: value for key, value in source.items() if value},
        "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy") or "Delete",
        "storageClassName": storage_class["metadata"]["name"],
        "volumeMode": spec.get("volumeMode") or "Filesystem",
    }
    if options := storage_class.get("mountOptions"):
        found["mountOptions"] = list(options)
    annotations = {
        _PROVISIONED_BY: provisioner,
        "volume.kubernetes.io/provisioner-deletion-secret-name": "",
        "volume.kubernetes.io/provisioner-deletion-secret-namespace": "",
    }
    return {"metadata": {"name": name, "annotations": annotations}, "spec": found}


# ---------------------------------------------------------------------------------- volumes


def plan_volume(volume: Json, claim: Json | None) -> Plan:
    """One volume's next step; ``claim`` is the one that it is kept for, if that is there."""
    target = Target.of(PERSISTENT_VOLUMES, volume)
    spec, reference = child(volume, "spec"), child(volume, "spec", "claimRef")
    is_kept = claim is not None and reference.get("uid") in (None, "", claim["metadata"]["uid"])
    if "deletionTimestamp" in volume["metadata"]:
        held = is_kept and child(volume, "status").get("phase") == "Bound"
        return Plan(() if held else _release(PERSISTENT_VOLUMES, volume, _VOLUME_PROTECTION))
    if not reference or not reference.get("uid"):
        return Plan(_phase(target, volume, "Available"))
    if is_kept:
        return Plan(_phase(target, volume, "Bound"))
    is_ours = _annotations(volume).get(_PROVISIONED_BY) in PROVISIONERS
    if is_ours and spec.get("persistentVolumeReclaimPolicy") == "Delete":
        return Plan((DeleteObject(target, "its claim is gone"),))
    return Plan(_phase(target, volume, "Released"))


def _phase(target: Target, volume: Json, phase: str) -> tuple[Action, ...]:
    return patch_status(target, volume, {"phase": phase}, "so it stands with its claim")
