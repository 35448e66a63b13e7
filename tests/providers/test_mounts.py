"""Volumes made of config maps and secrets: a pod waits for them."""

import pytest

from poolwright.model.kubernetes import CONFIG_MAPS, EVENTS, PODS, SECRETS
from providers.test_simulated_pods import NODE, state_of, with_node
from providers.test_variables import made
from providers.world import pod

CREATING = {"waiting": {"reason": "ContainerCreating"}}


def mounting(volume, *, is_mounted=True, **more):
    body = pod("web", volumes=[{"name": "v"} | volume], **more)
    mounts = [{"name": "v", "mountPath": "/v"}] if is_mounted else []
    body["spec"]["containers"][0]["volumeMounts"] = mounts
    return body


def config_map(name, *keys, **more):
    items = {"items": [{"key": key, "path": key} for key in keys]} if keys else {}
    return {"configMap": {"name": name} | items | more}


def secret(name, *keys, **more):
    found = config_map(name, *keys, **more)["configMap"]
    return {"secret": {"secretName": found.pop("name")} | found}


def projected(*sources):
    of_secret = {"secret": {"name": "s", "items": [{"key": "Z", "path": "z"}]}}
    return {"projected": {"sources": [*sources, of_secret]}}


def told(world):
    return [e["message"] for e in world.kube.all(EVENTS) if e["reason"] == "FailedMount"]


FAILED = 'MountVolume.SetUp failed for volume "v" : '
MISSING = [
    (config_map("none"), 'configmap "none" not found'),
    (secret("none"), 'secret "none" not found'),
    (config_map("c", "A", "Z"), "configmap references non-existent config key: Z"),
    (secret("s", "Z"), "references non-existent secret key: Z"),
    (projected(config_map("c", "A")), "references non-existent secret key: Z"),
    (projected(config_map("none"), config_map("none")),
     '[configmap "none" not found, references non-existent secret key: Z]'),
]  # fmt: skip


@pytest.mark.parametrize(("volume", "why"), MISSING)
def test_a_pod_waits_for_what_its_volumes_are_made_of(volume, why):
    async def story(world):
        await made(world)
        await world.kube.bind(mounting(volume), NODE)
        await world.passes(seconds=60)
        found = world.kube.pod("web")
        assert (found["status"]["phase"], state_of(found)) == ("Pending", CREATING)
        said = {c["type"]: c["status"] for c in found["status"]["conditions"]}
        assert (said["PodReadyToStartContainers"], said["Initialized"]) == ("False", "True")
        assert told(world) == [FAILED + why]
        for resource, name in ((CONFIG_MAPS, "none"), (CONFIG_MAPS, "c"), (SECRETS, "none"),
                               (SECRETS, "s")):  # fmt: skip
            await world.kube.delete(resource, name, namespace="default")
            body = {"metadata": {"name": name}, "binaryData": {"A": ""}, "data": {"Z": ""}}
            await world.kube.create(resource, body, namespace="default")
        await world.passes(seconds=100)  # the longest wait so far was 32 s: 64 s until the next
        assert world.kube.pod("web")["status"]["phase"] == "Running"
        assert told(world) == [FAILED + why]

    with_node(story)


FINE = [
    config_map("none", optional=True),
    secret("none", optional=True),
    config_map("c", "Z", optional=True),
    config_map("kube-root-ca.crt", "ca.crt"),
    config_map("c", "A"),
    secret("s"),
]


@pytest.mark.parametrize("volume", FINE)
def test_a_pod_starts_without_what_it_does_not_need(volume):
    async def story(world):
        await made(world)
        await world.kube.bind(mounting(volume), NODE)
        await world.passes(seconds=30)
        assert world.kube.pod("web")["status"]["phase"] == "Running"
        assert told(world) == []

    with_node(story)


def test_a_volume_that_no_container_mounts_is_not_made():
    async def story(world):
        await world.kube.bind(mounting(secret("none"), is_mounted=False), NODE)
        await world.passes(seconds=30)
        assert world.kube.pod("web")["status"]["phase"] == "Running"

    with_node(story)


def test_a_daemon_says_what_it_waits_for_and_can_be_deleted_meanwhile():
    async def story(world):
        await world.kube.bind(mounting(secret("none"), owner="DaemonSet"), NODE)
        await world.passes(seconds=60)
        assert state_of(world.kube.pod("web")) == CREATING
        assert told(world) == [f'{FAILED}secret "none" not found']
        await world.kube.delete(PODS, "web", namespace="default")
        await world.passes(seconds=60)
        assert [p for p in world.kube.all(PODS) if p["metadata"]["name"] == "web"] == []

    with_node(story)


def test_attempts_are_ever_further_apart():
    async def story(world):
        await world.kube.bind(mounting(config_map("none")), NODE)
        await world.passes(seconds=600)
        before = world.kube.requests["get", CONFIG_MAPS.kind]
        assert 9 <= before <= 14  # 0.5 s, 1 s ... 64 s, then each 122 s
        await world.passes(seconds=600)
        assert world.kube.requests["get", CONFIG_MAPS.kind] - before in (4, 5)

    with_node(story)
