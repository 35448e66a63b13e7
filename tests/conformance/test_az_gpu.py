"""Which GPU software a pool gets: the published table, asked for by the real az, seen by kubectl.

The gate is Kubernetes 1.36 of the pool; a pool below it stands in a cluster above it here.
"""

from __future__ import annotations

import json

import pytest

CLUSTER = "-g gpus --cluster-name c"
URL = (
    "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/gpus/providers"
    "/Microsoft.ContainerService/managedClusters/c/agentPools/{}?api-version=2026-01-02-preview"
)
FEATURE = "--namespace Microsoft.ContainerService -n ManagedGPUExperiencePreview"
V100 = "Standard_NC6s_v3"
ABOVE, BELOW = "1.36.3", "1.35.4"
LABEL = "kubernetes.azure.com/dcgm-exporter"  # on nodes whose pool is managed
EVERYTHING, DRIVER, NOTHING, REFUSED = "everything", "driver only", "nothing", "400"

# pool: driver, managementMode, Kubernetes version, what it gets
TABLE = {
    "im": ("Install", "Managed", ABOVE, EVERYTHING),
    "iu": ("Install", "Unmanaged", ABOVE, DRIVER),
    "ia": ("Install", None, ABOVE, EVERYTHING),
    "ib": ("Install", None, BELOW, DRIVER),
    "nm": ("None", "Managed", ABOVE, REFUSED),
    "nu": ("None", "Unmanaged", ABOVE, NOTHING),
    "na": ("None", None, ABOVE, REFUSED),
    "nb": ("None", None, BELOW, NOTHING),
    "um": (None, "Managed", ABOVE, EVERYTHING),
    "uu": (None, "Unmanaged", ABOVE, REFUSED),
    "ua": (None, None, ABOVE, EVERYTHING),
    "ub": (None, None, BELOW, DRIVER),
}
# pool: flag, managementMode, tag, what it gets below the gate
GATE = {
    "fnone": (True, None, False, DRIVER),
    "fapi": (True, "Managed", False, EVERYTHING),
    "fboth": (True, "Managed", True, EVERYTHING),
    "ftag": (True, None, True, EVERYTHING),
    "fun": (True, "Unmanaged", True, DRIVER),
    "xapi": (False, "Managed", False, REFUSED),
    "xtag": (False, None, True, DRIVER),
}


def put(az, name, version, driver=None, mode=None, *, is_tagged=False, **more):
    properties = {"count": 1, "vmSize": V100, "mode": "User", "orchestratorVersion": version}
    profile = {"driver": driver} if driver else {}
    if mode:
        profile["nvidia"] = {"managementMode": mode}
    if is_tagged:
        properties["tags"] = {"EnableManagedGPUExperience": "true"}
    body = {"properties": {**properties, "gpuProfile": profile or None, **more}}
    return az("rest --method put --url", URL.format(name), "--body", json.dumps(body), check=False)


def flag(az, wait_until, verb, *states):
    az(f"feature {verb} {FEATURE}")
    query = f"feature show {FEATURE} --query properties.state -o tsv"
    wait_until(lambda: az(query).out.strip() in states)


@pytest.fixture(scope="module")
def answers(az, wait_until):
    """What az printed for every pool; all that were accepted are there then."""
    az("group create -n gpus -l eastus")
    az(f"aks create -g gpus -n c -c 1 -k {ABOVE} --no-ssh-key")
    seen = {
        name: put(az, name, version, driver, mode)
        for name, (driver, mode, version, _) in TABLE.items()
    }
    for has_flag, verb, states in (
        (False, "unregister", ("NotRegistered", "Unregistered")),
        (True, "register", ("Registered",)),
    ):
        flag(az, wait_until, verb, *states)
        for name, (needs, mode, is_tagged, _) in GATE.items():
            if needs is not has_flag:
                continue
            driver = "Install" if mode == "Unmanaged" else None
            seen[name] = put(az, name, BELOW, driver, mode, is_tagged=is_tagged)
    az(f"aks nodepool add {CLUSTER} -n azbyo -c 1 -s {V100} --gpu-driver None --no-wait")
    az(
        f"aks nodepool add {CLUSTER} -n azmig -c 1 -s Standard_NC24ads_A100_v4 "
        "--gpu-instance-profile MIG2g --no-wait"
    )
    az(
        f"aks nodepool add {CLUSTER} -n aztag -c 1 -s {V100} -k {BELOW} "
        "--tags EnableManagedGPUExperience=true --no-wait"
    )
    list_them = f"aks nodepool list {CLUSTER} --query [].provisioningState"
    wait_until(lambda: set(az(list_them).json) == {"Succeeded"})
    yield seen
    az("group delete -n gpus --yes --no-wait")


