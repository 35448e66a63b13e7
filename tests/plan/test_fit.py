"""Why a pod does not fit a node, in Kubernetes' words."""

# pyright: basic, reportAttributeAccessIssue=false
from __future__ import annotations

import pytest

from poolwright.model.node import Node
from poolwright.model.pod import NodeRequirement, Pod
from poolwright.model.taint import Taint, Toleration
from poolwright.plan.fit import Misfit, misfit, ports_clash, usage

SIZE = {"cpu": 4000, "memory": 16 * 2**30, "pods": 3, "nvidia.com/gpu": 1}
SKU = Taint.parse("sku=gpu:NoSchedule")
TOLERATES_SKU = Toleration("sku", value="gpu", effect="NoSchedule")


def node(**changes):
    given = {"labels": {"zone": "1", "cards": "4"}, "allocatable": SIZE, **changes}
    return Node("a", "u", "1", **given)


def pod(requests=None, **changes):
    return Pod(
        "default", "p", "u", "1", requests={"cpu": 100, "pods": 1, **(requests or {})}, **changes
    )


def term(key, operator, *values, on_field=False):
    return ((NodeRequirement(key, operator, values, on_field),),)


CASES = {
    "fits": (pod(), node(), {}, None),
    "fills it exactly": (pod({"cpu": 4000}), node(), {}, None),
    "more cpu than the node has": (
        pod({"cpu": 4001}), node(), {}, Misfit(("Insufficient cpu",), True),
    ),
    "more cpu than is left": (
        pod({"cpu": 2000}), node(), {"cpu": 2500}, Misfit(("Insufficient cpu",), False),
    ),
    "every shortage is named": (
        pod({"memory": 2**40}), node(), {"cpu": 4000, "pods": 3},
        Misfit(("Too many pods", "Insufficient cpu", "Insufficient memory"), True),
    ),
    "no such device": (
        pod({"nvidia.com/mig-1g.5gb": 1}), node(), {},
        Misfit(("Insufficient nvidia.com/mig-1g.5gb",), True),
    ),
    "device taken": (
        pod({"nvidia.com/gpu": 1}), node(), {"nvidia.com/gpu": 1},
        Misfit(("Insufficient nvidia.com/gpu",), False),
    ),
    "asks for none of it": (pod({"nvidia.com/gpu": 0}), node(), {"nvidia.com/gpu": 1}, None),
    "cordoned": (
        pod(), node(unschedulable=True), {}, Misfit(("node(s) were unschedulable",), True),
    ),
    "cordoned but tolerated": (
        pod(tolerations=(Toleration("node.kubernetes.io/unschedulable", exists=True),)),
        node(unschedulable=True), {}, None,
    ),
    "tainted": (
        pod(), node(taints=(SKU,)), {}, Misfit(("node(s) had untolerated taint(s)",), True),
    ),
    "taint speaks before shortage": (
        pod({"cpu": 9000}), node(taints=(SKU,)), {},
        Misfit(("node(s) had untolerated taint(s)",), True),
    ),
    "tainted but tolerated": (pod(tolerations=(TOLERATES_SKU,)), node(taints=(SKU,)), {}, None),
    "a preference is no refusal": (
        pod(), node(taints=(Taint.parse("a=b:PreferNoSchedule"),)), {}, None,
    ),
    "selector": (
        pod(node_selector={"zone": "2"}), node(), {},
        Misfit(("node(s) didn't match Pod's node affinity/selector",), True),
    ),
    "affinity": (
        pod(node_terms=term("zone", "NotIn", "1")), node(), {},
        Misfit(("node(s) didn't match Pod's node affinity/selector",), True),
    ),
    "affinity met": (pod(node_terms=term("cards", "Gt", "3")), node(), {}, None),
    "affinity on the name": (
        pod(node_terms=term("metadata.name", "In", "a", on_field=True)), node(), {}, None,
    ),
    "no terms match nothing": (
        pod(node_terms=()), node(), {},
        Misfit(("node(s) didn't match Pod's node affinity/selector",), True),
    ),
    "preset to another node": (
        pod(node_name="b"), node(), {},
        Misfit(("node(s) didn't match the requested node name",), True),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_reasons(case):
    wanted, on, used, expected = CASES[case]
    assert misfit(wanted, on, used) == expected


def test_before_1_35_the_taint_is_named():
    found = misfit(pod(), node(taints=(SKU,)), {}, values=True)
    assert found == Misfit(("node(s) had untolerated taint {sku: gpu}",), True)


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        (("TCP", "", 80), ("TCP", "", 80), True),
        (("TCP", "", 80), ("UDP", "", 80), False),
        (("TCP", "10.0.0.1", 80), ("TCP", "", 80), True),
        (("TCP", "10.0.0.1", 80), ("TCP", "10.0.0.2", 80), False),
        (("TCP", "", 80), ("TCP", "", 81), False),
    ],
)
def test_host_ports(one, other, clash):
    assert ports_clash(one, other) is clash
    wanted = pod(host_ports=(one,))
    assert (misfit(wanted, node(), {}, [other]) is not None) is clash


def test_finished_pods_use_nothing():
    assert usage([pod(), pod(phase="Succeeded")]) == {"cpu": 100, "pods": 1}
