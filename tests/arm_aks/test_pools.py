"""Agent pools through the API: PUT semantics, states, refusals, conflicts, ETags, actions."""

import pytest

from arm_aks.world import CLUSTER, PREVIEW, SUBSCRIPTION, VERSION, run
from poolwright.model.cluster_key import ClusterKey
from poolwright.model.machine import Bootstrap, Machine, MachinePhase

SCOPE = ClusterKey.of(SUBSCRIPTION, "rg1", "c1").arm_scope


def test_life_of_a_pool():
    async def story(world):
        await world.cluster()
        made = await world.put_pool("np", {"count": 3, "vmSize": "Standard_DS2_v2"}, settle=False)
        assert made.status == 201
        assert made.body["id"].startswith(f"/subscriptions/{SUBSCRIPTION}/resourcegroups/rg1/")
        assert made.body["type"] == "Microsoft.ContainerService/managedClusters/agentPools"
        assert made.properties["provisioningState"] == "Creating"
        assert made.headers["azure-asyncoperation"].startswith("https://localhost:8443/subscr")
        assert made.headers["retry-after"] == "1"
        await world.settle()
        read = await world.get_pool("NP")
        assert read.properties["provisioningState"] == "Succeeded"
        assert read.properties["eTag"] != made.properties["eTag"]
        listed = await world.get(f"{CLUSTER}/agentPools")
        assert [pool["name"] for pool in listed.body["value"]] == ["nodepool1", "np"]
        gone = await world.delete(f"{CLUSTER}/agentPools/np")
        assert (gone.status, gone.body) == (202, None)
        assert "location" in gone.headers
        assert (await world.get_pool("np")).properties["provisioningState"] == "Deleting"
        await world.settle()
        assert (await world.get_pool("np")).status == 404
        assert (await world.delete(f"{CLUSTER}/agentPools/np")).status == 204

    run(story)


STATES = [
    # what changes, the state that shows (recorded from the service)
    ({}, "Updating"),
    ({"tags": {"a": "b"}}, "Updating"),
    ({"nodeLabels": {"x": "y"}}, "Updating"),
    ({"upgradeSettings": {"maxSurge": "50%"}}, "Updating"),
    ({"enableAutoScaling": True, "minCount": 1, "maxCount": 5}, "Updating"),
    ({"count": 4}, "Scaling"),
    ({"orchestratorVersion": "1.35.4"}, "Upgrading"),
    ({"enableFIPS": True}, "Upgrading"),
    ({"osSKU": "AzureLinux"}, "Upgrading"),
    ({"powerState": {"code": "Stopped"}}, "Stopping"),
]


@pytest.mark.parametrize(("change", "state"), STATES)
def test_states_of_updates(change, state):
    async def story(world):
        await world.cluster()
        await world.put_pool("np", {"count": 2, "orchestratorVersion": "1.34.2"})
        before = await world.get_pool("np")
        body = {k: v for k, v in before.properties.items() if k not in {"provisioningState"}}
        answer = await world.put_pool("np", body | change)
        assert (answer.status, answer.properties["provisioningState"]) == (200, state)

    run(story)


def test_stop_and_start_restore_the_count():
    async def story(world):
        await world.cluster()
        await world.put_pool("np", {"count": 2})
        stopped = await world.put_pool("np", {"powerState": {"code": "Stopped"}})
        assert stopped.properties["count"] == 0
        read = await world.get_pool("np")
        assert read.properties["powerState"] == {"code": "Stopped"}
        back = {**read.properties, "powerState": {"code": "Running"}}
        started = await world.put_pool("np", back)
        assert started.properties["provisioningState"] == "Starting"
        assert started.properties["count"] == 2

    run(story)


def test_same_values_change_nothing():
    async def story(world):
        await world.cluster()
        await world.put_pool("np", {"count": 2, "vmSize": "standard_ds2_v2", "osDiskSizeGB": 60})
        before = (await world.get_pool("np")).properties
        assert before["vmSize"] == "standard_ds2_v2"
        answer = await world.put_pool("np", before)
        assert answer.status == 200
        after = (await world.get_pool("np")).properties
        assert {**before, "eTag": 0} == {**after, "eTag": 0}

    run(story)