@pytest.fixture(scope="module")
def installed(answers, kubectl_of):
    """What each pool's node has: one of the words above, and its allocatable."""
    return what_nodes_have(kubectl_of("gpus", "c"))


def what_nodes_have(kubectl):
    pods = kubectl("get pods -o json").json["items"]
    ready = [
        (pod["spec"]["nodeName"], pod["spec"]["containers"][0]["name"])
        for pod in pods
        if pod["status"]["phase"] == "Running"
    ]
    found = {}
    for node in kubectl("get nodes -o json").json["items"]:
        name = node["metadata"]["name"]
        conditions = {c["type"] for c in node["status"]["conditions"]}
        on_it = {container for where, container in ready if where == name}
        gpus = {k: v for k, v in node["status"]["allocatable"].items() if "nvidia" in k}
        labels = node["metadata"]["labels"]
        is_marked = labels.get(LABEL) == "enabled"
        if on_it == {"nvidia-device-plugin", "nvidia-dcgm-exporter"} and gpus and is_marked:
            word = EVERYTHING
        elif not on_it and not gpus and not is_marked:
            word = DRIVER if "GPUMissing" in conditions else NOTHING
        else:
            word = f"a mixture: {on_it}, {gpus}"
        vendor = "nvidia" if has_gpus(node) else None
        if labels.get("kubernetes.azure.com/accelerator") != vendor:
            word = f"a wrong label: {labels}"
        found[labels["agentpool"]] = (word, gpus)
    return found


def has_gpus(node):
    return node["metadata"]["labels"]["node.kubernetes.io/instance-type"].startswith("Standard_N")


@pytest.mark.parametrize(
    ("name", "gets"), [(name, row[-1]) for name, row in [*TABLE.items(), *GATE.items()]]
)
def test_what_a_pool_gets(answers, installed, name, gets):
    answer = answers[name]
    if gets == REFUSED:
        assert answer.code == 1
        assert "Bad Request" in answer.err
        assert name not in installed
    else:
        assert answer.code == 0, str(answer)
        assert installed[name] == (gets, {"nvidia.com/gpu": "1"} if gets == EVERYTHING else {})


def test_refusals_name_both_fields_and_the_way_out(answers):
    for name, way in (("nm", "remove gpuProfile.driver"), ("uu", "Install"), ("na", "Unmanaged")):
        text = answers[name].err
        assert "gpuProfile.driver" in text
        assert "gpuProfile.nvidia.managementMode" in text
        assert way in text
    assert '"code":"PreviewFeatureNotRegistered"' in answers["xapi"].err
    assert "az feature register --namespace Microsoft.ContainerService" in answers["xapi"].err


def test_what_was_declared_is_shown(az, answers):
    assert answers["im"].json["properties"]["gpuProfile"] == {
        "driver": "Install",
        "nvidia": {"managementMode": "Managed"},
    }
    assert az(f"aks nodepool show {CLUSTER} -n ia --query gpuProfile").json == {"driver": "Install"}
    assert az(f"aks nodepool show {CLUSTER} -n ua --query gpuProfile").out == ""
    assert az(f"aks nodepool show {CLUSTER} -n aztag --query tags").json == {
        "EnableManagedGPUExperience": "true"
    }


