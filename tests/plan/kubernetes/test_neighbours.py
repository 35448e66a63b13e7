"""Affinity between pods, topology spread and preemption, with literals of kube-scheduler's own."""

# pyright: basic, reportAttributeAccessIssue=false
from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolwright.model.label_selector import LabelSelector
from poolwright.model.node import Node
from poolwright.model.pod import Pod
from poolwright.model.taint import Taint
from poolwright.plan.kubernetes.action import DeleteObject, PatchObject
from poolwright.plan.kubernetes.neighbours import HOST_NAME, ZONE
from poolwright.plan.kubernetes.placement import SAMPLED_FROM
from poolwright.plan.kubernetes.preemption import Guard
from poolwright.plan.kubernetes.scheduler import Scheduler, plan_schedule

from .test_scheduler import bindings, node, pod, said

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def zoned(name, zone, **changes):
    return node(name, labels={ZONE: zone}, **changes)


def made(name, *, labels=None, node_name="", namespace="default", cpu="100m", owner="", **spec):
    meta = {"name": name, "namespace": namespace, "uid": f"u-{name}", "labels": labels or {}}
    if owner:
        meta["ownerReferences"] = [
            {"kind": "ReplicaSet", "name": owner, "uid": owner, "controller": True}
        ]
    resources = {"requests": {"cpu": cpu}}
    return Pod.from_object(
        {
            "metadata": meta,
            "spec": {
                "containers": [{"name": "c", "resources": resources}],
                "nodeName": node_name,
                **spec,
            },
        }
    )


def term(key=HOST_NAME, **labels):
    return {"topologyKey": key, "labelSelector": {"matchLabels": labels}}


def near(*terms, **more):
    return {"podAffinity": {REQUIRED: list(terms)}, **more}


def far(*terms):
    return {"podAntiAffinity": {REQUIRED: list(terms)}}


def spread(key=ZONE, *, skew=1, hard=True, labels=None, **more):
    return {
        "topologyKey": key,
        "maxSkew": skew,
        "whenUnsatisfiable": "DoNotSchedule" if hard else "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels or {"app": "web"}},
        **more,
    }


ZONES = [zoned("a1", "a"), zoned("a2", "a"), zoned("b1", "b"), zoned("b2", "b")]
WEB = {"app": "web"}


def test_pods_that_keep_apart_take_one_node_or_one_zone_each():
    by_host = [made(f"p{i}", labels=WEB, affinity=far(term(app="web"))) for i in range(5)]
    plan = plan_schedule(ZONES, by_host)
    assert sorted(bindings(plan).values()) == ["a1", "a2", "b1", "b2"]
    assert said(plan, "FailedScheduling") == [
        "0/4 nodes are available: 4 node(s) didn't match pod anti-affinity rules. no new claims"
        " to deallocate, preemption: 0/4 nodes are available: 4 No preemption victims found for"
        " incoming pod."
    ]
    by_zone = [made(f"p{i}", labels=WEB, affinity=far(term(ZONE, app="web"))) for i in range(3)]
    assert sorted(n[0] for n in bindings(plan_schedule(ZONES, by_zone)).values()) == ["a", "b"]


def test_who_is_there_first_may_keep_others_out():
    hermit = made("hermit", node_name="a1", affinity=far(term(ZONE, app="web")))
    plan = plan_schedule(ZONES[:2], [hermit, made("p", labels=WEB)])
    assert said(plan, "FailedScheduling")[0].startswith(
        "0/2 nodes are available: 2 node(s) didn't satisfy existing pods anti-affinity rules."
    )
    assert bindings(plan_schedule(ZONES, [hermit, made("p", labels=WEB)]))["p"][0] == "b"
    other = made("p", labels=WEB, namespace="other")
    assert bindings(plan_schedule(ZONES[:2], [hermit, other]))["p"] == "a2"


