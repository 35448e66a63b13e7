import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolwright.model.catalog import vm_size, vm_sizes
from poolwright.model.gpu import MigProfile, MigStrategy
from poolwright.model.node_capacity import (
    gpu_resources,
    node_allocatable,
    node_capacity,
    reserved_cpu_millicores,
    reserved_memory_bytes,
)

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("cores", "millicores"),
    # Source: facts gpu-stack §1.4, the whole table.
    [
        (1, 60),
        (2, 100),
        (4, 140),
        (8, 180),
        (16, 260),
        (24, 340),
        (32, 420),
        (40, 500),
        (64, 740),
        (96, 1060),
    ],
)
def test_cpu_reserve_is_the_published_table(cores: int, millicores: int) -> None:
    assert reserved_cpu_millicores(cores) == millicores


def test_the_published_example_of_an_a100() -> None:
    size = vm_size("Standard_NC24ads_A100_v4")
    assert size is not None
    offer = node_allocatable(size, max_pods=110, os_disk_gb=128)
    assert offer["cpu"] == 24000 - 340
    assert offer["memory"] == (225280 - 2250 - 100) * MIB
    assert offer["ephemeral-storage"] == 119703055367  # what an AKS node of 128 GiB says


@pytest.mark.parametrize("name", sorted(vm_sizes()))
def test_every_size_says_what_it_has(name: str) -> None:
    size = vm_sizes()[name]
    assert size.memory_mib >= 512
    assert size.vcpus >= 1
    if size.gpu is not None:
        assert size.gpu.memory_mib > 0


@given(
    st.sampled_from(sorted(vm_sizes())),
    st.integers(10, 250),
    st.integers(30, 2048),
)
def test_what_is_left_is_less_than_there_is(name: str, max_pods: int, disk: int) -> None:
    size = vm_sizes()[name]
    capacity = node_capacity(size, max_pods=max_pods, os_disk_gb=disk)
    offer = node_allocatable(size, max_pods=max_pods, os_disk_gb=disk)
    assert capacity.keys() == offer.keys()
    for resource in ("cpu", "memory", "ephemeral-storage"):
        assert 0 < offer[resource] < capacity[resource]
    assert offer["pods"] == max_pods


@given(st.integers(512, 2_000_000), st.integers(10, 249))
def test_memory_reserve_grows_with_pods_up_to_a_quarter(memory_mib: int, max_pods: int) -> None:
    reserve = reserved_memory_bytes(memory_mib, max_pods)
    assert reserve <= reserved_memory_bytes(memory_mib, max_pods + 1)
    assert reserve <= memory_mib * MIB // 4
    assert reserve in {(20 * max_pods + 50) * MIB, memory_mib * MIB // 4}


@pytest.mark.parametrize(
    ("name", "profile", "strategy", "expected"),
    # Source: facts gpu-stack §2.3, §2.4.
    [
        ("Standard_NC24ads_A100_v4", None, None, {"nvidia.com/gpu": 1}),
        ("Standard_ND96asr_v4", MigProfile.MIG1G, None, {"nvidia.com/gpu": 56}),
        (
            "Standard_NC48ads_A100_v4",
            MigProfile.MIG2G,
            MigStrategy.SINGLE,
            {"nvidia.com/gpu": 6},
        ),
        ("Standard_NC24ads_A100_v4", MigProfile.MIG2G, MigStrategy.NONE, {"nvidia.com/gpu": 3}),
        (
            "Standard_NC24ads_A100_v4",
            MigProfile.MIG1G,
            MigStrategy.MIXED,
            {"nvidia.com/mig-1g.10gb": 7},
        ),
        (
            "Standard_NC40ads_H100_v5",
            MigProfile.MIG1G,
            MigStrategy.MIXED,
            {"nvidia.com/mig-1g.12gb": 7},
        ),
        ("Standard_NC4as_T4_v3", MigProfile.MIG1G, None, {}),
        ("Standard_DS2_v2", None, None, {}),
    ],
)
def test_what_a_device_plugin_advertises(
    name: str,
    profile: MigProfile | None,
    strategy: MigStrategy | None,
    expected: dict[str, int],
) -> None:
    size = vm_size(name)
    assert size is not None
    assert gpu_resources(size, mig_profile=profile, mig_strategy=strategy) == expected