def test_what_az_itself_can_say(az, installed):
    assert installed["azbyo"] == (NOTHING, {})
    assert installed["aztag"] == (EVERYTHING, {"nvidia.com/gpu": "1"})
    word, gpus = installed["azmig"]
    assert (word, gpus) == (EVERYTHING, {"nvidia.com/gpu": "3"})
    shown = az(f"aks nodepool show {CLUSTER} -n azmig --query [gpuInstanceProfile,gpuProfile]").json
    assert shown == ["MIG2g", None]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (f"-s {V100} --gpu-instance-profile MIG1g", "agentPoolProfile.gpuInstanceProfile"),
        (f"-s {V100} --gpu-driver None --tags EnableManagedGPUExperience=true -k {BELOW}", "tag"),
        ("-s Standard_NC24ads_A100_v4 --gpu-instance-profile MIG9g", "MIG9g"),
        (f"-s {V100} --gpu-driver Maybe", "Maybe"),
    ],
)
def test_gpu_pools_that_cannot_be(az, answers, words, message):
    refused = az(f"aks nodepool add {CLUSTER} -n bad -c 1 {words}", check=False)
    assert (refused.code != 0, message in refused.err) == (True, True), str(refused)
    assert az(f"aks nodepool show {CLUSTER} -n bad", check=False).code == 3


@pytest.mark.parametrize(
    ("more", "target"),
    [
        ({"vmSize": "Standard_D4s_v3"}, "agentPoolProfile.gpuProfile.nvidia"),
        ({"osType": "Windows"}, "agentPoolProfile.gpuProfile.nvidia"),
        ({"vmSize": "Standard_NG8ads_V620_v1"}, "agentPoolProfile.gpuProfile.nvidia"),
    ],
)
def test_managed_only_on_linux_with_nvidia(az, answers, more, target):
    refused = put(az, "bad", ABOVE, None, "Managed", **more)
    assert (refused.code, f'"target":"{target}"' in refused.err) == (1, True), str(refused)


def test_declared_values_stay(az, answers):
    changed = az(f"aks nodepool update {CLUSTER} -n ib --gpu-driver None", check=False)
    assert (changed.code, "gpuProfile.driver" in changed.err) == (1, True), str(changed)
    moved = put(az, "im", ABOVE, "Install", "Unmanaged")
    assert (moved.code, "managementMode" in moved.err) == (1, True), str(moved)


def test_a_tag_that_comes_later_changes_nothing(az, answers, kubectl_of):
    az(f"aks nodepool update {CLUSTER} -n ub --tags EnableManagedGPUExperience=true")
    columns = "custom-columns=G:.status.allocatable.nvidia\\.com/gpu"
    gpus = kubectl_of("gpus", "c")("get nodes -l agentpool=ub --no-headers -o", columns)
    assert gpus.out.strip() == "<none>"


def test_an_upgrade_over_the_gate_brings_the_rest(az, answers, installed, kubectl_of, wait_until):
    """A pool that never declared a mode and has the driver; bringing one's own, or MIG, stays."""
    pools = {"over": (None, EVERYTHING), "overbyo": ("None", NOTHING)}
    for name, (driver, _) in pools.items():
        assert put(az, name, BELOW, driver).code == 0
    listed = f"aks nodepool list {CLUSTER} --query [?starts_with(name,'over')].provisioningState"
    wait_until(lambda: az(listed).json == ["Succeeded", "Succeeded"])
    kubectl = kubectl_of("gpus", "c")
    before = what_nodes_have(kubectl)
    assert (before["over"], before["overbyo"]) == ((DRIVER, {}), (NOTHING, {}))
    for name in pools:
        az(f"aks nodepool upgrade {CLUSTER} -n {name} -k {ABOVE} --yes --no-wait")
    wait_until(lambda: az(listed).json == ["Succeeded", "Succeeded"])
    after = what_nodes_have(kubectl)
    assert after["over"] == (EVERYTHING, {"nvidia.com/gpu": "1"})
    assert after["overbyo"] == (NOTHING, {})
    shown = az(
        f"aks nodepool show {CLUSTER} -n over --query [currentOrchestratorVersion,gpuProfile]"
    )
    assert shown.json == [ABOVE, None]
    told = kubectl("get events --field-selector reason=ManagedGPUEnabled -o json").json["items"]
    assert [event["involvedObject"]["name"] for event in told] == ["over"]
    assert "device plugin, DCGM exporter, health checks" in told[0]["message"]