def test_absent_scalars_stay_and_collections_are_replaced():
    async def story(world):
        await world.cluster()
        await world.put_pool(
            "np",
            {
                "count": 2,
                "maxPods": 50,
                "scaleDownMode": "Deallocate",
                "tags": {"a": "b"},
                "nodeTaints": ["x=y:NoSchedule"],
                "upgradeSettings": {"maxSurge": "3", "drainTimeoutInMinutes": 10},
            },
        )
        answer = await world.put_pool(
            "np", {"upgradeSettings": {"maxSurge": "4"}, "nodeTaints": []}
        )
        assert answer.properties["count"] == 2
        assert answer.properties["maxPods"] == 50
        assert answer.properties["scaleDownMode"] == "Deallocate"
        expected = {"maxSurge": "4", "drainTimeoutInMinutes": 10}
        assert answer.properties["upgradeSettings"] == expected
        assert "tags" not in answer.properties
        assert "nodeTaints" not in answer.properties

    run(story)


def test_autoscaler_bounds_go_with_it():
    async def story(world):
        await world.cluster()
        on = {"count": 2, "enableAutoScaling": True, "minCount": 1, "maxCount": 101}
        assert (await world.put_pool("np", on)).status == 201
        kept = await world.put_pool("np", {"count": 7})
        assert kept.properties["count"] == 2  # the autoscaler owns it
        off = await world.put_pool("np", {"enableAutoScaling": False})
        assert "minCount" not in off.properties
        assert "maxCount" not in off.properties

    run(story)


