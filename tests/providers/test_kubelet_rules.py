"""What a simulated kubelet refuses, keeps, tells and ends."""

import copy

from poolwright.model.kubernetes import PODS
from providers.test_simulated_pods import NODE, reasons, with_node
from providers.world import pod


def conditions(found):
    return {c["type"]: c for c in found["status"]["conditions"]}


def with_port(name, port, **more):
    body = pod(name)
    ports = [{"containerPort": port, "hostPort": port, "protocol": "TCP", **more}]
    body["spec"]["containers"][0]["ports"] = ports
    return body


def test_a_port_of_the_node_is_given_once():
    async def story(world):
        await world.kube.bind(with_port("one", 8080), NODE)
        await world.kube.bind(with_port("two", 8080, hostIP="10.0.0.9"), NODE)
        await world.kube.bind(with_port("udp", 8080, protocol="UDP"), NODE)
        await world.passes(seconds=30)
        assert world.kube.pod("one")["status"]["phase"] == "Running"
        assert world.kube.pod("udp")["status"]["phase"] == "Running"
        refused = world.kube.pod("two")["status"]
        assert (refused["phase"], refused["reason"]) == ("Failed", "NodePorts")
        await world.kube.delete(PODS, "one", namespace="default")
        await world.passes(seconds=30)
        await world.kube.bind(with_port("three", 8080), NODE)
        await world.passes(seconds=30)
        assert world.kube.pod("three")["status"]["phase"] == "Running"

    with_node(story)


def test_a_pod_for_another_system_is_refused():
    async def story(world):
        await world.kube.bind(pod("win", os={"name": "windows"}), NODE)
        await world.passes(seconds=10)
        status = world.kube.pod("win")["status"]
        assert (status["phase"], status["reason"]) == ("Failed", "PodOSNotSupported")

    with_node(story)


def test_who_holds_a_pod_sees_how_it_ended_and_what_others_said_of_it():
    async def story(world):
        body = pod("job", command=["sleep", "1000"], restartPolicy="Never")
        body["metadata"]["finalizers"] = ["batch.kubernetes.io/job-tracking"]
        await world.kube.bind(body, NODE)
        await world.passes(seconds=30)
        found = world.kube.pod("job")
        said = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
        changed = [*found["status"]["conditions"], said]
        patch = {"status": {"conditions": changed}}
        await world.kube.patch(PODS, "job", patch, namespace="default", subresource="status")
        seen = []
        patched = world.kube.patch

        async def watching(resource, name, body, **more):
            found = await patched(resource, name, body, **more)
            if resource is PODS:
                seen.append(found["status"])
            return found

        world.kube.patch = watching
        await world.kube.delete(PODS, "job", namespace="default")
        await world.passes(seconds=60)
        assert seen[-1]["phase"] == "Failed"
        assert seen[-1]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 143
        assert "DisruptionTarget" in [c["type"] for c in seen[-1]["conditions"]]

    with_node(story)


def test_readiness_waits_for_the_gates_of_others():
    async def story(world):
        await world.kube.bind(pod("web", readinessGates=[{"conditionType": "x/y"}]), NODE)
        await world.passes(seconds=30)
        found = world.kube.pod("web")
        assert conditions(found)["ContainersReady"]["status"] == "True"
        ready = conditions(found)["Ready"]
        assert (ready["status"], ready["reason"]) == ("False", "ReadinessGatesNotReady")
        assert ready["message"] == (
            'corresponding condition of pod readiness gate "x/y" does not exist.'
        )
        for status in ("True", "False"):
            rest = [c for c in found["status"]["conditions"] if c["type"] != "x/y"]
            patch = {"status": {"conditions": [*rest, {"type": "x/y", "status": status}]}}
            await world.kube.patch(PODS, "web", patch, namespace="default", subresource="status")
            await world.passes(seconds=5)
            found = world.kube.pod("web")
            assert conditions(found)["Ready"]["status"] == status
            assert conditions(found)["x/y"]["status"] == status

    with_node(story)


