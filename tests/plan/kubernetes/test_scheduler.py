"""Where pods go: promises for all worlds, and the words for those that go nowhere."""

# pyright: basic, reportAttributeAccessIssue=false
from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolwright.model.node import Node
from poolwright.model.pod import NodeRequirement, Owner, Pod
from poolwright.model.taint import Taint, TaintEffect, Toleration, untolerated
from poolwright.plan.kubernetes.action import BindPod, RecordEvent, SetCondition
from poolwright.plan.kubernetes.neighbours import HOST_NAME
from poolwright.plan.kubernetes.scheduler import Scheduler, failure_message, plan_schedule

TAINTS = [Taint("sku", "gpu", effect) for effect in TaintEffect]
GPU = "nvidia.com/gpu"

node_parts = st.tuples(
    st.integers(0, 8), st.integers(0, 2), st.lists(st.sampled_from(TAINTS), max_size=1),
    st.booleans(), st.integers(1, 3),
)  # fmt: skip
pod_parts = st.tuples(
    st.integers(0, 4), st.integers(0, 1), st.booleans(), st.integers(0, 2),
    st.sampled_from(["", "", "n0", "n1"]), st.sampled_from([0, 0, 80]),
)  # fmt: skip


def make_nodes(parts):
    return [
        Node(
            f"n{i}", f"u{i}", "1", {"zone": str(i % 2)}, taints=tuple(taints),
            unschedulable=cordoned,
            allocatable={"cpu": cpu * 1000, "memory": 2**30, "pods": pods, GPU: gpus},
        )
        for i, (cpu, gpus, taints, cordoned, pods) in enumerate(parts)
    ]  # fmt: skip


def make_pods(parts):
    return [
        Pod(
            "default", f"p{i}", f"u{i}", "1", priority=priority,
            requests={"cpu": cpu * 1000, GPU: gpus, "pods": 1},
            tolerations=(Toleration("sku", exists=True),) if tolerant else (),
            node_selector={"zone": zone[1]} if zone else {},
            host_ports=(("TCP", "", port),) if port else (),
        )
        for i, (cpu, gpus, tolerant, priority, zone, port) in enumerate(parts)
    ]  # fmt: skip


worlds = st.tuples(
    st.lists(node_parts, max_size=6).map(make_nodes),
    st.lists(pod_parts, max_size=14).map(make_pods),
)


def bindings(plan):
    return {a.target.name: a.node for a in plan.actions if isinstance(a, BindPod)}


@given(worlds)
@settings(max_examples=300, deadline=None)
def test_nothing_is_overcommitted_and_no_taint_is_ignored(world):
    nodes, pods = world
    bound = bindings(plan_schedule(nodes, pods))
    by_name = {n.name: n for n in nodes}
    for node in nodes:
        mine = [p for p in pods if bound.get(p.name) == node.name]
        for resource, amount in node.allocatable.items():
            assert sum(p.requests.get(resource, 0) for p in mine) <= amount
        assert len([p for p in mine if p.host_ports]) <= 1
    for pod in pods:
        if pod.name not in bound:
            continue
        node = by_name[bound[pod.name]]
        assert not node.unschedulable
        hard = (TaintEffect.NO_SCHEDULE, TaintEffect.NO_EXECUTE)
        assert untolerated(node.taints, pod.tolerations, hard) is None
        assert pod.node_selector.items() <= node.labels.items()