REFUSED = [
    # pool name, properties, code, target
    ("Bad", {}, "InvalidParameter", "agentPoolProfile.name"),
    ("toolongname12", {}, "InvalidParameter", "agentPoolProfile.name"),
    ("1abc", {}, "InvalidParameter", "agentPoolProfile.name"),
    ("aksmanagedap", {}, "InvalidParameter", "agentPoolProfile.name"),
    ("winpool7", {"osType": "Windows"}, "InvalidParameter", "agentPoolProfile.name"),
    ("np", {"count": -1}, "InvalidParameter", "agentPoolProfile.count"),
    ("np", {"count": 1001}, "InvalidParameter", "agentPoolProfile.count"),
    ("np", {"count": 0, "mode": "System"}, "InvalidParameter", "agentPoolProfile.count"),
    ("np", {"count": "3"}, "UnmarshalError", "properties.count"),
    ("np", {"count": 1.5}, "UnmarshalError", "properties.count"),
    ("np", {"count": True}, "UnmarshalError", "properties.count"),
    ("np", {"nodeTaints": "a=b:NoSchedule"}, "UnmarshalError", "properties.nodeTaints"),
    ("np", {"nodeLabels": {"a": 1}}, "UnmarshalError", "properties.nodeLabels"),
    ("np", {"upgradeSettings": []}, "UnmarshalError", "properties.upgradeSettings"),
    ("np", {"nonsense": 1}, "UnmarshalError", "nonsense"),
    ("np", {"upgradeSettings": {"nonsense": 1}}, "UnmarshalError", "nonsense"),
    ("np", {"kubeletConfig": {"nonsense": 1}}, "UnmarshalError", "nonsense"),
    ("np", {"vmSize": "Standard_Nope"}, "VMSizeNotSupported", "agentPoolProfile.vmSize"),
    ("np", {"vmSize": "Standard_DS1_v2"}, "BadRequest", "agentPoolProfile.vmSize"),
    ("np", {"mode": "system"}, "InvalidParameter", "agentPoolProfile.mode"),
    ("np", {"osSKU": "Debian"}, "InvalidParameter", "agentPoolProfile.osSKU"),
    ("np", {"osSKU": "Windows2022"}, "InvalidParameter", "agentPoolProfile.osSKU"),
    ("np", {"type": "AvailabilitySet"}, "InvalidAgentPoolType", "agentPoolProfile.type"),
    ("np", {"maxPods": 9}, "InvalidParameter", "agentPoolProfile.maxPods"),
    ("np", {"maxPods": 251}, "InvalidParameter", "agentPoolProfile.maxPods"),
    ("np", {"mode": "System", "maxPods": 20}, "InvalidParameter", "agentPoolProfile.maxPods"),
    ("np", {"osDiskSizeGB": 4096}, "InvalidParameter", "agentPoolProfile.osDiskSizeGB"),
    ("np", {"osDiskSizeGB": 10}, "InvalidParameter", "agentPoolProfile.osDiskSizeGB"),
    ("np", {"availabilityZones": ["7"]}, "InvalidParameter", "agentPoolProfile.availabilityZones"),
    ("np", {"nodeTaints": ["nope"]}, "InvalidParameter", "agentPoolProfile.nodeTaints"),
    ("np", {"nodeTaints": ["a=b:Never"]}, "InvalidParameter", "agentPoolProfile.nodeTaints"),
    (
        "np",
        {"nodeTaints": ["a=b:NoSchedule", "a=c:NoSchedule"]},
        "InvalidParameter",
        "agentPoolProfile.nodeTaints",
    ),
    (
        "np",
        {"mode": "System", "nodeTaints": ["a=b:NoSchedule"]},
        "SystemPoolHasRestrictedTaint",
        "agentPoolProfile.nodeTaints",
    ),
    ("np", {"nodeLabels": {"-x": "y"}}, "InvalidParameter", "agentPoolProfile.nodeLabels"),
    ("np", {"nodeLabels": {"x": "y z"}}, "InvalidParameter", "agentPoolProfile.nodeLabels"),
    (
        "np",
        {"nodeLabels": {"kubernetes.azure.com/x": "y"}},
        "InvalidParameter",
        "agentPoolProfile.nodeLabels",
    ),
    ("np", {"enableAutoScaling": True, "minCount": 1}, "InvalidParameter", "properties.maxCount"),
    (
        "np",
        {"enableAutoScaling": True, "minCount": 5, "maxCount": 3},
        "InvalidParameter",
        "agentPoolProfile.minCount",
    ),
    (
        "np",
        {"count": 9, "enableAutoScaling": True, "minCount": 1, "maxCount": 3},
        "InvalidParameter",
        "agentPoolProfile.count",
    ),
    (
        "np",
        {"upgradeSettings": {"maxSurge": "101%"}},
        "InvalidParameter",
        "agentPoolProfile.upgradeSettings.maxSurge",
    ),
    (
        "np",
        {"upgradeSettings": {"maxSurge": "0"}},
        "InvalidParameter",
        "agentPoolProfile.upgradeSettings.maxSurge",
    ),
    (
        "np",
        {"mode": "System", "upgradeSettings": {"maxUnavailable": "1"}},
        "InvalidParameter",
        "agentPoolProfile.upgradeSettings.maxUnavailable",
    ),
    (
        "np",
        {"upgradeSettings": {"drainTimeoutInMinutes": 1}},
        "InvalidParameter",
        "agentPoolProfile.upgradeSettings.drainTimeoutInMinutes",
    ),
    (
        "np",
        {"upgradeSettings": {"nodeSoakDurationInMinutes": 31}},
        "InvalidParameter",
        "agentPoolProfile.upgradeSettings.nodeSoakDurationInMinutes",
    ),
    (
        "np",
        {"orchestratorVersion": "1.99.0"},
        "AgentPoolK8sVersionNotSupported",
        "agentPoolProfile.orchestratorVersion",
    ),
    (
        "np",
        {"orchestratorVersion": "1.36.1"},
        "NodePoolMcVersionIncompatible",
        "agentPoolProfile.orchestratorVersion",
    ),
    (
        "np",
        {"mode": "System", "scaleSetPriority": "Spot"},
        "InvalidParameter",
        "agentPoolProfile.scaleSetPriority",
    ),
    (
        "np",
        {"scaleSetPriority": "Spot", "spotMaxPrice": -2},
        "InvalidParameter",
        "agentPoolProfile.spotMaxPrice",
    ),
    ("np", {"localDNSProfile": {}}, "InvalidParameter", "localDNSProfile.mode"),
    (
        "np",
        {"type": "VirtualMachines"},
        "InvalidParameter",
        "properties.virtualMachinesProfile.scale",
    ),
    (
        "np",
        {
            "type": "VirtualMachines",
            "virtualMachinesProfile": {
                "scale": {"autoscale": [{"size": "Standard_D2s_v3", "minCount": 1, "maxCount": 3}]}
            },
        },
        "InvalidParameter",
        "agentPoolProfile.virtualMachinesProfile.scale.autoscale",
    ),
    (
        "np",
        {
            "type": "VirtualMachines",
            "enableAutoScaling": True,
            "minCount": 1,
            "maxCount": 3,
            "virtualMachinesProfile": {
                "scale": {"manual": [{"size": "Standard_D2s_v3", "count": 1}]}
            },
        },
        "InvalidParameter",
        "agentPoolProfile.enableAutoScaling",
    ),
    (
        "np",
        {"tags": {"SkipGPUDriverInstall": "true"}},
        "InvalidParameter",
        "agentPoolProfile.tags",
    ),
]


