"""The claims that a pod brings templates of: volumes by name, devices by template.

Source: k8s.io/kubernetes v1.36 pkg/controller/volume/ephemeral and pkg/controller/resourceclaim.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from poolwright.model.json_value import Json, child, children
from poolwright.model.kubernetes import (
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    RESOURCE_CLAIM_TEMPLATES,
    RESOURCE_CLAIMS,
    Resource,
)
from poolwright.plan.kubernetes.action import (
    Action,
    CreateObject,
    PatchObject,
    Plan,
    RecordEvent,
    Target,
)
from poolwright.plan.kubernetes.template import owner_reference

_CLAIM_OF = "resource.kubernetes.io/pod-claim-name"
_DEVICES = "resource_claim"

Lookup = Callable[[Resource, str], Json | None]
"""An object of the pod's namespace."""


def plan_claims_of_pod(pod: Json, there: Lookup, owned: Sequence[Json]) -> Plan:
    """Make what is missing and say in the pod's status what was made; ``owned`` are the device
    claims that the pod owns.
    """
    return Plan((*_volumes(pod, there), *_devices(pod, there, owned)))


def _volumes(pod: Json, there: Lookup) -> Iterable[Action]:
    meta = pod["metadata"]
    for volume in children(pod, "spec", "volumes"):
        template = child(volume, "ephemeral", "volumeClaimTemplate")
        name = f"{meta['name']}-{volume.get('name')}"
        if not template or there(PERSISTENT_VOLUME_CLAIMS, name) is not None:
            continue
        given = child(template, "metadata")
        metadata: dict[str, Any] = {
            "name": name,
            "namespace": meta["namespace"],
            "ownerReferences": [owner_reference(PODS, pod)],
            **{key: given[key] for key in ("labels", "annotations") if given.get(key)},
        }
        body = {"metadata": metadata, "spec": template.get("spec")}
        yield CreateObject(PERSISTENT_VOLUME_CLAIMS, body, "a pod's volume is made of it")


def _devices(pod: Json, there: Lookup, owned: Sequence[Json]) -> Iterable[Action]:
    target = Target.of(PODS, pod)
    said = list(children(pod, "status", "resourceClaimStatuses"))
    known = {status["name"] for status in said}
    found: list[Json] = []
    for claim in children(pod, "spec", "resourceClaims"):
        template = claim.get("resourceClaimTemplateName")
        if not template or claim["name"] in known:
            continue
        made = next((c for c in owned if _claim_of(c) == claim["name"]), None)
        if made is not None:
            name = made["metadata"]["name"]
            found.append({"name": claim["name"], "resourceClaimName": name})
            continue
        wire = there(RESOURCE_CLAIM_TEMPLATES, template)
        if wire is None:
            words = (
                f'PodResourceClaim {claim["name"]}: resource claim template "{template}":'
                f' resourceclaimtemplate.resource.k8s.io "{template}" not found'
            )
            yield RecordEvent(target, "FailedResourceClaimCreation", words, _DEVICES, "Warning")
            continue
        yield CreateObject(RESOURCE_CLAIMS, _device_claim(pod, claim, wire), "a pod asks for it")
    if found:
        status = {"resourceClaimStatuses": [*said, *found]}
        yield PatchObject(target, {"status": status}, "its claims are made", "status")


def _claim_of(claim: Json) -> str | None:
    return child(claim, "metadata", "annotations").get(_CLAIM_OF)


def _device_claim(pod: Json, claim: Json, template: Json) -> dict[str, Any]:
    given, meta = child(template, "spec", "metadata"), pod["metadata"]
    owner = {k: v for k, v in owner_reference(PODS, pod).items() if k != "blockOwnerDeletion"}
    metadata: dict[str, Any] = {
        "generateName": f"{meta['name']}-{claim['name']}-",
        "namespace": meta["namespace"],
        "annotations": {**child(given, "annotations"), _CLAIM_OF: claim["name"]},
        "ownerReferences": [owner],
    }
    if given.get("labels"):
        metadata["labels"] = given["labels"]
    return {"metadata": metadata, "spec": child(template, "spec").get("spec")}
