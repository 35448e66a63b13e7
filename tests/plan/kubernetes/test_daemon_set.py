"""DaemonSets: which nodes, what is added, and how a template rolls out."""

# pyright: basic, reportAttributeAccessIssue=false
from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolwright.model.instant import Instant
from poolwright.model.node import Node
from poolwright.model.pod import Pod
from poolwright.model.taint import Taint
from poolwright.plan.kubernetes.action import CreateObject, DeleteObject
from poolwright.plan.kubernetes.daemon_set import (
    DaemonSet,
    DaemonTally,
    FailureBackOff,
    place_of,
    plan_daemon_node,
    plan_daemon_set,
    runs_on,
)
from poolwright.plan.kubernetes.history import REVISION_LABEL
from poolwright.plan.kubernetes.placement import pinned_nodes


def daemon_set(image="plugin:1", max_unavailable=1, max_surge=0, **pod):
    template = {
        "metadata": {"labels": {"app": "d"}},
        "spec": {"containers": [{"image": image}], **pod},
    }
    rolling = {"maxUnavailable": max_unavailable, "maxSurge": max_surge}
    update = {"type": "RollingUpdate", "rollingUpdate": rolling}
    return DaemonSet.from_object(
        {
            "metadata": {"name": "d", "namespace": "default", "uid": "ds", "generation": 1},
            "spec": {"template": template, "updateStrategy": update},
        }
    )


def node(name="a", *taints, **changes):
    return Node(name, f"u-{name}", "1", taints=tuple(map(Taint.parse, taints)), **changes)


def pod(name, hash_, *, ready=True, **changes):
    return Pod(
        "default", name, f"u-{name}", "1", {REVISION_LABEL: hash_}, is_ready=ready, **changes
    )


@pytest.mark.parametrize(
    ("taints", "expected"),
    [
        ((), (True, True)),
        (("sku=gpu:NoSchedule",), (False, True)),
        (("sku=gpu:NoExecute",), (False, False)),
        (("sku=gpu:PreferNoSchedule",), (True, True)),
        (("node.kubernetes.io/unschedulable:NoSchedule",), (True, True)),
        (("node.kubernetes.io/unreachable:NoExecute",), (True, True)),
        (("node.kubernetes.io/disk-pressure:NoSchedule",), (True, True)),
        (("node.kubernetes.io/network-unavailable:NoSchedule",), (False, True)),
    ],
)
def test_taints(taints, expected):
    assert runs_on(daemon_set(), node("a", *taints)) == expected


def test_host_network_tolerates_a_network_that_is_not_there():
    tainted = node("a", "node.kubernetes.io/network-unavailable:NoSchedule")
    assert runs_on(daemon_set(hostNetwork=True), tainted) == (True, True)


def test_labels_decide():
    selective = daemon_set(nodeSelector={"gpu": "yes"})
    assert runs_on(selective, node()) == (False, False)
    assert runs_on(selective, node(labels={"gpu": "yes"})) == (True, True)


def test_the_pod_is_bound_to_its_node_and_named_after_the_set():
    (action,) = plan_daemon_node(daemon_set(), "a", node(), []).actions
    assert isinstance(action, CreateObject)
    assert action.body["metadata"]["generateName"] == "d-"
    read = Pod.from_object({**action.body, "metadata": {**action.body["metadata"], "name": "x"}})
    assert pinned_nodes(read) == ("a",)
    assert (read.labels["app"], read.is_daemon) == ("d", True)


def test_one_pod_a_node():
    wanted = daemon_set()
    current = pod("one", wanted.hash, created="1")
    assert plan_daemon_node(wanted, "a", node(), [current]).actions == ()
    leaving = replace(current, deleting=True)
    assert plan_daemon_node(wanted, "a", node(), [leaving]).actions == ()
    extra = pod("two", wanted.hash, created="2")
    failed = pod("bad", wanted.hash, phase="Failed")
    plan = plan_daemon_node(wanted, "a", node(), [extra, current, failed])
    gone = [a.target.name for a in plan.actions if isinstance(a, DeleteObject)]
    assert gone == ["bad", "two"]


def test_a_node_that_drives_it_away_loses_it():
    wanted = daemon_set()
    plan = plan_daemon_node(wanted, "a", node("a", "x=y:NoExecute"), [pod("one", wanted.hash)])
    assert [a.target.name for a in plan.actions if isinstance(a, DeleteObject)] == ["one"]
    kept = plan_daemon_node(wanted, "a", node("a", "x=y:NoSchedule"), [pod("one", wanted.hash)])
    assert kept.actions == ()


def test_with_a_surge_a_node_need_not_wait_for_the_pod_that_leaves():
    leaving = [pod("one", "any", deleting=True)]
    assert plan_daemon_node(daemon_set(), "a", node(), leaving).actions == ()
    surging = daemon_set(max_unavailable=0, max_surge=1)
    (made,) = plan_daemon_node(surging, "a", node(), leaving).actions
    assert isinstance(made, CreateObject)
    assert plan_daemon_node(surging, "a", node(), [*leaving, pod("two", "any")]).actions == ()


@pytest.mark.parametrize(
    ("phase", "reason", "words"),
    [
        ("Failed", "FailedDaemonPod", "failed daemon pod default/one on node a, will try to kill"),
        (
            "Succeeded",
            "SucceededDaemonPod",
            "succeeded daemon pod default/one on node a, will try to delete",
        ),
    ],
)
def test_a_pod_that_ended_is_taken_away(phase, reason, words):
    wanted = daemon_set()
    event, gone, _ = plan_daemon_node(
        wanted, "a", node(), [pod("one", wanted.hash, phase=phase)]
    ).actions
    assert (event.reason, event.message) == (reason, f"Found {words} it")
    assert gone.target.name == "one"