def test_company_is_sought_in_the_zone_and_the_first_of_a_group_goes_anywhere():
    base = made("base", labels={"app": "db"}, node_name="b1")
    wants = made("p", affinity=near(term(ZONE, app="db")))
    assert bindings(plan_schedule(ZONES, [base, wants])) == {"p": "b2"}
    plan = plan_schedule(ZONES, [wants])
    assert said(plan, "FailedScheduling")[0] == (
        "0/4 nodes are available: 4 node(s) didn't match pod affinity rules. no new claims to"
        " deallocate, preemption: 0/4 nodes are available: 4 Preemption is not helpful for"
        " scheduling."
    )
    group = [made(f"p{i}", labels=WEB, affinity=near(term(app="web"))) for i in range(3)]
    assert len(set(bindings(plan_schedule(ZONES, group)).values())) == 1


@pytest.mark.parametrize(
    ("more", "fits"),
    [
        ({}, False),
        ({"namespaces": ["other"]}, True),
        ({"namespaceSelector": {}}, True),
        ({"namespaceSelector": {"matchLabels": {"team": "x"}}}, True),
        ({"namespaceSelector": {"matchLabels": {"team": "y"}}}, False),
    ],
)
def test_terms_reach_the_namespaces_that_they_name(more, fits):
    scheduler = Scheduler()
    scheduler.set_node(node("a"))
    scheduler.set_namespace("other", {"team": "x"})
    scheduler.set_pod(made("base", labels={"app": "db"}, node_name="a", namespace="other"))
    scheduler.set_pod(made("p", affinity=near({**term(app="db"), **more})))
    assert bindings(scheduler.plan(10)) == ({"p": "a"} if fits else {})


def test_a_namespace_that_changes_its_labels_changes_what_terms_mean():
    scheduler = Scheduler()
    scheduler.set_node(node("a"))
    scheduler.set_pod(made("base", labels={"app": "db"}, node_name="a", namespace="other"))
    chosen = {"namespaceSelector": {"matchLabels": {"team": "x"}}}
    scheduler.set_pod(made("p", affinity=near({**term(app="db"), **chosen})))
    assert bindings(scheduler.plan(10)) == {}
    scheduler.set_namespace("other", {"team": "x"})
    assert bindings(scheduler.plan(10)) == {"p": "a"}


def test_wishes_decide_between_nodes_that_fit():
    base = made("base", labels={"app": "db"}, node_name="b1")
    wish = {"weight": 100, "podAffinityTerm": term(ZONE, app="db")}
    wants = made("p", affinity={"podAffinity": {PREFERRED: [wish]}})
    assert bindings(plan_schedule(ZONES, [base, wants])) == {"p": "b2"}
    avoids = made("p", affinity={"podAntiAffinity": {PREFERRED: [wish]}})
    assert bindings(plan_schedule(ZONES, [base, avoids]))["p"][0] == "a"


def test_a_hard_spread_keeps_the_skew_over_zones():
    pods = [made(f"p{i}", labels=WEB, topologySpreadConstraints=[spread()]) for i in range(4)]
    placed = bindings(plan_schedule(ZONES, pods))
    assert sorted(n[0] for n in placed.values()) == ["a", "a", "b", "b"]
    there = made("x", labels=WEB, node_name="a1")
    plan = plan_schedule(
        [*ZONES[:2], zoned("b1", "b", taints=(Taint.parse("k=v:NoSchedule"),))], [there, *pods]
    )
    assert said(plan, "FailedScheduling")[0].startswith(
        "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 node(s) didn't match pod"
        " topology spread constraints."
    )


def test_a_spread_that_honours_taints_does_not_count_what_it_cannot_use():
    tainted = zoned("b1", "b", taints=(Taint.parse("k=v:NoSchedule"),))
    there = made("x", labels=WEB, node_name="a1")
    honours = spread(nodeTaintsPolicy="Honor")
    wants = made("p", labels=WEB, topologySpreadConstraints=[honours])
    assert bindings(plan_schedule([*ZONES[:2], tainted], [there, wants]))["p"] == "a2"


def test_too_few_domains_and_nodes_without_the_label_refuse():
    wants = made("p", labels=WEB, topologySpreadConstraints=[spread(minDomains=3)])
    there = [made("x", labels=WEB, node_name="a1"), made("y", labels=WEB, node_name="b1")]
    plan = plan_schedule(ZONES, [*there, wants])
    assert said(plan, "FailedScheduling")[0].startswith(
        "0/4 nodes are available: 4 node(s) didn't match pod topology spread constraints."
    )
    plan = plan_schedule([node("plain")], [wants])
    assert said(plan, "FailedScheduling")[0].startswith(
        "0/1 nodes are available: 1 node(s) didn't match pod topology spread constraints (missing"
        " required label)."
    )