@pytest.mark.parametrize(("name", "properties", "code", "target"), REFUSED)
def test_bad_pools_are_refused_and_change_nothing(name, properties, code, target):
    async def story(world):
        await world.cluster()
        before = await world.store.revision(SCOPE)
        answer = await world.put_pool(name, properties)
        assert (answer.status, answer.body["code"]) == (400, code), answer
        assert answer.body["target"] == target
        assert answer.body["message"]
        assert list(answer.body) == ["code", "details", "message", "subcode", "target"]
        assert await world.store.revision(SCOPE) == before

    run(story)


FIXED = [
    ("vmSize", "Standard_D4s_v5"),
    ("osDiskSizeGB", 256),
    ("osDiskType", "Ephemeral"),
    ("maxPods", 40),
    ("osType", "Windows"),
    ("availabilityZones", ["1"]),
    ("scaleSetPriority", "Spot"),
    ("enableNodePublicIP", True),
    ("vnetSubnetID", "/subscriptions/x"),
    ("type", "VirtualMachines"),
    ("gpuInstanceProfile", "MIG1g"),
    ("enableEncryptionAtHost", True),
    ("kubeletConfig", {"podMaxPids": 100}),
]


@pytest.mark.parametrize(("name", "value"), FIXED)
def test_immutable_properties(name, value):
    async def story(world):
        await world.cluster()
        await world.put_pool("np", {"count": 1})
        answer = await world.put_pool("np", {"count": 1, name: value})
        assert (answer.status, answer.body["code"]) == (400, "PropertyChangeNotAllowed")
        assert answer.body["message"] == f"Changing property 'properties.{name}' is not allowed."
        assert answer.body["target"] == f"properties.{name}"

    run(story)


def test_upgrade_steps():
    async def story(world):
        await world.cluster(properties={"kubernetesVersion": "1.35.4"})
        await world.put_pool("np", {"count": 1, "orchestratorVersion": "1.33"})
        read = await world.get_pool("np")
        assert read.properties["orchestratorVersion"] == "1.33"
        assert read.properties["currentOrchestratorVersion"] == "1.33.7"
        jump = await world.put_pool("np", {"orchestratorVersion": "1.35"})
        assert jump.body["code"] == "AgentPoolUpgradeVersionNotAllowed"
        same = await world.put_pool("np", {"orchestratorVersion": "1.33"})
        assert same.properties["provisioningState"] == "Updating"
        assert (await world.put_pool("np", {"orchestratorVersion": "1.34"})).status == 200
        down = await world.put_pool("np", {"orchestratorVersion": "1.33.7"})
        assert down.body["code"] == "AgentPoolUpgradeVersionNotAllowed"
        profile = await world.get(f"{CLUSTER}/agentPools/np/upgradeProfiles/default")
        offered = [one["kubernetesVersion"] for one in profile.properties["upgrades"]]
        assert offered == ["1.35.1", "1.35.4"]
        recent = profile.properties["recentlyUsedVersions"]
        assert recent[0]["orchestratorVersion"] == "1.33.7"

    run(story)


