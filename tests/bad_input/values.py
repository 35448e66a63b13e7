"""Values that go with each property row: good ones with what they need beside them, bad ones."""

from __future__ import annotations

from typing import Any

from poolwright.arm.properties.table import Wire

A100 = {"vmSize": "Standard_NC24ads_A100_v4"}
V100 = {"vmSize": "Standard_NC6s_v3"}
SPOT = {"scaleSetPriority": "Spot"}
SCALING = {"enableAutoScaling": True, "minCount": 1, "maxCount": 5}

POOL: dict[str, list[tuple[Any, dict]]] = {
    "count": [(0, {}), (1, {}), (1000, {})],
    "vmSize": [("Standard_D4s_v5", {}), ("standard_d4S_v5", {}), ("Standard_NC6s_v3", {})],
    "osDiskSizeGB": [(30, {}), (60, {}), (2048, {})],
    "osDiskType": [("Managed", {})],
    "maxPods": [(10, {}), (60, {}), (250, {})],
    "type": [("VirtualMachineScaleSets", {})],
    "maxCount": [(5, SCALING), (1000, SCALING)],
    "minCount": [(1, SCALING), (0, SCALING), (5, {**SCALING, "count": 5})],
    "enableAutoScaling": [(True, SCALING), (False, {})],
    "scaleDownMode": [("Delete", {}), ("Deallocate", {})],
    "powerState.code": [("Running", {}), ("Stopped", {})],
    "orchestratorVersion": [("1.34", {})],
    "mode": [("User", {}), ("System", {})],
    "availabilityZones": [(["1"], {}), (["1", "3"], {})],
    "nodeLabels": [({"team": "ai"}, {}), ({"example.com/a": ""}, {})],
    "nodeTaints": [(["sku=gpu:NoSchedule"], {}), (["a=b:NoExecute", "c:PreferNoSchedule"], {})],
    "nodeInitializationTaints": [(["boot=yes:NoSchedule"], {})],
    "tags": [({"a": "b"}, {}), ({"ü": "ß日本"}, {})],
    "scaleSetPriority": [("Regular", {}), ("Spot", {})],
    "scaleSetEvictionPolicy": [("Deallocate", SPOT), ("Delete", SPOT)],
    "spotMaxPrice": [(0.25, SPOT), (-1, SPOT)],
    "osType": [("Linux", {})],
    "osSKU": [("Ubuntu", {}), ("AzureLinux", {})],
    "upgradeSettings.maxSurge": [("33%", {}), ("1", {}), ("100%", {})],
    "upgradeSettings.maxUnavailable": [("1", {}), ("25%", {})],
    "upgradeSettings.drainTimeoutInMinutes": [(10, {}), (1440, {})],
    "upgradeSettings.nodeSoakDurationInMinutes": [(5, {}), (0, {}), (30, {})],
    "upgradeSettings.maxBlockedNodes": [("2", {}), ("50%", {})],
    "gpuInstanceProfile": [("MIG1g", A100), ("MIG3g", A100)],
    "gpuProfile.installGPUDriver": [(True, V100), (False, V100)],
    "gpuProfile.driver": [("None", V100), ("Install", V100)],
    "gpuProfile.driverType": [
        ("GRID", {"vmSize": "Standard_NC4as_T4_v3", "osType": "Windows", "osSKU": "Windows2022"})
    ],
    "gpuProfile.nvidia": [({}, V100)],
    "gpuProfile.nvidia.managementMode": [
        ("Managed", V100),
        ("Unmanaged", {**V100, "gpuProfile": {"driver": "Install"}}),
    ],
    "gpuProfile.nvidia.migStrategy": [("None", A100)],
    "gpuProfile.nvidia.driverMode": [("DevicePlugin", V100), ("DRA", V100)],
    "gpuProfile.nvidia.migProfiles": [(["MIG1g"], A100)],
    "gatewayProfile.publicIPPrefixSize": [(28, {}), (31, {})],
    "virtualMachinesProfile": [
        (
            {"scale": {"manual": [{"size": "Standard_D4s_v5", "count": 2}]}},
            {"type": "VirtualMachines", "count": None, "vmSize": None},
        )
    ],
    "localDNSProfile": [({"mode": "Preferred", "state": "Enabled"}, {})],
    "nodeImageVersion": [],
    "creationData": [],
    "upgradeStrategy": [("Rolling", {})],  # BlueGreen: tests/arm_aks
}
POOL_OTHER: dict[str, tuple[Any, dict]] = {
    # another value than what the pool of `needs` has
    "maxPods": (60, {}),
    "kubeletConfig": ({"cpuManagerPolicy": "static"}, {}),
    "linuxOSConfig": ({"swapFileSizeMB": 1500}, {}),
    "spotMaxPrice": (0.25, SPOT),
    "osDiskType": ("Ephemeral", {}),
    "type": ("AvailabilitySet", {}),
    "osType": ("Windows", {}),
    "scaleSetPriority": ("Spot", {}),
    "scaleSetEvictionPolicy": ("Deallocate", SPOT),
    "gpuProfile.nvidia.managementMode": (
        "Unmanaged",
        {**V100, "gpuProfile": {"driver": "Install"}},
    ),
}
UNTESTED_ACCEPTED = {
    "nodeImageVersion": "on creation it names a rollback, which a new pool has not",
    "creationData": "needs a snapshot: tests/arm_aks",
}
"""Rows without a good value that stands alone, with the reason."""