def test_a_soft_spread_and_the_default_one_lean_to_emptier_zones():
    there = [made(f"x{i}", labels=WEB, node_name="a1", cpu="0") for i in range(3)]
    wants = made("p", labels=WEB, topologySpreadConstraints=[spread(hard=False)])
    assert bindings(plan_schedule(ZONES, [*there, wants]))["p"][0] == "b"
    replicas = [made(f"r{i}", owner="rs") for i in range(4)]
    placed = bindings(plan_schedule(ZONES, replicas))
    assert sorted(placed.values()) == ["a1", "a2", "b1", "b2"]
    assert sorted(n[0] for n in bindings(plan_schedule(ZONES, replicas[:2])).values()) == ["a", "b"]


def test_pods_that_are_leaving_do_not_count_for_the_spread():
    leaving = dataclasses.replace(made("x", labels=WEB, node_name="a1"), deleting=True)
    there = made("y", labels=WEB, node_name="b1")
    wants = made("p", labels=WEB, topologySpreadConstraints=[spread()])
    assert bindings(plan_schedule(ZONES, [leaving, there, wants]))["p"][0] == "a"


# Preemption


def deletions(plan):
    return [a.target.name for a in plan.actions if isinstance(a, DeleteObject)]


def nominations(plan):
    return {
        a.target.name: a.patch["status"]["nominatedNodeName"]
        for a in plan.actions
        if isinstance(a, PatchObject)
    }


def running(name, where, priority=0, cpu=2000, **changes):
    return pod(name, cpu=cpu, node_name=where, priority=priority, phase="Running", **changes)


def test_a_pod_of_higher_priority_drives_the_least_away_and_waits_for_its_place():
    scheduler = Scheduler()
    for each in (node("a"), node("b")):
        scheduler.set_node(each)
    there = [running("a1", "a", 5), running("a2", "a", 1), running("b1", "b", 5, cpu=4000)]
    for each in there:
        scheduler.set_pod(each)
    vip = pod("vip", cpu=2000, priority=10)
    scheduler.set_pod(vip)
    plan = scheduler.plan(10)
    assert (deletions(plan), nominations(plan)) == (["a2"], {"vip": "a"})
    assert said(plan, "Preempted") == ["Preempted by pod u-vip on node a"]
    assert said(plan, "FailedScheduling") == ["0/2 nodes are available: 2 Insufficient cpu."]
    # The place is kept against others, and nobody else is driven away for it.
    scheduler.set_pod(dataclasses.replace(there[1], deleting=True))
    scheduler.set_pod(pod("late", cpu=2000, priority=3))
    plan = scheduler.plan(10)
    assert (bindings(plan), deletions(plan)) == ({}, [])
    scheduler.remove_pod("default/a2")
    assert bindings(scheduler.plan(10)) == {"vip": "a"}


def test_equals_are_not_driven_away_and_some_pods_never_drive():
    full = running("r", "a", 10, cpu=4000)
    plan = plan_schedule([node("a")], [full, pod("p", priority=10)])
    assert deletions(plan) == []
    assert "1 No preemption victims found for incoming pod." in said(plan, "FailedScheduling")[0]
    meek = pod("p", priority=20, may_preempt=False)
    assert deletions(plan_schedule([node("a")], [full, meek])) == []


def test_budgets_are_spared_where_another_node_will_do():
    guard = Guard("default", LabelSelector((("app", "db"),)), allowed=0)
    there = [
        running("db", "a", 0, cpu=4000, labels={"app": "db"}),
        running("web", "b", 5, cpu=4000, labels={"app": "web"}),
    ]
    vip = pod("vip", cpu=4000, priority=10)
    nodes = [node("a"), node("b")]
    assert deletions(plan_schedule(nodes, [*there, vip], guards=[guard])) == ["web"]
    assert deletions(plan_schedule(nodes, [*there, vip])) == ["db"]
    assert deletions(plan_schedule(nodes[:1], [there[0], vip], guards=[guard])) == ["db"]