def respecified(world, name, generation, **spec):
    found = copy.deepcopy(world.kube.pod(name))
    found["metadata"]["generation"] = generation
    return {"metadata": {"generation": generation}, "spec": {**found["spec"], **spec}}


def test_a_changed_pod_is_seen_and_its_container_made_anew():
    async def story(world):
        body = pod("web")
        body["metadata"]["generation"] = 1
        await world.kube.bind(body, NODE)
        await world.passes(seconds=30)
        found = world.kube.pod("web")
        assert found["status"]["observedGeneration"] == 1
        assert conditions(found)["Ready"]["observedGeneration"] == 1
        image = [{**found["spec"]["containers"][0], "image": "nginx:2"}]
        change = respecified(world, "web", 2, containers=image)
        await world.kube.patch(PODS, "web", change, namespace="default")
        await world.passes(seconds=0.5)
        status = conditions(world.kube.pod("web"))  # the old one is still ending
        assert (status["Ready"]["observedGeneration"], status["Ready"]["status"]) == (2, "True")
        await world.passes(seconds=40)
        status = world.kube.pod("web")["status"]
        assert status["observedGeneration"] == 2
        assert status["phase"] == "Running"
        (container,) = status["containerStatuses"]
        assert container["image"] == "docker.io/library/nginx:2"
        assert (container["restartCount"], container["ready"]) == (1, True)
        assert "Killing" in reasons(world)

    with_node(story)


def test_an_image_that_was_wrong_may_be_mended():
    async def story(world):
        body = pod("web", "acme/does-not-exist:1")
        body["metadata"]["generation"] = 1
        await world.kube.bind(body, NODE)
        await world.passes(seconds=20)
        assert world.kube.pod("web")["status"]["phase"] == "Pending"
        image = [{**body["spec"]["containers"][0], "image": "nginx:1"}]
        change = respecified(world, "web", 2, containers=image)
        await world.kube.patch(PODS, "web", change, namespace="default")
        await world.passes(minutes=3)
        status = world.kube.pod("web")["status"]
        assert status["phase"] == "Running"
        assert status["containerStatuses"][0]["restartCount"] == 0

    with_node(story)


def test_a_pod_that_was_active_for_too_long_fails():
    async def story(world):
        await world.kube.bind(pod("short", activeDeadlineSeconds=60), NODE)
        body = pod("later")
        body["metadata"]["generation"] = 1
        await world.kube.bind(body, NODE)
        await world.passes(seconds=40)
        assert world.kube.pod("short")["status"]["phase"] == "Running"
        await world.passes(seconds=40)
        status = world.kube.pod("short")["status"]
        assert (status["phase"], status["reason"]) == ("Failed", "DeadlineExceeded")
        change = respecified(world, "later", 2, activeDeadlineSeconds=5)
        await world.kube.patch(PODS, "later", change, namespace="default")
        await world.passes(seconds=10)
        assert world.kube.pod("later")["status"]["reason"] == "DeadlineExceeded"

    with_node(story)


def test_a_pause_container_never_ends():
    async def story(world):
        body = pod("wait", "registry.k8s.io/pause:3.10", restartPolicy="Never")
        await world.kube.bind(body, NODE)
        await world.passes(minutes=30)
        assert world.kube.pod("wait")["status"]["phase"] == "Running"

    with_node(story)


def test_a_pod_says_which_containers_it_waits_for_to_begin():
    async def story(world):
        body = pod("web", restartPolicy="Never")
        body["spec"]["initContainers"] = [
            {"name": "one", "image": "nginx:1", "command": ["false"]},
            {"name": "two", "image": "nginx:1", "command": ["true"]},
        ]
        await world.kube.bind(body, NODE)
        await world.passes(seconds=60)
        found = world.kube.pod("web")
        assert found["status"]["phase"] == "Failed"
        said = conditions(found)["Initialized"]
        assert (said["status"], said["reason"]) == ("False", "ContainersNotInitialized")
        assert said["message"] == "containers with incomplete status: [one two]"

    with_node(story)