def test_one_write_at_a_time():
    async def story(world):
        await world.cluster()
        await world.put_pool("np", {"count": 1})
        await world.put_pool("np", {"count": 2}, settle=False)
        busy = await world.put_pool("np", {"count": 3}, settle=False)
        assert (busy.status, busy.body["code"]) == (409, "OperationNotAllowed")
        assert "Another agentpool operation (np - Scaling) is in progress" in busy.body["message"]
        assert "retry-after" not in busy.headers
        other = await world.put_pool("np2", {"count": 1}, settle=False)
        assert other.status == 201
        cluster = (await world.get(CLUSTER)).body
        assert (await world.put(CLUSTER, cluster)).status == 409
        # DELETE overrides, and the operation that ran ends Canceled.
        running = busy
        gone = await world.delete(f"{CLUSTER}/agentPools/np")
        assert gone.status == 202
        assert running.status == 409

    run(story)


def test_delete_cancels_the_running_operation():
    async def story(world):
        await world.cluster()
        made = await world.put_pool("np", {"count": 1}, settle=False)
        poll = made.headers["azure-asyncoperation"].removeprefix("https://localhost:8443")
        path, _, query = poll.partition("?api-version=2026-06-01&")
        assert (await world.delete(f"{CLUSTER}/agentPools/np")).status == 202
        answer = await world.get(f"{path}?{query}")
        assert answer.body["status"] == "Canceled"
        assert answer.body["error"]["code"] == "Canceled"

    run(story)


def test_etags():
    async def story(world):
        await world.cluster()
        path = f"{CLUSTER}/agentPools/np"
        body = {"properties": {"count": 1}}
        for headers, status in [
            ({"If-Match": "*"}, 412),
            ({"If-Match": '"xyz"'}, 412),
            ({"If-None-Match": "abc"}, 400),
            ({"If-None-Match": "*"}, 201),
        ]:
            assert (await world.put(path, body, headers=headers)).status == status
        await world.settle()
        etag = (await world.get_pool("np")).properties["eTag"]
        for headers, status in [
            ({"If-None-Match": "*"}, 412),
            ({"If-Match": '"xyz"'}, 412),
            ({"If-Match": "*", "If-None-Match": "*"}, 400),
            ({"If-Match": f'"{etag}"'}, 200),
        ]:
            answer = await world.put(path, body, headers=headers)
            assert answer.status == status
            if status == 412:
                assert answer.body["code"] == "PreConditionFailed"
        await world.settle()
        stale = {"If-Match": f'"{etag}"'}
        assert (await world.call("DELETE", path, headers=stale)).status == 412

    run(story)


def test_system_pools_are_kept():
    async def story(world):
        await world.cluster()
        last = await world.delete(f"{CLUSTER}/agentPools/nodepool1")
        assert (last.status, last.body["code"]) == (400, "OperationNotAllowed")
        assert last.body["message"] == "There has to be at least one agent pool."
        user = await world.put_pool("nodepool1", {"count": 1, "mode": "User"})
        assert (user.status, user.body["code"]) == (400, "BadRequest")
        assert user.body["message"] == "Must define at least one system pool."
        stop = await world.put_pool("nodepool1", {"powerState": {"code": "Stopped"}})
        assert stop.status == 400
        await world.put_pool("sys2", {"count": 1, "mode": "System"})
        assert (await world.delete(f"{CLUSTER}/agentPools/nodepool1")).status == 202

    run(story)


