"""Which objects a controller calls its own: it adopts orphans and lets go what it selects no more.

Source: k8s.io/kubernetes v1.36 pkg/controller/controller_ref_manager.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from poolwright.model.json_value import Json, child
from poolwright.model.kubernetes import PODS, Resource
from poolwright.model.label_selector import LabelSelector
from poolwright.model.pod import Pod
from poolwright.plan.kubernetes.action import Action, SetController, Target
from poolwright.plan.kubernetes.template import owner_reference

T = TypeVar("T", Pod, Json)


def selector_of(resource: Resource, wire: Json) -> LabelSelector | None:
    """The selector of a workload; None if it selects nothing."""
    found = child(wire, "spec").get("selector")
    if not found:
        return None
    if resource.kind == "ReplicationController":
        return LabelSelector(tuple(sorted(found.items())))
    selector = LabelSelector.from_object(found)
    return selector if selector.labels or selector.rules else None


def claim(
    resource: Resource, wire: Json, found: Iterable[T], of: Resource = PODS
) -> tuple[list[T], list[Action]]:
    """The objects that are a workload's own now, and what makes them so.

    ``found``: the objects (pods, or those of the kind ``of``) that it controls, and those of its
    namespace that nobody does.
    """
    selector = selector_of(resource, wire)
    uid = wire["metadata"]["uid"]
    is_leaving = "deletionTimestamp" in wire["metadata"]
    mine: list[T] = []
    actions: list[Action] = []
    for each in found:
        owner, labels = _owner_and_labels(each)
        if owner and owner != uid:
            continue
        matches = selector is not None and selector.matches(labels)
        if owner:
            if matches or is_leaving:
                mine.append(each)
            else:
                because = "it is not selected any more"
                actions.append(SetController(_target(of, each), uid, None, because))
        elif matches and not is_leaving and not _is_deleting(each):
            reference = owner_reference(resource, wire)
            actions.append(SetController(_target(of, each), uid, reference, "it is selected"))
            mine.append(each)
    return mine, actions


def _owner_and_labels(each: Pod | Json) -> tuple[str, Mapping[str, str]]:
    if isinstance(each, Pod):
        owner = each.controller
        return owner.uid if owner is not None else "", each.labels
    meta = each["metadata"]
    owners = [o["uid"] for o in meta.get("ownerReferences") or () if o.get("controller")]
    return owners[0] if owners else "", meta.get("labels") or {}


def _is_deleting(each: Pod | Json) -> bool:
    return each.deleting if isinstance(each, Pod) else "deletionTimestamp" in each["metadata"]


def _target(of: Resource, each: Pod | Json) -> Target:
    if isinstance(each, Pod):
        return Target(PODS, each.namespace, each.name, each.uid)
    return Target.of(of, each)