@given(worlds, st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_the_order_of_the_input_does_not_matter(world, rng):
    nodes, pods = world
    first = plan_schedule(nodes, pods)
    rng.shuffle(nodes)
    rng.shuffle(pods)
    assert plan_schedule(nodes, pods) == first


@given(worlds)
@settings(max_examples=150, deadline=None)
def test_planning_again_adds_nothing_and_leaves_nobody_who_fits(world):
    nodes, pods = world
    scheduler = Scheduler()
    for node in nodes:
        scheduler.set_node(node)
    for pod in pods:
        scheduler.set_pod(pod)
    plan = scheduler.plan(100)
    assert scheduler.plan(100).actions == ()
    # A scheduler that starts with what the first one bound has nothing to bind either.
    bound = bindings(plan)
    import dataclasses

    applied = [dataclasses.replace(p, node_name=bound.get(p.name, "")) for p in pods]
    assert bindings(plan_schedule(nodes, applied)) == {}


@given(worlds, st.data())
@settings(max_examples=150, deadline=None)
def test_following_changes_ends_where_starting_over_does(world, data):
    """Kept candidates are as good as fresh ones: after any churn, who fits is bound."""
    nodes, pods = world
    scheduler = Scheduler()
    for pod in pods:
        scheduler.set_pod(pod)
    bound = bindings(scheduler.plan(100))
    for node in nodes:
        scheduler.set_node(node)
        bound.update(bindings(scheduler.plan(100)))
    for name in data.draw(
        st.lists(st.sampled_from([p.name for p in pods]), unique=True) if pods else st.just([])
    ):
        if name in bound:
            scheduler.remove_pod(f"default/{name}")
            bound.pop(name)
            pods = [p for p in pods if p.name != name]
            bound.update(bindings(scheduler.plan(100)))
    import dataclasses

    applied = [dataclasses.replace(p, node_name=bound.get(p.name, "")) for p in pods]
    assert bindings(plan_schedule(nodes, applied)) == {}


def node(name, *, cpu=4000, gpus=0, **changes):
    size = {"cpu": cpu, "memory": 2**34, "pods": 110, **({GPU: gpus} if gpus else {})}
    labels = {HOST_NAME: name, **changes.pop("labels", {})}
    return Node(name, f"u-{name}", "1", labels, allocatable=size, **changes)


def pod(name="p", *, cpu=100, gpus=0, **changes):
    requests = {"cpu": cpu, "pods": 1, **({GPU: gpus} if gpus else {})}
    return Pod("default", name, f"u-{name}", "1", requests=requests, **changes)


def said(plan, reason):
    return [a.message for a in plan.actions if isinstance(a, RecordEvent) and a.reason == reason]


def test_the_words_of_success_and_failure():
    tainted = node("t", gpus=1, taints=(TAINTS[0],))
    plan = plan_schedule(
        [node("a"), node("b", gpus=1), tainted], [pod("one", gpus=1), pod("two", gpus=1)]
    )
    assert said(plan, "Scheduled") == ["Successfully assigned default/one to b"]
    words = (
        "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient"
        " nvidia.com/gpu. no new claims to deallocate, preemption: 0/3 nodes are available:"
        " 1 No preemption victims found for incoming pod, 2 Preemption is not helpful for"
        " scheduling."
    )
    assert said(plan, "FailedScheduling") == [words]
    (condition,) = [a for a in plan.actions if isinstance(a, SetCondition)]
    assert (condition.type, condition.status) == ("PodScheduled", "False")
    assert (condition.reason, condition.message) == ("Unschedulable", words)


def test_older_versions_name_the_taint_and_know_no_claims():
    plan = plan_schedule([node("t", taints=(TAINTS[0],))], [pod()], kubernetes_minor=33)
    assert said(plan, "FailedScheduling") == [
        "0/1 nodes are available: 1 node(s) had untolerated taint {sku: gpu}."
        " preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    ]


def test_no_nodes_and_no_preemption():
    assert failure_message({}, 0) == "no nodes available to schedule pods"
    never = plan_schedule([node("a")], [pod(cpu=9000, may_preempt=False)])
    assert said(never, "FailedScheduling") == [
        "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate,"
        " preemption: not eligible due to preemptionPolicy=Never."
    ]


def test_priority_goes_first_and_then_the_order_of_arrival():
    pods = [pod("late", cpu=4000, created="2"), pod("early", cpu=4000, created="1")]
    assert bindings(plan_schedule([node("a")], pods)) == {"early": "a"}
    pods.append(pod("vip", cpu=4000, created="3", priority=10))
    assert bindings(plan_schedule([node("a")], pods)) == {"vip": "a"}


def test_a_pod_for_one_node_waits_for_that_node_only():
    pinned = pod(node_terms=((NodeRequirement("metadata.name", "In", ("b",), on_field=True),),))
    scheduler = Scheduler()
    scheduler.set_node(node("a"))
    scheduler.set_pod(pinned)
    plan = scheduler.plan(10)
    assert said(plan, "FailedScheduling")[0].startswith(
        "0/1 nodes are available: 1 node(s) didn't satisfy plugin(s) [NodeAffinity]."
    )
    scheduler.set_node(node("c"))
    assert bindings(scheduler.plan(10)) == {}
    scheduler.set_node(node("b"))
    assert bindings(scheduler.plan(10)) == {"p": "b"}


def test_gates_hold_a_pod_and_are_told_once():
    scheduler = Scheduler()
    scheduler.set_node(node("a"))
    scheduler.set_pod(pod(scheduling_gates=("quota",)))
    (action,) = scheduler.plan(10).actions
    assert (action.reason, bindings(scheduler.plan(10))) == ("SchedulingGated", {})
    scheduler.set_pod(pod())
    assert bindings(scheduler.plan(10)) == {"p": "a"}


def test_a_failed_binding_is_taken_back():
    scheduler = Scheduler()
    scheduler.set_node(node("a", cpu=100))
    scheduler.set_pod(pod())
    assert bindings(scheduler.plan(10)) == {"p": "a"}
    scheduler.bind_failed(None, "default/p")
    scheduler.set_pod(pod("q"))
    assert bindings(scheduler.plan(10)) == {"q": "a"}


@pytest.mark.parametrize("preferred", ["a", "b"])
def test_preferences_decide_between_equals(preferred):
    term = (NodeRequirement("metadata.name", "In", (preferred,), on_field=True),)
    wanted = pod(preferred_terms=((100, term),))
    assert bindings(plan_schedule([node("a"), node("b")], [wanted])) == {"p": preferred}
    disliked = {"a": "b", "b": "a"}[preferred]
    nodes = [node(preferred), node(disliked, taints=(Taint.parse("x=y:PreferNoSchedule"),))]
    assert bindings(plan_schedule(nodes, [pod()])) == {"p": preferred}


def test_replicas_spread_even_over_unequal_nodes():
    owner = (Owner("ReplicaSet", "web", "rs", controller=True),)
    busy = pod("busy", cpu=2000, node_name="a")
    replicas = [pod(f"r{i}", owners=owner) for i in range(2)]
    bound = bindings(plan_schedule([node("a"), node("b")], [busy, *replicas]))
    assert sorted(bound.values()) == ["a", "b"]


def test_messages_are_told_again_when_the_world_changed():
    scheduler = Scheduler()
    scheduler.set_node(node("a"))
    scheduler.set_pod(pod(cpu=9000))
    assert len(said(scheduler.plan(10), "FailedScheduling")) == 1
    assert scheduler.refresh_messages().actions == ()
    scheduler.set_node(node("b"))
    (message,) = said(scheduler.refresh_messages(), "FailedScheduling")
    assert message.startswith("0/2 nodes are available: 2 Insufficient cpu.")