def test_spot_pools():
    async def story(world):
        await world.cluster()
        answer = await world.put_pool("spot", {"scaleSetPriority": "spot", "spotMaxPrice": 0.5})
        assert answer.properties["scaleSetPriority"] == "Spot"
        assert answer.properties["scaleSetEvictionPolicy"] == "Delete"
        assert answer.properties["spotMaxPrice"] == 0.5
        taint = "kubernetes.azure.com/scalesetpriority=spot:NoSchedule"
        assert answer.properties["nodeTaints"] == [taint]
        again = await world.put_pool("spot", {"count": 2, "nodeTaints": ["a=b:NoSchedule"]})
        assert again.properties["nodeTaints"] == ["a=b:NoSchedule", taint]

    run(story)


def test_windows_gpu_pools_read_back_the_driver_type():
    async def story(world):
        await world.cluster()
        body = {"osType": "Windows", "vmSize": "Standard_NC4as_T4_v3"}
        answer = await world.put_pool("win", body, version=PREVIEW)
        profile = answer.properties["gpuProfile"]
        assert profile["driverType"] == "CUDA"
        grid = {**body, "gpuProfile": {"driverType": "GRID"}}
        await world.put_pool("win2", grid, version=PREVIEW)
        later = await world.put_pool("win2", {"count": 2}, version=PREVIEW)
        assert later.properties["gpuProfile"]["driverType"] == "GRID"

    run(story)


def test_virtual_machines_pools():
    async def story(world):
        await world.cluster()
        scale = {"manual": [{"size": "Standard_D2s_v3", "count": 2}]}
        body = {"type": "VirtualMachines", "virtualMachinesProfile": {"scale": scale}}
        made = await world.put_pool("vms", body)
        assert made.status == 201
        assert "count" not in made.properties
        assert "vmSize" not in made.properties
        assert made.properties["virtualMachineNodesStatus"] == scale["manual"]
        wider = {"scale": {"manual": [{"size": "Standard_D2s_v3", "count": 3}]}}
        changed = await world.put_pool("vms", {"virtualMachinesProfile": wider})
        assert changed.properties["provisioningState"] == "Scaling"
        assert changed.properties["virtualMachinesProfile"] == wider

    run(story)


def machine(world, pool, name, vm_size):
    now = world.clock.now()
    return Machine(
        cluster=ClusterKey.of(SUBSCRIPTION, "rg1", "c1"),
        pool=pool,
        name=name,
        uid=name,
        region="eastus",
        vm_size=vm_size,
        phase=MachinePhase.RUNNING,
        phase_since=now.world,
        created_at=now.wall,
        generation=1,
        bootstrap=Bootstrap("1.35.4", "image"),
    )


def sizes(*entries):
    manual = [{"size": size, "count": count} for size, count in entries]
    return {"type": "VirtualMachines", "virtualMachinesProfile": {"scale": {"manual": manual}}}


@pytest.mark.parametrize(
    "entries",
    [
        [("Standard_D2s_v3", 1), ("standard_d2s_v3", 1)],
        [("Standard_D2s_v3", -1)],
        [("Standard_D2s_v3", 1), ("Standard_NC4as_T4_v3", 1)],
        [("Standard_D2s_v3", 1), ("Standard_D2ps_v5", 1)],
        [("Standard_D2s_v3", 1), ("Standard_Nope", 1)],
        [(f"Standard_D{n}s_v3", 1) for n in (2, 4, 8, 16, 32, 64)],
    ],
)
@pytest.mark.parametrize("is_update", [False, True])
def test_sizes_that_do_not_go_together(entries, is_update):
    async def story(world):
        await world.cluster()
        if is_update:
            await world.put_pool("vms", sizes(("Standard_D2s_v3", 1)))
        answer = await world.put_pool("vms", sizes(*entries))
        assert (answer.status, answer.body["code"]) == (400, "InvalidParameter")
        assert answer.body["target"].endswith("virtualMachinesProfile.scale")

    run(story)


