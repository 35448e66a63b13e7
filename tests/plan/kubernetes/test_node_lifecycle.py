"""Nodes that are unwell, silent, cordoned or gone, and what becomes of their pods."""

# pyright: basic, reportAttributeAccessIssue=false
from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from poolwright.model.instant import Instant, Now
from poolwright.model.kubernetes import DAEMON_SETS, PODS, REPLICA_SETS
from poolwright.model.pod import Pod
from poolwright.model.taint import Taint, Toleration
from poolwright.plan.kubernetes.action import DeleteObject, PatchObject, RecordEvent, Target, merged
from poolwright.plan.kubernetes.garbage import Dependent, plan_dependents, plan_leaving_owner
from poolwright.plan.kubernetes.history import plan_history
from poolwright.plan.kubernetes.node_lifecycle import (
    NodeTaints,
    plan_gone_node,
    plan_node,
    plan_pods_not_ready,
    plan_taint_eviction,
    plan_terminated,
)

START = Instant(10**12)
WALL = datetime(2026, 1, 1, tzinfo=UTC)
UNREACHABLE = Taint.parse("node.kubernetes.io/unreachable:NoExecute")


def at(seconds):
    return Now(START.after(timedelta(seconds=seconds)), WALL + timedelta(seconds=seconds))


def node(*taints, unschedulable=False, **conditions):
    wire = {
        "metadata": {"name": "a", "uid": "u", "resourceVersion": "7"},
        "spec": {"taints": [Taint.parse(t).to_object() for t in taints]},
        "status": {"conditions": [{"type": t, "status": s} for t, s in conditions.items()]},
    }
    if unschedulable:
        wire["spec"]["unschedulable"] = True
    return wire


def pod(name="p", *tolerations, **changes):
    return Pod("default", name, f"u-{name}", "1", node_name="a", tolerations=tolerations, **changes)


K = "node.kubernetes.io"
CASES = {
    "ready": (node(Ready="True"), None),
    "new": (node(f"{K}/not-ready:NoSchedule"), None),
    "became ready": (
        node(f"{K}/not-ready:NoSchedule", "sku=gpu:NoSchedule", Ready="True"),
        ["sku=gpu:NoSchedule"],
    ),
    "not ready": (node(Ready="False"), [f"{K}/not-ready:NoSchedule", f"{K}/not-ready:NoExecute"]),
    "unknown after not ready": (
        node(f"{K}/not-ready:NoSchedule", f"{K}/not-ready:NoExecute", Ready="Unknown"),
        [f"{K}/unreachable:NoSchedule", f"{K}/unreachable:NoExecute"],
    ),
    "under pressure": (node(Ready="True", DiskPressure="True"), [f"{K}/disk-pressure:NoSchedule"]),
    "pressure is gone": (
        node(f"{K}/disk-pressure:NoSchedule", Ready="True", DiskPressure="False"),
        [],
    ),
    "cordoned": (node(Ready="True", unschedulable=True), [f"{K}/unschedulable:NoSchedule"]),
    "uncordoned": (node(f"{K}/unschedulable:NoSchedule", Ready="True"), []),
}


@pytest.mark.parametrize("case", CASES)
def test_conditions_become_taints(case):
    wire, expected = CASES[case]
    plan = plan_node(wire, None, at(0))
    if expected is None:
        assert plan.actions == ()
        return
    (action,) = plan.actions
    assert [str(Taint.from_object(t)) for t in action.patch["spec"]["taints"] or ()] == expected
    assert action.revision == "7"
    applied = merged(wire, action.patch)
    assert plan_node(applied, None, at(1)).actions == ()


def test_silence_is_declared_after_its_grace():
    wire = node(Ready="True")
    waiting = plan_node(wire, START, at(10))
    assert waiting.actions == ()
    assert waiting.wake_at == at(50).world
    patch, event = plan_node(wire, START, at(50)).actions
    assert isinstance(patch, PatchObject)
    ready = patch.patch["status"]["conditions"][0]
    assert (ready["status"], ready["reason"]) == ("Unknown", "NodeStatusUnknown")
    assert isinstance(event, RecordEvent)
    assert event.message == "Node a status is now: NodeNotReady"
    after = merged(wire, patch.patch)
    assert len(plan_node(after, START, at(51)).actions) == 1  # only its taints


@pytest.mark.parametrize(
    ("tolerations", "leaves_after"),
    [
        ((), 0),
        ((Toleration(exists=True),), None),
        ((Toleration(UNREACHABLE.key, exists=True, seconds=300),), 300),
        (
            (
                Toleration(UNREACHABLE.key, exists=True, seconds=300),
                Toleration(exists=True, seconds=60),
            ),
            60,
        ),
        ((Toleration(UNREACHABLE.key, exists=True, seconds=0),), 0),
        ((Toleration("sku", exists=True),), 0),
    ],
)
def test_pods_leave_when_their_patience_ends(tolerations, leaves_after):
    tainted = NodeTaints("a", {UNREACHABLE: START})

    def deleted(seconds):
        plan = plan_taint_eviction(tainted, [pod("p", *tolerations)], at(seconds))
        return any(isinstance(a, DeleteObject) for a in plan.actions), plan.wake_at

    if leaves_after is None:
        assert deleted(10**6) == (False, None)
        return
    if leaves_after:
        assert deleted(leaves_after - 1) == (False, at(leaves_after).world)
    assert deleted(leaves_after) == (True, None)