def test_a_failed_pod_stays_as_long_as_the_node_is_to_be_patient():
    surging = daemon_set(max_unavailable=0, max_surge=1)
    for wanted in (daemon_set(), surging):
        failed = [pod("one", wanted.hash, phase="Failed")]
        plan = plan_daemon_node(wanted, "a", node(), failed, failed_until=Instant(5))
        assert (plan.actions, plan.wake_at) == ((), Instant(5))


def test_patience_with_failed_pods_doubles_up_to_a_quarter_of_an_hour():
    last, now, seen = FailureBackOff("x", Instant(0)), Instant(0), []
    for _ in range(12):
        seen.append(last.until.since(now).total_seconds())
        now = last.until
        last = last.next("x", now)
    assert seen == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]
    assert last.next("y", now).patience == timedelta(seconds=1)
    assert last.next("x", now.after(timedelta(hours=1))).patience == timedelta(seconds=1)


def test_a_rollout_also_takes_old_pods_from_nodes_that_would_get_no_new_one():
    old, new = daemon_set(), daemon_set("plugin:2")
    surging = daemon_set("plugin:2", max_unavailable=0, max_surge=1)
    tally = DaemonTally()
    for name in "ab":
        here = [pod(f"p-{name}", old.hash)]
        tally.set(name, place_of(new, node(name, "x=y:NoSchedule"), here, frozenset()))
    status = tally.status(new)
    assert (status["desiredNumberScheduled"], status["numberMisscheduled"]) == (0, 2)
    assert [target.name for target in tally.rollout(new)] == ["p-a"]
    assert tally.surge(surging) == []


def test_nothing_is_said_before_every_node_was_counted():
    old, new = daemon_set(), daemon_set("plugin:2")
    surging = daemon_set("plugin:2", max_unavailable=0, max_surge=1)
    tally, surge = DaemonTally(["a", "b"]), DaemonTally(["a", "b"])
    here = {name: [pod(f"p-{name}", old.hash)] for name in "ab"}
    for name, pods in here.items():
        assert plan_daemon_set(new, tally).actions == ()
        assert (tally.rollout(new), surge.surge(surging)) == ([], [])
        place = place_of(new, node(name), pods, frozenset(p.uid for p in pods))
        tally.set(name, place)
        surge.set(name, place)
    assert [target.name for target in tally.rollout(new)] == ["p-a"]
    assert surge.surge(surging) == ["a"]
    assert surge.surge(surging, begun=["b"]) == []


@given(st.integers(1, 9), st.sampled_from([1, 2, "30%", "100%"]))
@settings(max_examples=60, deadline=None)
def test_a_rollout_keeps_enough_pods_and_ends(count, limit):
    old, new = daemon_set("plugin:1", limit), daemon_set("plugin:2", limit)
    nodes = {f"n{i}": node(f"n{i}") for i in range(count)}
    pods = {name: pod(f"old-{name}", old.hash) for name in nodes}
    most = limit if isinstance(limit, int) else max(1, -(-int(limit[:-1]) * count // 100))
    tally = DaemonTally()
    for _ in range(4 * count):
        for name, each in nodes.items():
            here = [pods[name]] if name in pods else []
            tally.set(name, place_of(new, each, here, frozenset(p.uid for p in here)))
        plan = plan_daemon_set(new, tally)
        doomed = {a.target.name for a in plan.actions if isinstance(a, DeleteObject)}
        pods = {n: p for n, p in pods.items() if p.name not in doomed}
        assert sum(p.is_ready for p in pods.values()) >= count - most
        for name, each in nodes.items():
            if plan_daemon_node(new, name, each, [pods[name]] if name in pods else []).actions:
                pods[name] = pod(f"new-{name}", new.hash)
    assert all(p.labels[REVISION_LABEL] == new.hash for p in pods.values())
    status = tally.status(new)
    assert (status["updatedNumberScheduled"], status["numberAvailable"]) == (count, count)
    assert status["numberUnavailable"] is None


def test_with_a_surge_the_old_pod_stays_until_the_new_one_can_replace_it():
    old, new = daemon_set(), daemon_set("plugin:2", max_unavailable=0, max_surge=1)
    nodes = [node(n) for n in "abc"]
    tally = DaemonTally()
    for each in nodes:
        here = [pod(f"p-{each.name}", old.hash, node_name=each.name)]
        tally.set(each.name, place_of(new, each, here, frozenset(p.uid for p in here)))
    assert (tally.rollout(new), tally.surge(new)) == ([], ["a"])
    before = pod("p-a", old.hash, created="1")
    assert plan_daemon_node(new, "a", nodes[0], [before]).actions == ()
    (made,) = plan_daemon_node(new, "a", nodes[0], [before], may_surge=True).actions
    assert made.body["metadata"]["labels"][REVISION_LABEL] == new.hash
    fresh = pod("q-a", new.hash, ready=False, created="2")
    assert plan_daemon_node(new, "a", nodes[0], [before, fresh], may_surge=True).actions == ()
    tally.set("a", place_of(new, nodes[0], [before, fresh], frozenset({"u-p-a"})))
    assert tally.surge(new) == []
    up = replace(fresh, is_ready=True)
    plan = plan_daemon_node(new, "a", nodes[0], [before, up], available=frozenset({"u-q-a"}))
    assert [a.target.name for a in plan.actions if isinstance(a, DeleteObject)] == ["p-a"]
    tally.set("a", place_of(new, nodes[0], [up], frozenset({"u-q-a"})))
    assert tally.surge(new) == ["b"]
    unready = [replace(before, is_ready=False), fresh]
    plan = plan_daemon_node(new, "a", nodes[0], unready)
    assert [a.target.name for a in plan.actions if isinstance(a, DeleteObject)] == ["p-a"]
