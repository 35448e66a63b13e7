"""Which objects a controller calls its own: it adopts orphans and lets go what it selects no more.

Source: k8s.io/kubernetes v1.36 pkg/controller/controller_ref_manager.go.
"""

from __future__ import annotations

from collections.abc import Iterable
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
        target, labels, owner, deleting = _facts(of, each)
        matches = selector is not None and selector.matches(labels)
        if owner == uid:
            if matches or is_leaving:
                mine.append(each)
            else:
                actions.append(SetController(target, uid, None, "it is not selected any more"))
        elif not owner and matches and not deleting and not is_leaving:
            reference = owner_reference(resource, wire)
            actions.append(SetController(target, uid, reference, "it is selected"))
            mine.append(each)
    return mine, actions


def _facts(of: Resource, each: Pod | Json) -> tuple[Target, dict[str, str], str, bool]:
    if isinstance(each, Pod):
        owner = each.controller
        target = Target(PODS, each.namespace, each.name, each.uid)
        return target, dict(each.labels), owner.uid if owner else "", each.deleting
    meta = each["metadata"]
    owners = [o["uid"] for o in meta.get("ownerReferences") or () if o.get("controller")]
    labels = dict(meta.get("labels") or {})
    return Target.of(of, each), labels, owners[0] if owners else "", "deletionTimestamp" in meta
