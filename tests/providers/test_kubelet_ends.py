"""How a simulated kubelet ends a pod, and what it says of it last."""

import copy

import pytest

from poolwright.model.kubernetes import PODS
from poolwright.ports.kube import PatchKind
from providers.test_simulated_pods import NODE, reasons, state_of, with_node
from providers.world import World, play, pod, request


def hooked(hook, **spec):
    body = pod("web", terminationGracePeriodSeconds=80, **spec)
    body["spec"]["containers"][0]["lifecycle"] = {"preStop": hook}
    return body


def words(world):
    """What is said of pods' status from now on."""
    said, patch = [], world.kube.patch

    async def hearing(resource, name, body, **more):
        found = await patch(resource, name, body, **more)
        if resource is PODS:
            said.append(found["status"])
        return found

    world.kube.patch = hearing
    return said


async def deleted(world, grace=None):
    await world.kube.delete(PODS, "web", namespace="default", grace_seconds=grace)


HOOKS = [
    ({"sleep": {"seconds": 40}}, 40),
    ({"exec": {"command": ["sh", "-c", "sleep 40"]}}, 40),
    ({"sleep": {"seconds": 200}}, 80),
    ({"exec": {"command": ["/opt/drain"]}}, 0),
    ({"httpGet": {"path": "/drain", "port": 80}}, 0),
]


@pytest.mark.parametrize(("hook", "seconds"), HOOKS)
def test_what_comes_before_the_end_holds_the_pod_within_its_grace(hook, seconds):
    async def story(world):
        await world.kube.bind(hooked(hook), NODE)
        await world.passes(seconds=30)
        await deleted(world, 80)
        await world.passes(seconds=max(0.5, seconds - 1))
        assert world.kube.pod("web")["status"]["phase"] == "Running"
        await world.passes(seconds=5)
        assert world.kube.pod("web") is None
        assert "FailedPreStopHook" not in reasons(world)

    with_node(story)


def test_a_hook_that_fails_is_told_and_the_grace_may_be_shortened():
    async def story(world):
        hook = {"exec": {"command": ["sh", "-c", "sleep 60; exit 3"]}}
        await world.kube.bind(hooked(hook), NODE)
        await world.passes(seconds=30)
        await deleted(world, 80)
        await world.passes(seconds=10)
        assert "FailedPreStopHook" in reasons(world)
        await deleted(world, 1)
        await world.passes(seconds=4)
        assert world.kube.pod("web") is None

    with_node(story)