def test_who_keeps_others_out_can_be_driven_away_for_it():
    hermit = made("hermit", node_name="a1", affinity=far(term(app="web")))
    vip = dataclasses.replace(made("vip", labels=WEB), priority=5)
    assert deletions(plan_schedule(ZONES[:1], [hermit, vip])) == ["hermit"]


def test_a_pod_that_was_promised_a_node_keeps_it_over_a_restart():
    promised = pod("p", cpu=4000, priority=5, nominated_node="a")
    nodes = [node("a")]
    placed = bindings(plan_schedule(nodes, [promised, pod("q", cpu=4000, priority=5, created="0")]))
    assert placed == {"p": "a"}


# Whatever happens, kept candidates are as good as fresh ones.

zones = st.sampled_from(["a", "b", "c"])
affinities = st.sampled_from(
    [
        {},
        far(term(app="web")),
        far(term(ZONE, app="db")),
        near(term(ZONE, app="web")),
        {"podAffinity": {PREFERRED: [{"weight": 7, "podAffinityTerm": term(ZONE, app="db")}]}},
    ]
)
constraints = st.lists(
    st.sampled_from([spread(), spread(HOST_NAME), spread(ZONE, hard=False)]), max_size=1
)
neighbour_pods = st.lists(
    st.tuples(st.sampled_from(["web", "db"]), affinities, constraints, st.booleans()), max_size=12
).map(
    lambda parts: [
        made(
            f"p{i}",
            labels={"app": app},
            affinity=affinity,
            topologySpreadConstraints=spreads,
            owner="rs" if owned else "",
        )
        for i, (app, affinity, spreads, owned) in enumerate(parts)
    ]
)


@given(st.lists(zones, max_size=6), neighbour_pods, st.data())
@settings(max_examples=200, deadline=None)
def test_following_changes_ends_where_starting_over_does(found, pods, data):
    nodes = [zoned(f"n{i}", zone) for i, zone in enumerate(found)]
    scheduler = Scheduler()
    bound: dict[str, str] = {}
    for each in pods:
        scheduler.set_pod(each)
    for each in nodes:
        scheduler.set_node(each)
        bound.update(bindings(scheduler.plan(50)))
    names = [p.name for p in pods]
    gone = data.draw(st.lists(st.sampled_from(names), unique=True) if names else st.just([]))
    for name in gone:
        scheduler.remove_pod(f"default/{name}")
        bound.pop(name, None)
        pods = [p for p in pods if p.name != name]
        bound.update(bindings(scheduler.plan(50)))
    applied = [dataclasses.replace(p, node_name=bound.get(p.name, "")) for p in pods]
    assert bindings(plan_schedule(nodes, applied)) == {}


@given(st.lists(zones, min_size=1, max_size=5), neighbour_pods)
@settings(max_examples=200, deadline=None)
def test_nobody_who_keeps_apart_has_unwanted_company(found, pods):
    nodes = [zoned(f"n{i}", zone) for i, zone in enumerate(found)]
    placed = bindings(plan_schedule(nodes, pods))
    zone_of: dict[str, Node] = {n.name: n for n in nodes}
    here = [p for p in pods if p.name in placed]
    for one in here:
        for each in one.affinity.apart:
            domain = zone_of[placed[one.name]].labels[each.topology_key]
            for other in here:
                if other is not one and each.selector.matches(other.labels):
                    assert zone_of[placed[other.name]].labels[each.topology_key] != domain


def test_in_a_large_cluster_rare_shapes_are_placed_by_a_sample_and_as_the_rules_say():
    count = SAMPLED_FROM + 44
    nodes = [zoned(f"n{i:03}", "abc"[i % 3], cpu=1000) for i in range(count)]
    pods = [
        made(f"p{i}", cpu=f"{100 + i}m", labels=WEB, topologySpreadConstraints=[spread()])
        for i in range(30)
    ]
    placed = bindings(plan_schedule(nodes, pods))
    by_name = {n.name: n.labels[ZONE] for n in nodes}
    zones = [by_name[name] for name in placed.values()]
    assert sorted(zones.count(z) for z in "abc") == [10, 10, 10]
    assert len(set(placed.values())) == 30
    too_large = plan_schedule(nodes, [made("p", cpu="2")])
    words = f"0/{count} nodes are available: {count} Insufficient cpu."
    assert said(too_large, "FailedScheduling")[0].startswith(words)
