"""The volume claims of StatefulSets: made once for each ordinal, kept or let go with it.

Source: k8s.io/kubernetes v1.36 pkg/controller/statefulset (stateful_set_utils.go,
getPersistentVolumeClaims and updateClaimOwnerRefForSetAndPod).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from poolwright.model.json_value import Json, child, children
from poolwright.model.kubernetes import PERSISTENT_VOLUME_CLAIMS, STATEFUL_SETS
from poolwright.model.pod import Pod
from poolwright.plan.kubernetes.action import Action, CreateObject, PatchObject, RecordEvent, Target
from poolwright.plan.kubernetes.template import owner_reference

_RETENTION = "persistentVolumeClaimRetentionPolicy"


def template_names(wire: Json) -> list[str]:
    """The volumes that the set's claims are mounted as."""
    return [str(t["metadata"].get("name")) for t in children(wire, "spec", "volumeClaimTemplates")]


def claim_name(template: str, pod: str) -> str:
    """The claim of one pod for one template."""
    return f"{template}-{pod}"


def claim_names(wire: Json, pods: Iterator[str]) -> Iterator[str]:
    """All claims that pods of these names have."""
    templates = template_names(wire)
    return (claim_name(template, pod) for pod in pods for template in templates)


def missing_claims(
    wire: Json, pod: str, claims: Mapping[str, Json], component: str
) -> Iterator[CreateObject]:
    """What a pod's volumes lack."""
    target = Target.of(STATEFUL_SETS, wire)
    selected: Mapping[str, Any] = child(wire, "spec", "selector", "matchLabels")
    for template in children(wire, "spec", "volumeClaimTemplates"):
        name = claim_name(str(template["metadata"].get("name")), pod)
        if name in claims:
            continue
        metadata: dict[str, Any] = {
            **template["metadata"], "name": name, "namespace": target.namespace,
            "labels": {**child(template, "metadata", "labels"), **selected},
        }  # fmt: skip
        if not metadata["labels"]:
            del metadata["labels"]
        if child(wire, "spec", _RETENTION).get("whenDeleted") == "Delete":
            metadata["ownerReferences"] = [owner_reference(STATEFUL_SETS, wire)]
        body = {"metadata": metadata, "spec": template.get("spec")}
        words = f"create Claim {name} Pod {pod} in StatefulSet {target.name} success"
        told = RecordEvent(target, "SuccessfulCreate", words, component)
        yield CreateObject(PERSISTENT_VOLUME_CLAIMS, body, f"pod {pod} mounts it", told)


def retained(
    wire: Json, pod: Pod, claims: Mapping[str, Json], *, condemned: bool
) -> Iterator[Action]:
    """Whom a pod's claims go with, where they say otherwise: the set, the pod, or nobody."""
    policy = child(wire, "spec", _RETENTION)
    goes_with_pod = condemned and policy.get("whenScaled") == "Delete"
    wanted: list[Json] = []
    if goes_with_pod:
        owner = {"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid}
        wanted = [{**owner, "controller": True, "blockOwnerDeletion": True}]
    elif policy.get("whenDeleted") == "Delete":
        wanted = [owner_reference(STATEFUL_SETS, wire)]
    ours = (wire["metadata"]["uid"], pod.uid)
    for name in claim_names(wire, iter((pod.name,))):
        claim = claims.get(name)
        if claim is None:
            continue
        owners = children(claim, "metadata", "ownerReferences")
        others = [owner for owner in owners if owner.get("uid") not in ours]
        if any(owner.get("controller") for owner in others) or _is_stale(others, wire, pod):
            continue
        if {o.get("uid") for o in owners if o not in others} != {o["uid"] for o in wanted}:
            yield PatchObject(
                Target.of(PERSISTENT_VOLUME_CLAIMS, claim),
                {"metadata": {"ownerReferences": [*others, *wanted]}},
                "the retention policy says whom it goes with",
                revision=str(claim["metadata"].get("resourceVersion") or ""),
            )


def _is_stale(others: list[Json], wire: Json, pod: Pod) -> bool:
    """Whether a claim is of an earlier set or pod of the name."""
    names = (("StatefulSet", wire["metadata"]["name"]), ("Pod", pod.name))
    return any((owner.get("kind"), owner.get("name")) in names for owner in others)
