"""Rules of admission that need no API: surge, versions, autoscaler options, images."""

import pytest

from poolwright.model.agent_pool import ProvisioningState
from poolwright.model.errors import InvalidRequest
from poolwright.model.managed_cluster import ManagedClusterSpec
from poolwright.model.version import KubernetesVersion
from poolwright.plan.admission import PoolRequest, Surroundings, admit_agent_pool, node_image
from poolwright.plan.admission_cluster import autoscaler_profile
from poolwright.plan.admission_upgrade import amount
from poolwright.plan.admission_version import profile_of, upgrades_for

CLUSTER = ManagedClusterSpec(
    subscription="s",
    resource_group="g",
    name="c",
    location="eastus",
    kubernetes_version="1.35",
    current_kubernetes_version="1.35.4",
    dns_prefix="c",
    node_resource_group="MC",
)
AROUND = Surroundings(CLUSTER)


@pytest.mark.parametrize(
    ("text", "count", "machines"),
    [("3", 10, 3), ("33%", 10, 4), ("10%", 1, 1), ("100%", 7, 7), ("0", 5, 0), ("0%", 5, 0)],
)
def test_amounts_round_up(text, count, machines):
    assert amount(text, count) == machines


@pytest.mark.parametrize("text", ["", "-1", "101%", "1.5", "x", "%"])
def test_no_amounts(text):
    with pytest.raises(ValueError, match="amount"):
        amount(text, 10)


def test_upgrade_whose_surge_passes_the_limit_is_refused():
    request = PoolRequest("np", {"count": 1000, "orchestrator_version": "1.34.4"})
    big = admit_agent_pool(request, None, AROUND).spec
    with pytest.raises(InvalidRequest, match="surge"):
        admit_agent_pool(PoolRequest("np", {"orchestrator_version": "1.35.4"}), big, AROUND)
    scaled = admit_agent_pool(PoolRequest("np", {"count": 900}), big, AROUND)
    assert scaled.state is ProvisioningState.SCALING


def test_alias_never_means_more_than_the_control_plane():
    behind = Surroundings(
        ManagedClusterSpec(
            **{
                name: getattr(CLUSTER, name)
                for name in ManagedClusterSpec.__dataclass_fields__
                if name != "current_kubernetes_version"
            },
            current_kubernetes_version="1.35.1",
        )
    )
    spec = admit_agent_pool(PoolRequest("np", {"orchestrator_version": "1.35"}), None, behind).spec
    assert (spec.orchestrator_version, spec.kubernetes_version) == ("1.35", "1.35.1")


@pytest.mark.parametrize(
    ("text", "profile"), [("", ""), ("1.35", ""), ("1.12.6", "preview-2019"), ("9.9", "")]
)
def test_rule_set_by_version(text, profile):
    assert profile_of(text) == profile


def test_one_minor_at_a_time():
    steps = [str(version) for version, _ in upgrades_for(KubernetesVersion.parse("1.34.4"))]
    assert steps == ["1.35.1", "1.35.4"]


def test_fips_images_are_their_own():
    plain, fips = (
        node_image("Ubuntu", "amd64", fips=False),
        node_image("Ubuntu", "amd64", fips=True),
    )
    assert plain != fips
    assert "fips" in fips


def test_autoscaler_options():
    assert autoscaler_profile(None, {"a": "b"}) == {"a": "b"}
    assert autoscaler_profile({}, None)["scale-down-delay-after-delete"] == "10s"
    with pytest.raises(InvalidRequest):
        autoscaler_profile({"skip-nodes-with-system-pods": "maybe"}, None)


def test_the_autoscaler_never_holds_fewer_nodes_than_its_minimum():
    spec = admit_agent_pool(PoolRequest("np", {"vm_size": "Standard_D4s_v3"}), None, AROUND).spec
    bounds = {"enable_auto_scaling": True, "min_count": 3, "max_count": 5}
    scaled = admit_agent_pool(PoolRequest("np", {"count": 1, **bounds}), spec, AROUND).spec
    assert scaled.count == 3
    higher = admit_agent_pool(PoolRequest("np", {"count": 3, "min_count": 4}), scaled, AROUND).spec
    assert (higher.count, higher.min_count) == (4, 4)
    off = PoolRequest("np", {"count": 2, "enable_auto_scaling": False})
    assert admit_agent_pool(off, higher, AROUND).spec.count == 2


@pytest.mark.parametrize(
    "bounds", [{}, {"enable_auto_scaling": True, "min_count": 0, "max_count": 5}]
)
def test_a_negative_count_is_refused(bounds):
    spec = admit_agent_pool(PoolRequest("np", {"count": 3}), None, AROUND).spec
    for old in (None, spec):
        with pytest.raises(InvalidRequest):
            admit_agent_pool(PoolRequest("np", {"count": -1, **bounds}), old, AROUND)
