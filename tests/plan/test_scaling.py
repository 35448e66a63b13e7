"""The autoscaler's plan: growth for pods that fit nowhere, and nodes that nobody needs."""

from dataclasses import replace
from datetime import timedelta

import pytest

from plan.pool_world import CLUSTER, Sandbox, gpu_spec, name_of, pod, pool_spec
from poolwright.model.instant import Instant
from poolwright.model.pod import Owner
from poolwright.model.taint import Taint, Toleration
from poolwright.plan.expander import read_priorities
from poolwright.plan.scaling import (
    ScalingProfile,
    ScalingWorld,
    duration,
    plan_scaling,
    template_node,
)

PROFILE = {
    "scale-down-unneeded-time": "10m",
    "scale-down-delay-after-add": "10m",
    "expander": "least-waste",
}


def waiting(name, **requests):
    return pod(
        name,
        "",
        phase="Pending",
        is_ready=False,
        unschedulable=True,
        requests={"pods": 1, **requests},
    )


def scaled(spec, count, **changes):
    limits = {"enable_auto_scaling": True, "min_count": 0, "max_count": 5, **changes}
    return Sandbox(replace(spec, count=count, **limits)).settled(count)


def world(*boxes, pending=()):
    return ScalingWorld(
        cluster=replace(CLUSTER, autoscaler_profile=PROFILE),
        pools=[replace(box.world().pool, name=box.spec.name) for box in boxes],
        nodes=[node for box in boxes for node in box.nodes.values()],
        pods={name: pods for box in boxes for name, pods in box.pods.items()},
        pending=list(pending),
    )


def test_pods_that_fit_nowhere_are_packed_onto_new_nodes():
    box = scaled(pool_spec(), 0)
    pods = [waiting(f"p{i}", cpu=800) for i in range(4)]
    plan = plan_scaling(world(box, pending=pods), box.now)
    (growth,) = plan.growths
    assert growth.count == 2
    assert growth.message.endswith("-vmss 0->2 (max: 5)}]")
    assert plan.hopeless == ()


def test_room_that_exists_or_is_on_its_way_is_used_first():
    box = scaled(pool_spec(), 1)
    pods = [waiting(f"p{i}", cpu=800) for i in range(4)]
    assert plan_scaling(world(box, pending=pods), box.now).growths[0].count == 2
    box.spec = replace(box.spec, count=2)
    box.status = replace(box.status, last_scale_up_at=box.now)
    assert plan_scaling(world(box, pending=pods), box.now).growths == ()


def test_nodes_that_do_not_come_stop_counting():
    box = scaled(pool_spec(), 1)
    box.spec = replace(box.spec, count=2)
    box.status = replace(box.status, last_scale_up_at=box.now.after(-timedelta(minutes=16)))
    pods = [waiting(f"p{i}", cpu=1500) for i in range(2)]
    assert plan_scaling(world(box, pending=pods), box.now).growths[0].count == 3


def test_growth_stops_at_the_maximum_and_says_so():
    box = scaled(pool_spec(), 0, max_count=1)
    pods = [waiting(f"p{i}", cpu=1500) for i in range(2)]
    plan = plan_scaling(world(box, pending=pods), box.now)
    assert plan.growths[0].count == 1
    assert [p.name for p, _ in plan.hopeless] == ["p1"]


def test_gpu_pods_grow_the_gpu_pool_and_others_do_not():
    cpu = scaled(pool_spec(), 0)
    gpu = scaled(gpu_spec(name="gpunp"), 0)
    plan = plan_scaling(
        world(cpu, gpu, pending=[waiting("g", **{"nvidia.com/gpu": 1}), waiting("c", cpu=100)]),
        cpu.now,
    )
    assert {g.pool.name: [p.name for p in g.pods] for g in plan.growths} == {
        "np1": ["c"],
        "gpunp": ["g"],
    }


def test_an_untolerated_taint_triggers_nothing():
    taint = Taint.parse("sku=gpu:NoSchedule")
    box = scaled(pool_spec(node_taints=(taint,)), 0)
    plan = plan_scaling(world(box, pending=[waiting("p", cpu=100)]), box.now)
    assert plan.growths == ()
    assert "untolerated taint" in plan.hopeless[0][1]
    tolerant = replace(waiting("p", cpu=100), tolerations=(Toleration("sku", exists=True),))
    assert plan_scaling(world(box, pending=[tolerant]), box.now).growths


def test_backoff_keeps_a_refused_pool_from_growing():
    box = scaled(pool_spec(), 0)
    later = box.now.after(timedelta(minutes=5))
    box.status = replace(box.status, scale_up_backoff_until=later)
    plan = plan_scaling(world(box, pending=[waiting("p", cpu=100)]), box.now)
    assert plan.growths == ()
    assert plan.wake_at == later


def test_an_empty_node_goes_after_it_was_unneeded_for_long_enough():
    box = scaled(pool_spec(), 3, min_count=1)
    first = plan_scaling(world(box), box.now)
    assert first.shrinkages == ()
    assert set(first.unneeded["np1"]) == {name_of(0), name_of(1), name_of(2)}
    assert first.wake_at == box.now.after(timedelta(minutes=10))
    box.status = replace(box.status, unneeded_since=first.unneeded["np1"])
    (shrinkage,) = plan_scaling(world(box), first.wake_at).shrinkages
    assert len(shrinkage.names) == 2


def test_a_busy_node_and_one_with_a_bare_pod_stay():
    box = scaled(pool_spec(), 2)
    box.pods[name_of(0)] = [pod("busy", name_of(0), requests={"cpu": 1200})]
    box.pods[name_of(1)] = [pod("bare", name_of(1), owners=(), requests={"cpu": 10})]
    assert plan_scaling(world(box), box.now).unneeded == {}


