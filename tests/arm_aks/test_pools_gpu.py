"""Managed GPU through the API: what is accepted, stored and shown, by api-version."""

import pytest

from arm_aks.world import CLUSTER, NEWEST, PREVIEW, run
from poolwright.model.agent_pool import AGENT_POOL
from poolwright.model.cluster_key import ClusterKey
from poolwright.model.gpu import InstallProfile

V100 = "Standard_NC6s_v3"
SCOPE = ClusterKey.of("11111111-1111-1111-1111-111111111111", "rg1", "c1").arm_scope


async def stored(world, name="gpu"):
    return (await world.store.get(SCOPE, AGENT_POOL, name)).spec


def test_managed_needs_the_flag_and_says_which():
    async def story(world):
        await world.cluster()
        body = {"count": 1, "vmSize": V100, "gpuProfile": {"nvidia": {"managementMode": "Managed"}}}
        before = await world.store.revision(SCOPE)
        refused = await world.put_pool("gpu", body, version=NEWEST)
        assert (refused.status, refused.body["code"]) == (400, "PreviewFeatureNotRegistered")
        assert "ManagedGPUExperiencePreview" in refused.body["message"]
        assert await world.store.revision(SCOPE) == before
        await world.feature()
        answer = await world.put_pool("gpu", body, version=NEWEST)
        assert answer.status == 201
        assert answer.properties["gpuProfile"] == {"nvidia": {"managementMode": "Managed"}}
        assert (await stored(world)).install_profile is InstallProfile.EVERYTHING

    run(story)


def test_header_opts_one_request_in():
    async def story(world):
        await world.cluster()
        body = {"vmSize": V100, "gpuProfile": {"nvidia": {"managementMode": "managed"}}}
        headers = {
            "AKSHTTPCustomFeatures": "Microsoft.ContainerService/ManagedGPUExperiencePreview"
        }
        assert (await world.put_pool("gpu", body, version=NEWEST, headers=headers)).status == 201

    run(story)


def test_versions_without_the_block_refuse_it():
    async def story(world):
        await world.cluster()
        body = {"vmSize": V100, "gpuProfile": {"nvidia": {"managementMode": "Managed"}}}
        answer = await world.put_pool("gpu", body, version="2026-06-01")
        assert (answer.status, answer.body["code"]) == (400, "UnmarshalError")
        assert 'unknown field "nvidia"' in answer.body["message"]
        ignored = await world.put_pool("gpu", {"vmSize": V100, "zzz": 1}, version="2023-11-01")
        assert ignored.status == 201

    run(story)


@pytest.mark.parametrize(
    ("profile", "shown"),
    [
        (None, None),
        ({"driver": "Install"}, {"driver": "Install", "nvidia": None}),
        ({"driver": "None"}, {"driver": "None", "nvidia": None}),
        (
            {"driver": "Install", "nvidia": {"managementMode": "Unmanaged"}},
            {"driver": "Install", "nvidia": {"managementMode": "Unmanaged"}},
        ),
    ],
)
def test_reads_show_what_was_declared(profile, shown):
    async def story(world):
        await world.cluster()
        body = {"vmSize": V100} | ({"gpuProfile": profile} if profile else {})
        assert (await world.put_pool("gpu", body, version=NEWEST)).status == 201
        answer = await world.get_pool("gpu", version=NEWEST)
        assert answer.properties.get("gpuProfile") == shown
        old = await world.get_pool("gpu", version="2025-10-01")
        assert "nvidia" not in old.properties.get("gpuProfile", {})

    run(story)


