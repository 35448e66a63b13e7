"""What goes because its owner went.

Source: k8s.io/kubernetes v1.36 pkg/controller/garbagecollector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from poolwright.model.json_value import Json, child
from poolwright.model.kubernetes import Resource
from poolwright.plan.kubernetes.action import Action, DeleteObject, PatchObject, Plan, Target

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


@dataclass(frozen=True, slots=True)
class Dependent:
    """An object that names an owner."""

    target: Target
    wire: Json


def plan_dependents(
    owner_uid: str,
    dependents: Sequence[Dependent],
    exists: Callable[[str, str], bool],
    is_sure: Callable[[Json], bool] = lambda _reference: True,
) -> Plan:
    """An owner is not there: delete what only it owned, and drop its reference elsewhere.

    ``exists`` says whether an owner, by uid, is there for objects of a namespace; ``is_sure``
    whether one that is not is known to be gone. Of an unknown kind nobody can tell: nothing is
    done to an object with such an owner.
    """
    actions: list[Action] = []
    for each in dependents:
        references = child(each.wire, "metadata").get("ownerReferences") or ()
        namespace = each.target.namespace
        if any(r.get("uid") == owner_uid and exists(owner_uid, namespace) for r in references):
            continue
        left = [r for r in references if exists(r.get("uid", ""), namespace)]
        if not all(r in left or is_sure(r) for r in references):
            continue
        if left:
            actions.append(_set_owners(each, left, "one of its owners is gone"))
        elif "deletionTimestamp" not in each.wire["metadata"]:
            actions.append(DeleteObject(each.target, "its owner is gone"))
    return Plan(tuple(actions))


def plan_leaving_owner(
    resource: Resource,
    wire: Json,
    dependents: Sequence[Dependent],
    is_waited_for: Callable[[str], bool] = lambda _uid: False,
    is_solid: Callable[[str, str], bool] = lambda _uid, _namespace: False,
) -> Plan:
    """The owner is being deleted and waits for its dependents (foreground) or lets them be.

    ``is_waited_for``: whether an object, by uid, has a dependent that itself waits so; then they
    may own each other in a circle, and none of it must block another. ``is_solid``: whether an
    owner, by uid, is there for objects of a namespace and does not wait so itself; who has such
    an owner beside this one stays.
    """
    finalizers: list[str] = list(child(wire, "metadata").get("finalizers") or ())
    target = Target.of(resource, wire)
    uid = wire["metadata"]["uid"]
    actions: list[Action] = []
    if ORPHAN in finalizers:
        for each in dependents:
            left = _others(each, uid)
            actions.append(_set_owners(each, left, "its owner is deleted without it"))
        if not dependents:
            actions.append(_drop(target, wire, ORPHAN))
    elif FOREGROUND in finalizers:
        for each in dependents:
            others = _others(each, uid)
            if any(is_solid(r.get("uid", ""), each.target.namespace) for r in others):
                actions.append(_set_owners(each, others, "another owner keeps it"))
            elif "deletionTimestamp" not in each.wire["metadata"]:
                because = "its owner is deleted"
                if is_waited_for(each.target.uid):
                    references = child(each.wire, "metadata").get("ownerReferences") or ()
                    free = [{**r, "blockOwnerDeletion": False} for r in references]
                    actions.append(_set_owners(each, free, "it may own its owner"))
                actions.append(DeleteObject(each.target, because, propagation="Foreground"))
        blocking = [
            each
            for each in dependents
            if any(
                r.get("uid") == uid and r.get("blockOwnerDeletion")
                for r in child(each.wire, "metadata").get("ownerReferences") or ()
            )
        ]
        if not blocking:
            actions.append(_drop(target, wire, FOREGROUND))
    return Plan(tuple(actions))


def _others(each: Dependent, uid: str) -> list[Json]:
    """The references of a dependent to other owners."""
    references = child(each.wire, "metadata").get("ownerReferences") or ()
    return [r for r in references if r.get("uid") != uid]


def _set_owners(each: Dependent, left: Sequence[Json], because: str) -> Action:
    patch = {"metadata": {"ownerReferences": list(left) or None}}
    revision = each.wire["metadata"].get("resourceVersion", "")
    return PatchObject(each.target, patch, because, revision=revision)


def _drop(target: Target, wire: Json, finalizer: str) -> Action:
    left = [f for f in wire["metadata"].get("finalizers") or () if f != finalizer]
    patch = {"metadata": {"finalizers": left or None}}
    revision = wire["metadata"].get("resourceVersion", "")
    return PatchObject(target, patch, "nothing depends on it", revision=revision)