def test_deleting_a_machine_takes_one_of_its_size():
    async def story(world):
        await world.cluster()
        await world.put_pool("vms", sizes(("Standard_D2s_v3", 2), ("Standard_D4s_v3", 1)))
        world.machines.machines = [
            machine(world, "vms", "aks-vms-1-vmss000000", "Standard_D2s_v3"),
            machine(world, "vms", "aks-vms-1-vmss000002", "Standard_D4s_v3"),
        ]
        path = f"{CLUSTER}/agentPools/vms/deleteMachines"
        answer = await world.post(path, {"machineNames": ["aks-vms-1-vmss000002"]})
        assert answer.status == 202
        profile = (await world.get_pool("vms")).properties["virtualMachinesProfile"]
        assert profile["scale"]["manual"] == [
            {"size": "Standard_D2s_v3", "count": 2},
            {"size": "Standard_D4s_v3", "count": 0},
        ]

    run(story)


def test_local_dns_is_filled_in():
    async def story(world):
        await world.cluster()
        made = await world.put_pool("np", {"localDNSProfile": {"mode": "required"}})
        profile = made.properties["localDNSProfile"]
        assert profile["mode"] == "Required"
        assert set(profile["kubeDNSOverrides"]) == {".", "cluster.local"}
        assert profile["vnetDNSOverrides"]["."]["forwardDestination"] == "VnetDNS"
        off = await world.put_pool("np", {"localDNSProfile": {"mode": "Disabled"}})
        assert set(off.properties["localDNSProfile"]["kubeDNSOverrides"]) == {".", "cluster.local"}
        bad = await world.put_pool("np", {"localDNSProfile": {"mode": "Sometimes"}})
        assert "value Invalid is not allowed" in bad.body["message"]

    run(story)


def test_patch_changes_only_the_count():
    async def story(world):
        await world.cluster()
        await world.put_pool("np", {"count": 1, "tags": {"a": "b"}, "nodeLabels": {"x": "y"}})
        path = f"{CLUSTER}/agentPools/np"
        body = {"properties": {"count": 2}}
        answer = await world.call("PATCH", path, body, version=PREVIEW)
        assert answer.status == 200
        assert answer.properties["provisioningState"] == "Scaling"
        assert answer.properties["tags"] == {"a": "b"}
        assert answer.properties["nodeLabels"] == {"x": "y"}
        other = await world.call("PATCH", path, {"properties": {"mode": "User"}}, version=PREVIEW)
        assert other.body["code"] == "UnmarshalError"
        assert (await world.call("PATCH", path, body, version=VERSION)).status == 400

    run(story)


def test_limits_of_2019():
    async def story(world):
        pools = [{"name": "nodepool1", "count": 1, "mode": "System"}]
        made = await world.cluster(properties={"kubernetesVersion": "1.12.6"}, pools=pools)
        first = made.properties["agentPoolProfiles"][0]
        assert (first["osDiskSizeGB"], first["maxPods"]) == (100, 110)
        assert first["orchestratorVersion"] == "1.12.6"
        second = await world.put_pool("mynodepool", {"count": 3})
        assert second.properties["orchestratorVersion"] == "1.12.6"
        ahead = await world.put_pool("mynodepool", {"count": 3, "orchestratorVersion": "1.12.7"})
        assert ahead.status == 200
        many = await world.put_pool("big", {"count": 401})
        assert "maxCount:400" in many.body["message"]
        for index in range(6):
            assert (await world.put_pool(f"p{index}", {"count": 1})).status == 201
        assert (await world.put_pool("p9", {"count": 1})).status == 400
        gpu = {"vmSize": "Standard_NC6"}
        await world.delete(f"{CLUSTER}/agentPools/p0")
        await world.settle()
        retired = await world.put_pool("gpunodepool", gpu)
        assert retired.status == 201
        assert "retired" in retired.headers["warning"]

    run(story)


def test_answers_are_kept_until_the_pool_moves():
    async def story(world):
        await world.cluster()
        await world.put_pool("np", {"count": 1})
        assert (await world.get_pool("np")).body == (await world.get_pool("np")).body
        await world.put_pool("np", {"count": 2})
        assert (await world.get_pool("np")).properties["count"] == 2

    run(story)