def test_nothing_declared_can_change_and_omitting_keeps():
    async def story(world):
        await world.cluster()
        await world.feature()
        body = {"vmSize": V100, "gpuProfile": {"nvidia": {"managementMode": "Managed"}}}
        await world.put_pool("gpu", body, version=NEWEST)
        for change, path in [
            ({"gpuProfile": {"nvidia": {"managementMode": "Unmanaged"}}}, "nvidia.managementMode"),
            ({"gpuProfile": {"driver": "None"}}, "driver"),
        ]:
            refused = await world.put_pool("gpu", change, version=NEWEST)
            assert (refused.status, refused.body["code"]) == (400, "PropertyChangeNotAllowed")
            expected = f"Changing property 'properties.gpuProfile.{path}' is not allowed."
            assert refused.body["message"] == expected
        for same in ({}, {"gpuProfile": None}, {"gpuProfile": {"nvidia": None}}, body):
            answer = await world.put_pool("gpu", {"count": 1, **same}, version=NEWEST)
            assert answer.status == 200, answer
            assert answer.properties["gpuProfile"]["nvidia"] == {"managementMode": "Managed"}
        assert (await world.put_pool("gpu", {"count": 1}, version="2025-10-01")).status == 200
        assert (await stored(world)).install_profile is InstallProfile.EVERYTHING

    run(story)


def test_tag_works_with_the_flag_and_warns():
    async def story(world):
        await world.cluster()
        body = {"vmSize": V100, "tags": {"EnableManagedGPUExperience": "true"}}
        await world.put_pool("plain", body)
        assert (await stored(world, "plain")).install_profile is InstallProfile.DRIVER_ONLY
        await world.feature("ManagedGPU")
        answer = await world.put_pool("gpu", body)
        assert "deprecated" in answer.headers["warning"]
        assert answer.headers["warning"].startswith("299 - ")
        assert (await stored(world)).install_profile is InstallProfile.EVERYTHING
        # Adding the tag later changes nothing.
        await world.put_pool("plain", {"count": 1, "tags": body["tags"]})
        assert (await stored(world, "plain")).install_profile is InstallProfile.DRIVER_ONLY

    run(story)


def test_cluster_default_is_used_changed_and_gated():
    async def story(world):
        await world.group()
        managed = {"gpuProfile": {"nvidia": {"managementMode": "Managed"}}}
        from arm_aks.world import cluster_body

        refused = await world.put(CLUSTER, cluster_body(managed), version=PREVIEW)
        assert (refused.status, refused.body["code"]) == (400, "PreviewFeatureNotRegistered")
        await world.feature()
        created = await world.put(CLUSTER, cluster_body(managed), version=PREVIEW)
        assert created.status == 201
        assert created.properties["gpuProfile"] == managed["gpuProfile"]
        await world.settle()
        await world.put_pool("gpu", {"vmSize": V100})
        assert (await stored(world)).install_profile is InstallProfile.EVERYTHING
        unmanaged = {"gpuProfile": {"nvidia": {"managementMode": "Unmanaged"}}}
        body = {"location": "eastus", "properties": unmanaged}
        assert (await world.put(CLUSTER, body, version=PREVIEW)).status == 200
        await world.settle()
        assert (await stored(world)).install_profile is InstallProfile.EVERYTHING
        await world.put_pool("two", {"vmSize": V100, "gpuProfile": {"driver": "Install"}})
        assert (await stored(world, "two")).install_profile is InstallProfile.DRIVER_ONLY

    run(story)


def test_crossing_the_gate_flips_and_says_so():
    async def story(world):
        await world.cluster(properties={"kubernetesVersion": "1.36"})
        await world.put_pool("gpu", {"vmSize": V100, "orchestratorVersion": "1.35.4"})
        await world.put_pool(
            "byo",
            {"vmSize": V100, "orchestratorVersion": "1.35", "gpuProfile": {"driver": "None"}},
        )
        up = {"count": 1, "orchestratorVersion": "1.36.1"}
        answer = await world.put_pool("gpu", up)
        assert answer.status == 200
        assert answer.properties["provisioningState"] == "Upgrading"
        assert "managed GPU experience" in answer.headers["warning"]
        assert (await stored(world)).install_profile is InstallProfile.EVERYTHING
        quiet = await world.put_pool("byo", up)
        assert quiet.status == 200
        assert "warning" not in quiet.headers
        assert (await stored(world, "byo")).install_profile is InstallProfile.NOTHING

    run(story)


def test_no_pool_becomes_a_gpu_pool():
    async def story(world):
        await world.cluster()
        await world.put_pool("cpu", {"vmSize": "Standard_DS2_v2"})
        refused = await world.put_pool("cpu", {"count": 1, "vmSize": V100})
        assert refused.body["code"] == "PropertyChangeNotAllowed"

    run(story)