BY_TYPE: dict[Wire, list[Any]] = {
    Wire.INSTALL_DRIVER: [True, False],
    Wire.STRING: ["x", "x" * 200, "ünï 日本 🚀"],
    Wire.INT: [1, 7],
    Wire.BOOL: [True, False],
    Wire.DOUBLE: [0.5, 2],
    Wire.STRINGS: [["x"], ["x", "y"]],
    Wire.MAP: [{"x": "y"}],
    Wire.OBJECT: [{"x": "y"}, {"x": [1, {"y": None}]}],
    Wire.OBJECTS: [[{"x": "y"}]],
    Wire.PARENT: [{}],
}
WRONG: dict[Wire, list[Any]] = {
    Wire.INSTALL_DRIVER: ["true", 1, [], {}],
    Wire.STRING: [7, 1.5, True, [], {}],
    Wire.INT: ["7", 1.5, True, [], {}, 2**31, -(2**31) - 1, 10**18],
    Wire.BOOL: ["true", 1, 0, [], {}],
    Wire.DOUBLE: ["0.5", True, [], {}],
    Wire.STRINGS: ["x", 1, True, {}, [1], ["x", {}]],
    Wire.MAP: ["x", 1, True, [], {"x": 1}, {"x": {}}],
    Wire.OBJECT: ["x", 1, True, []],
    Wire.OBJECTS: ["x", 1, True, {}, ["x"], [[]]],
    Wire.PARENT: ["x", 1, True, []],
}

CLUSTER: dict[str, list[tuple[Any, dict]]] = {
    "kubernetesVersion": [("1.35", {}), ("1.34", {})],
    "dnsPrefix": [("x", {}), ("a-b-c", {})],
    "agentPoolProfiles": [],
    "networkProfile.networkPlugin": [("azure", {}), ("kubenet", {}), ("none", {})],
    "networkProfile.networkPluginMode": [
        ("overlay", {"networkProfile": {"networkPlugin": "azure"}})
    ],
    "networkProfile.ipFamilies": [(["IPv4"], {}), (["IPv4", "IPv6"], {})],
    "autoScalerProfile": [({"scan-interval": "20s"}, {})],
    "identityProfile": [({"kubeletidentity": {"resourceId": "/x"}}, {})],
}
CLUSTER_READS_DIFFERENTLY = {
    "servicePrincipalProfile.secret": "a secret is never shown",
    "windowsProfile": "its password is not shown",
    "autoScalerProfile": "reads have every option",
    "agentPoolProfiles": "reads have every member",
    "networkProfile.loadBalancerProfile.effectiveOutboundIPs": "is what is in effect",
}