def test_a_pod_has_a_last_word_before_it_goes():
    async def story(world):
        await world.kube.bind(pod("web"), NODE)
        await world.passes(seconds=30)
        said = words(world)
        await deleted(world)
        await world.passes(seconds=10)
        assert world.kube.pod("web") is None
        (last,) = said  # one write more than without it, and no other
        assert last["phase"] == "Succeeded"
        assert last["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 0
        ready = {c["type"]: c for c in last["conditions"]}["Ready"]
        assert (ready["status"], ready["reason"]) == ("False", "PodCompleted")

    with_node(story)


def test_what_every_node_has_goes_without_a_word():
    async def story(world):
        await world.kube.bind(pod("web", owner="DaemonSet"), NODE)
        await world.passes(seconds=30)
        said = words(world)
        await deleted(world)
        await world.passes(seconds=10)
        assert world.kube.pod("web") is None
        assert said == []

    with_node(story)


def test_a_patch_says_what_changed():
    async def story(world):
        await world.kube.bind(pod("web", readinessProbe={"initialDelaySeconds": 20}), NODE)
        await world.passes(seconds=10)
        bodies, patch = [], world.kube.patch

        async def hearing(resource, name, body, **more):
            bodies.append(body)
            return await patch(resource, name, body, **more)

        world.kube.patch = hearing
        await world.passes(seconds=60)
        (body,) = bodies
        assert set(body["status"]) == {"conditions", "containerStatuses"}
        changed = {c["type"]: c for c in body["status"]["conditions"]}
        assert set(changed) == {"Ready", "ContainersReady"}
        assert changed["Ready"]["reason"] is None

    with_node(story)


def test_a_pod_that_has_said_how_it_ended_says_nothing_more():
    async def story(world):
        await world.kube.bind(pod("web", command=["true"], restartPolicy="Never"), NODE)
        await world.passes(seconds=30)
        assert world.kube.pod("web")["status"]["phase"] == "Succeeded"
        said = words(world)
        world.kube.pod("web")["metadata"]["finalizers"] = ["x/y"]
        await world.kube.patch(PODS, "web", {"metadata": {"deletionTimestamp": "now"}},
                               namespace="default")  # fmt: skip
        said.clear()
        await world.passes(seconds=10)
        assert said == []

    with_node(story)


def test_a_container_that_never_began_is_lost_and_one_that_waits_for_another_is_not():
    async def story(world):
        body = pod("web", restartPolicy="Never")
        body["spec"]["initContainers"] = [{"name": "first", "image": "acme/does-not-exist:1"}]
        await world.kube.bind(body, NODE)
        await world.passes(seconds=20)
        said = words(world)
        await deleted(world)
        await world.passes(seconds=10)
        assert said[-1]["phase"] == "Failed"
        (first,) = said[-1]["initContainerStatuses"]
        assert first["state"]["terminated"]["reason"] == "ContainerStatusUnknown"
        assert first["state"]["terminated"]["exitCode"] == 137
        assert "waiting" in state_of({"status": said[-1]})

    with_node(story)


def test_a_container_that_would_end_by_itself_before_ends_with_its_own_code():
    async def story(world):
        script, slow = (
            ["sh", "-c", "sleep 30; exit 9"],
            {"poolwright.dev/termination-seconds": "50"},
        )
        body = pod("web", command=script, annotations=slow, restartPolicy="Never")
        await world.kube.bind(body, NODE)
        await world.passes(seconds=20)
        assert "running" in state_of(world.kube.pod("web"))
        said = words(world)
        await deleted(world, 60)
        await world.passes(seconds=30)
        assert state_of({"status": said[-1]})["terminated"]["exitCode"] == 9

    with_node(story)


def test_conditions_of_others_stay_as_they_are():
    async def story(world):
        await world.kube.bind(pod("web"), NODE)
        await world.passes(seconds=30)
        kinds, patch = [], world.kube.patch
        said = {"type": "DisruptionTarget", "status": "True"}

        async def late(resource, name, body, **more):
            """Somebody else says something while the kubelet's own word is on its way."""
            if resource is PODS:
                kinds.append(more["kind"])
                assert "DisruptionTarget" not in [c["type"] for c in body["status"]["conditions"]]
                found = copy.deepcopy(world.kube.pod("web")["status"]["conditions"])
                change = {"status": {"conditions": [*found, said]}}
                await patch(PODS, "web", change, namespace="default", subresource="status")
            return await patch(resource, name, body, **more)

        world.kube.patch = late
        after = []
        delete = world.kube.delete

        async def deleting(resource, name, **more):
            if more.get("grace_seconds") == 0:
                after.extend(world.kube.pod("web")["status"]["conditions"])
            await delete(resource, name, **more)

        world.kube.delete = deleting
        await deleted(world, 30)
        await world.passes(seconds=10)
        assert kinds == [PatchKind.STRATEGIC]
        assert {c["type"]: c["status"] for c in after}["DisruptionTarget"] == "True"
        assert {c["type"]: c["status"] for c in after}["Ready"] == "False"

    with_node(story)


def test_a_condition_loses_the_reason_that_holds_no_more():
    async def story(world):
        probe = {"initialDelaySeconds": 20}
        await world.kube.bind(pod("web", readinessProbe=probe), NODE)
        await world.passes(seconds=10)
        found = {c["type"]: c for c in world.kube.pod("web")["status"]["conditions"]}
        assert found["Ready"]["reason"] == "ContainersNotReady"
        await world.passes(seconds=60)
        found = {c["type"]: c for c in world.kube.pod("web")["status"]["conditions"]}
        assert found["Ready"]["status"] == "True"
        assert "reason" not in found["Ready"]
        assert "message" not in found["Ready"]

    with_node(story)


def test_a_deadline_counts_from_the_start_over_a_restart_of_the_process():
    async def whole():
        world = World()
        async with world.running():
            await world.cloud.create_machine(request())
            await world.passes(minutes=7)
            await world.kube.bind(pod("web", activeDeadlineSeconds=600), NODE)
            await world.passes(seconds=400)
        world.restart()
        async with world.running():
            await world.passes(seconds=150)
            assert world.kube.pod("web")["status"]["phase"] == "Running"
            await world.passes(seconds=60)
            status = world.kube.pod("web")["status"]
            assert (status["phase"], status["reason"]) == ("Failed", "DeadlineExceeded")

    play(whole)


def test_another_image_begins_the_back_off_anew():
    async def story(world):
        body = pod("web", command=["sh", "-c", "sleep 1; exit 1"])
        body["metadata"]["generation"] = 1
        await world.kube.bind(body, NODE)
        await world.passes(seconds=120)
        status = world.kube.pod("web")["status"]["containerStatuses"][0]
        assert "back-off 1m20s" in status["state"]["waiting"]["message"]
        assert status["restartCount"] == 4
        found = copy.deepcopy(world.kube.pod("web"))
        image = [{**found["spec"]["containers"][0], "image": "nginx:2"}]
        change = {"metadata": {"generation": 2}, "spec": {**found["spec"], "containers": image}}
        await world.kube.patch(PODS, "web", change, namespace="default")
        await world.passes(seconds=25)
        status = world.kube.pod("web")["status"]["containerStatuses"][0]
        assert "back-off 20s" in status["state"]["waiting"]["message"]

    with_node(story)


def test_a_hook_holds_a_container_that_is_made_anew():
    async def story(world):
        body = hooked({"sleep": {"seconds": 40}})
        body["metadata"]["generation"] = 1
        await world.kube.bind(body, NODE)
        await world.passes(seconds=30)
        found = copy.deepcopy(world.kube.pod("web"))
        image = [{**found["spec"]["containers"][0], "image": "nginx:2"}]
        change = {"metadata": {"generation": 2}, "spec": {**found["spec"], "containers": image}}
        await world.kube.patch(PODS, "web", change, namespace="default")
        await world.passes(seconds=38)
        assert world.kube.pod("web")["status"]["containerStatuses"][0]["restartCount"] == 0
        await world.passes(seconds=10)
        status = world.kube.pod("web")["status"]["containerStatuses"][0]
        assert (status["restartCount"], status["ready"]) == (1, True)
        assert status["lastState"]["terminated"]["exitCode"] == 0

    with_node(story)