def test_a_node_whose_pods_fit_elsewhere_is_unneeded_one_at_a_time():
    box = scaled(pool_spec(), 2)
    long_ago = box.now.after(-timedelta(hours=1))
    for index in range(2):
        box.pods[name_of(index)] = [pod(f"p{index}", name_of(index), requests={"cpu": 300})]
    box.status = replace(box.status, unneeded_since={name_of(0): long_ago, name_of(1): long_ago})
    (shrinkage,) = plan_scaling(world(box), box.now).shrinkages
    assert shrinkage.names == (name_of(0),)


def test_nothing_shrinks_soon_after_growth():
    box = scaled(pool_spec(), 1)
    long_ago = box.now.after(-timedelta(hours=1))
    box.status = replace(
        box.status, unneeded_since={name_of(0): long_ago}, last_scale_up_at=box.now
    )
    plan = plan_scaling(world(box), box.now)
    assert plan.shrinkages == ()
    assert plan.wake_at == box.now.after(timedelta(minutes=10))


def test_gpu_use_decides_on_gpu_nodes():
    box = scaled(gpu_spec(), 1)
    owner = (Owner("Job", "train", "j1", controller=True),)
    box.pods[name_of(0)].append(
        pod("train", name_of(0), owners=owner, requests={"nvidia.com/gpu": 1})
    )
    assert plan_scaling(world(box), box.now).unneeded == {}


def test_a_running_operation_keeps_the_autoscaler_away():
    from poolwright.model.agent_pool import ProvisioningState

    box = scaled(pool_spec(), 0)
    box.change(ProvisioningState.UPDATING)
    assert plan_scaling(world(box, pending=[waiting("p", cpu=1)]), box.now).growths == ()


def test_a_managed_template_offers_its_gpus_without_the_startup_taint():
    node = template_node(CLUSTER, gpu_spec())
    assert node.allocatable["nvidia.com/gpu"] == 1
    assert node.taints == ()


@pytest.mark.parametrize(
    ("text", "seconds"), [("10s", 10), ("1h30m", 5400), ("0s", 0), ("600", 600), ("1.5m", 90)]
)
def test_durations(text, seconds):
    assert duration(text) == timedelta(seconds=seconds)


def test_the_profile_has_the_defaults_of_aks():
    profile = ScalingProfile.of(CLUSTER)
    assert profile.after_add == profile.unneeded == timedelta(minutes=10)
    assert profile.after_delete == timedelta(seconds=10)
    assert profile.unready == timedelta(minutes=20)
    assert (profile.threshold, profile.empty_max) == (0.5, 10)
    assert Instant(0) < Instant(1)


# -- which pool ------------------------------------------------------------------------------------


def grown(expander, *boxes, pending, priorities=None):
    """The pools that grow, in the order in which they were chosen."""
    seen = world(*boxes, pending=pending)
    profile = {**PROFILE, "expander": expander}
    seen = replace(
        seen,
        cluster=replace(seen.cluster, autoscaler_profile=profile),
        priorities=priorities or {},
    )
    return [growth.pool.name for growth in plan_scaling(seen, boxes[0].now).growths]


def three():
    small, big = "Standard_DS2_v2", "Standard_D16s_v5"
    return (
        scaled(pool_spec(name="small", vm_size=small), 0),
        scaled(pool_spec(name="big", vm_size=big), 0),
        scaled(pool_spec(name="bigger", vm_size=big), 0),
    )


def test_most_pods_prefers_the_pool_that_helps_most():
    pods = [waiting("a", cpu=800), waiting("b", cpu=8000), waiting("c", cpu=7000)]
    assert grown("most-pods", *three()[:2], pending=pods) == ["big"]


def test_least_waste_prefers_the_smaller_machine():
    assert grown("least-waste", *three(), pending=[waiting("a", cpu=1500)]) == ["small"]


def test_random_is_spread_over_pools_and_the_same_for_the_same_pod():
    chosen = [grown("random", *three(), pending=[waiting(f"p{i}", cpu=500)]) for i in range(40)]
    again = [grown("random", *three(), pending=[waiting(f"p{i}", cpu=500)]) for i in range(40)]
    assert chosen == again
    assert {name for (name,) in chosen} == {"small", "big", "bigger"}


def test_random_is_what_a_cluster_has_that_says_nothing():
    assert ScalingProfile.of(CLUSTER).expander == "random"


def test_priority_takes_the_highest_that_matches_and_falls_back():
    pods = [waiting("a", cpu=500)]
    first = {10: ["^aks-small-"], 50: ["aks-bigger-.*"], 90: ["nowhere"]}
    assert grown("priority", *three(), pending=pods, priorities=first) == ["bigger"]
    assert grown("priority,least-waste", *three(), pending=pods) == ["small"]
    both = {10: [".*big.*"], 5: [".*"]}
    for index in range(10):
        pods = [waiting(f"p{index}", cpu=500)]
        (name,) = grown("priority,random", *three(), pending=pods, priorities=both)
        assert name in {"big", "bigger"}


def test_priorities_are_read_as_the_autoscaler_reads_them():
    text = """
10:
  - .*small.*   # cheap
  - '(unbalanced'
50 :
  - "aks-gpu.*"
-  nonsense
  -
"""
    assert read_priorities(text) == {10: (".*small.*",), 50: ("aks-gpu.*", "nonsense")}
    assert read_priorities("") == {}
    assert read_priorities("- a\nx: y") == {}