def test_pods_on_a_node_that_is_not_ready_are_not_ready():
    plan = plan_pods_not_ready("a", [pod("p", is_ready=True), pod("q")])
    assert {a.target.name for a in plan.actions} == {"p"}


def test_pods_of_a_gone_node_go_after_a_quarantine():
    pods = [pod("leaving", deleting=True), pod("left")]
    early = plan_gone_node(pods, START, at(1))
    assert {a.target.name for a in early.actions} == {"leaving"}
    assert early.wake_at == at(40).world
    late = plan_gone_node(pods, START, at(40))
    assert {a.target.name for a in late.actions if isinstance(a, DeleteObject)} == {
        "leaving",
        "left",
    }


def test_only_so_many_finished_pods_are_kept():
    pods = [pod(f"p{i}", created=f"{i}") for i in range(5)]
    assert [a.target.name for a in plan_terminated(pods, most=3).actions] == ["p0", "p1"]


def dependent(name, *owners):
    references = [
        {"uid": uid, "kind": "X", "name": uid, "blockOwnerDeletion": True} for uid in owners
    ]
    meta = {"name": name, "namespace": "default", "uid": f"u-{name}", "ownerReferences": references}
    return Dependent(Target(PODS, "default", name, f"u-{name}"), {"metadata": meta})


def test_dependents_go_with_their_last_owner():
    found = [dependent("alone", "gone"), dependent("shared", "gone", "here")]
    delete, keep = plan_dependents("gone", found, lambda uid, _: uid == "here").actions
    assert isinstance(delete, DeleteObject)
    assert delete.target.name == "alone"
    assert isinstance(keep, PatchObject)
    assert [r["uid"] for r in keep.patch["metadata"]["ownerReferences"]] == ["here"]


def test_an_owner_in_another_namespace_is_none():
    (delete,) = plan_dependents("far", [dependent("d", "far")], lambda _, ns: ns == "other").actions
    assert isinstance(delete, DeleteObject)
    assert plan_dependents("o", [dependent("d", "o")], lambda _, ns: ns == "default").actions == ()


def test_a_circle_of_owners_does_not_block_itself():
    wire = {
        "metadata": {
            "name": "o", "uid": "o", "deletionTimestamp": "x", "finalizers": ["foregroundDeletion"],
        }
    }  # fmt: skip
    found = [dependent("d", "o")]
    free, delete = plan_leaving_owner(REPLICA_SETS, wire, found, lambda uid: uid == "u-d").actions
    (reference,) = free.patch["metadata"]["ownerReferences"]
    assert (reference["uid"], reference["blockOwnerDeletion"]) == ("o", False)
    assert isinstance(delete, DeleteObject)


def test_who_has_another_owner_stays_when_one_goes_first():
    wire = {
        "metadata": {
            "name": "o", "uid": "o", "deletionTimestamp": "x", "finalizers": ["foregroundDeletion"],
        }
    }  # fmt: skip
    found = [dependent("shared", "o", "other"), dependent("alone", "o")]
    keep, delete = plan_leaving_owner(
        REPLICA_SETS, wire, found, is_solid=lambda uid, _: uid == "other"
    ).actions
    assert [r["uid"] for r in keep.patch["metadata"]["ownerReferences"]] == ["other"]
    assert isinstance(delete, DeleteObject)
    assert delete.target.name == "alone"


def test_a_revision_is_written_as_go_writes_it():
    spec = {"template": {"spec": {"containers": [{"name": "a", "image": "i"}]}}}
    wire = {"metadata": {"name": "d", "namespace": "n", "uid": "u"}, "spec": spec}
    _, (create,) = plan_history(DAEMON_SETS, wire, [], "hash")
    assert json.dumps(create.body["data"], separators=(",", ":")) == (
        '{"spec":{"template":{"$patch":"replace","metadata":{},'
        '"spec":{"containers":[{"image":"i","name":"a","resources":{}}]}}}}'
    )
    _, again = plan_history(DAEMON_SETS, wire, [{**create.body, "revision": 1}], "hash")
    assert again == []


@pytest.mark.parametrize("finalizer", ["foregroundDeletion", "orphan"])
def test_an_owner_waits_for_its_dependents_or_lets_them_be(finalizer):
    wire = {
        "metadata": {
            "name": "o", "uid": "o", "deletionTimestamp": "x", "finalizers": ["mine", finalizer],
        }
    }  # fmt: skip
    (action,) = plan_leaving_owner(REPLICA_SETS, wire, [dependent("d", "o")]).actions
    assert isinstance(action, DeleteObject if finalizer == "foregroundDeletion" else PatchObject)
    assert action.target.name == "d"
    (release,) = plan_leaving_owner(REPLICA_SETS, wire, []).actions
    assert isinstance(release, PatchObject)
    assert release.patch == {"metadata": {"finalizers": ["mine"]}}
