"""The property tables: every row at two api-versions, and round trips."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolwright.arm.properties import agent_pool, managed_cluster
from poolwright.arm.properties.agent_pool import DEFAULTS, FIXED, TABLE, PoolView
from poolwright.arm.properties.names import known_names
from poolwright.arm.properties.table import Change, Wire
from poolwright.model.agent_pool import AGENT_POOL, AgentPoolStatus, ProvisioningState
from poolwright.model.errors import InvalidRequest
from poolwright.model.managed_cluster import ManagedClusterSpec
from poolwright.model.record import Stored
from poolwright.plan.admission import PoolRequest, Surroundings, admit_agent_pool

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
AROUND = Surroundings(CLUSTER, features=frozenset({"managedgpu"}))
VERSIONS = ("2026-08-01", "2026-08-02-preview")

SPECIAL = {
    # a value that goes with the other defaults of a pool, and what else it needs
    "vmSize": ("Standard_D4s_v5", {}),
    "osDiskSizeGB": (60, {}),
    "maxPods": (60, {}),
    "type": ("VirtualMachineScaleSets", {}),
    "maxCount": (5, {"enableAutoScaling": True, "minCount": 1}),
    "minCount": (1, {"enableAutoScaling": True, "maxCount": 5}),
    "enableAutoScaling": (True, {"minCount": 1, "maxCount": 5}),
    "orchestratorVersion": ("1.34", {}),
    "availabilityZones": (["1", "3"], {}),
    "nodeTaints": (["sku=gpu:NoSchedule"], {}),
    "nodeInitializationTaints": (["boot=yes:NoSchedule"], {}),
    "osType": ("Linux", {}),
    "osSKU": ("AzureLinux", {}),
    "scaleSetPriority": ("Regular", {}),
    "scaleSetEvictionPolicy": ("Deallocate", {"scaleSetPriority": "Spot"}),
    "spotMaxPrice": (0.25, {"scaleSetPriority": "Spot"}),
    "powerState.code": ("Stopped", {}),
    "upgradeSettings.maxSurge": ("33%", {}),
    "upgradeSettings.maxUnavailable": ("1", {}),
    "upgradeSettings.drainTimeoutInMinutes": (10, {}),
    "upgradeSettings.nodeSoakDurationInMinutes": (5, {}),
    "upgradeSettings.maxBlockedNodes": ("2", {}),
    "gpuInstanceProfile": ("MIG1g", {"vmSize": "Standard_NC24ads_A100_v4"}),
    "gpuProfile.driver": ("None", {"vmSize": "Standard_NC6s_v3"}),
    "gpuProfile.driverType": (
        "GRID",
        {"vmSize": "Standard_NC4as_T4_v3", "osType": "Windows", "osSKU": "Windows2022"},
    ),
    "gpuProfile.nvidia.managementMode": ("Managed", {"vmSize": "Standard_NC6s_v3"}),
    "gpuProfile.nvidia.migStrategy": (
        "None",
        {"vmSize": "Standard_NC24ads_A100_v4"},
    ),
    "gpuProfile.nvidia.driverMode": ("DRA", {"vmSize": "Standard_NC6s_v3"}),
    "gpuProfile.nvidia.migProfiles": (["MIG1g"], {"vmSize": "Standard_NC24ads_A100_v4"}),
    "gatewayProfile.publicIPPrefixSize": (30, {}),
    "virtualMachinesProfile": (
        {"scale": {"manual": [{"size": "Standard_D4s_v5", "count": 2}]}},
        {},
    ),
    "localDNSProfile": ({"mode": "Preferred", "state": "Enabled"}, {}),
    "nodeImageVersion": (None, {}),
}
BY_TYPE = {
    Wire.INSTALL_DRIVER: True,
    Wire.STRING: "x",
    Wire.INT: 1,
    Wire.BOOL: True,
    Wire.DOUBLE: 0.5,
    Wire.STRINGS: ["x"],
    Wire.MAP: {"x": "y"},
    Wire.OBJECT: {"x": "y"},
    Wire.OBJECTS: [{"x": "y"}],
}


def value_of(row):
    if row.path in SPECIAL:
        return SPECIAL[row.path]
    if row.enum:
        return row.enum[0], {}
    return BY_TYPE[row.type], {}


def nested(path, value):
    *parents, name = path.split(".")
    wire = {name: value}
    for parent in reversed(parents):
        wire = {parent: wire}
    return wire


def at(wire, path):
    for name in path.split("."):
        wire = wire.get(name, {}) if isinstance(wire, dict) else {}
    return wire


def merged(one, other):
    out = dict(one)
    for key, value in other.items():
        out[key] = merged(out[key], value) if isinstance(value, dict) and key in out else value
    return out


def round_trip(wire, version):
    reading = TABLE.read(wire, version)
    request = PoolRequest("np", reading.given, reading.accepted, FIXED, DEFAULTS)
    admitted = admit_agent_pool(request, None, AROUND)
    return TABLE.write(view(admitted.spec), version), admitted.spec


def view(spec):
    status = AgentPoolStatus(provisioning_state=ProvisioningState.SUCCEEDED)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    record = Stored(AGENT_POOL, "s", "np", "u", 1, 1, spec, status, now)
    return PoolView(record, "etag")


ROWS = [
    row for row in TABLE.rows if row.change is not Change.READ_ONLY and row.type is not Wire.PARENT
]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.path)
def test_every_row(row, version):
    value, needs = value_of(row)
    if value is None:
        return
    wire = merged(nested(row.path, value), needs)
    if not row.is_in(version):
        with pytest.raises(InvalidRequest) as refused:
            TABLE.read(wire, version)
        assert refused.value.code == "UnmarshalError"
        return
    shown, _ = round_trip(wire, version)
    assert at(shown, row.path) == value


@pytest.mark.parametrize("row", TABLE.rows, ids=lambda row: row.path)
def test_rows_say_what_they_do(row):
    assert row.effect
    assert row.source
    assert row.released or row.previewed


@pytest.mark.parametrize("table", [agent_pool.TABLE, managed_cluster.TABLE])
def test_paths_are_unique_per_version(table):
    for version in VERSIONS:
        paths = [row.path for row in table.visible(version)]
        assert len(paths) == len(set(paths))


def test_the_table_knows_every_published_name():
    published = set(known_names("agentPools", "2026-06-01"))
    ours = {row.path.split(".")[0] for row in TABLE.visible("2026-06-01")}
    assert published <= ours


def test_strictness_begins_in_2024():
    with pytest.raises(InvalidRequest):
        TABLE.read({"nonsense": 1}, "2024-01-01")
    assert TABLE.read({"nonsense": 1}, "2023-11-01").given == {}


LABEL = st.from_regex(r"[a-z]([a-z0-9.-]{0,20}[a-z0-9])?", fullmatch=True)
POOLS = st.fixed_dictionaries(
    {"count": st.integers(0, 1000)},
    optional={
        "vmSize": st.sampled_from(["Standard_DS2_v2", "standard_d4s_v5", "Standard_F8s_v2"]),
        "osDiskSizeGB": st.integers(30, 2048),
        "maxPods": st.integers(10, 250),
        "nodeLabels": st.dictionaries(LABEL, LABEL, max_size=3),
        "tags": st.dictionaries(LABEL, st.text("abc XYZ", max_size=9), max_size=3),
        "nodeTaints": st.lists(
            st.builds(
                "{}={}:{}".format,
                LABEL,
                LABEL,
                st.sampled_from(["NoSchedule", "NoExecute", "PreferNoSchedule"]),
            ),
            max_size=3,
            unique_by=lambda text: text.partition("=")[0],
        ),
        "scaleDownMode": st.sampled_from(["Delete", "Deallocate"]),
        "osSKU": st.sampled_from(["Ubuntu", "AzureLinux", "Ubuntu2404"]),
        "mode": st.just("User"),
        "upgradeSettings": st.fixed_dictionaries(
            {},
            optional={
                "maxSurge": st.one_of(
                    st.integers(1, 99).map(str), st.integers(1, 100).map("{}%".format)
                ),
                "drainTimeoutInMinutes": st.integers(5, 1440),
            },
        ),
        "availabilityZones": st.lists(st.sampled_from(["1", "2", "3"]), unique=True),
        "enableUltraSSD": st.booleans(),
    },
)


@given(POOLS, st.sampled_from(VERSIONS))
@settings(max_examples=60, deadline=None)
def test_what_was_said_is_shown_and_saying_it_again_changes_nothing(wire, version):
    shown, spec = round_trip(wire, version)
    for name, value in wire.items():
        if value in ({}, []):
            assert shown.get(name) in (None, {})
        else:
            assert at(shown, name) == value
    reading = TABLE.read(json.loads(json.dumps(shown)), version)
    again = admit_agent_pool(
        PoolRequest("np", reading.given, reading.accepted, FIXED, DEFAULTS), spec, AROUND
    )
    assert TABLE.write(view(again.spec), version) == shown
    assert again.spec.count == spec.count
    assert again.state is ProvisioningState.UPDATING
