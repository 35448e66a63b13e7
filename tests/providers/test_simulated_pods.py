from datetime import timedelta

import pytest

from poolwright.model.errors import InvalidRequest
from poolwright.model.kubernetes import EVENTS, PODS
from poolwright.providers.simulated.images import image
from poolwright.providers.simulated.ledger import CHECKPOINT
from poolwright.providers.simulated.workload import EXIT_CODE, GPU_UTILIZATION, RUN_SECONDS
from providers.world import (
    CLUSTER,
    EXPORTER,
    GPU_SIZE,
    PLUGIN,
    World,
    gpu_bootstrap,
    gpu_pod,
    machine_name,
    play,
    pod,
    request,
)

NODE = machine_name(0)


def with_node(story, **asked):
    """Play a story on a world that has one ready node."""

    async def whole():
        world = World()
        async with world.running():
            await world.cloud.create_machine(request(**asked))
            await world.passes(minutes=7)
            assert world.kube.ready(NODE) == "True"
            await story(world)

    play(whole)


def with_gpu_node(story, *, components=True, **setup):
    async def whole(world):
        if components:
            await world.kube.bind(PLUGIN, NODE)
            await world.kube.bind(EXPORTER, NODE)
            await world.passes(seconds=20)
        await story(world)

    with_node(whole, vm_size=GPU_SIZE, setup=gpu_bootstrap(**setup))


def state_of(found):
    return found["status"]["containerStatuses"][0]["state"]


def reasons(world):
    return [e["reason"] for e in world.kube.all(EVENTS)]


@pytest.mark.parametrize(
    "wild",
    [
        {"command": ["sleep", "9" * 20]},
        {"annotations": {RUN_SECONDS: "inf", EXIT_CODE: "inf"}},
        {"annotations": {RUN_SECONDS: "1e300", GPU_UTILIZATION: "\u00b2"}},
    ],
)
def test_what_a_pod_says_of_itself_stops_nothing(wild):
    async def story(world):
        await world.kube.bind(pod("wild", restartPolicy="Never", **wild), NODE)
        await world.passes(seconds=30)
        assert world.kube.pod("wild")["status"]["phase"] == "Running"
        await world.kube.bind(pod("web"), NODE)
        await world.passes(seconds=30)
        assert world.kube.pod("web")["status"]["phase"] == "Running"

    with_node(story)


def test_a_container_has_the_variables_that_its_log_shows():
    async def story(world):
        await world.kube.bind(
            pod("who", command=["printenv", "HOSTNAME"], restartPolicy="Never"), NODE
        )
        await world.passes(seconds=30)
        assert world.kube.pod("who")["status"]["phase"] == "Succeeded"
        lines = world.cloud.kubelet.logs(CLUSTER, world.kube.pod("who"), "main")
        assert [line async for line in lines] == [b"who\n"]

    with_node(story)


def test_a_variable_may_name_those_before_it_and_the_pod():
    async def story(world):
        env = [
            {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "PLACE", "value": "$(NODE):$(KUBERNETES_SERVICE_PORT)"},
            {"name": "OTHER", "value": "$$(NODE) $(LATER)"},
            {"name": "LATER", "value": "x"},
        ]
        command = ["echo", "$(PLACE)", "$$(PLACE)", "$(OTHER)"]
        made = pod("who", command=command, restartPolicy="Never")
        made["spec"]["containers"][0]["env"] = env
        await world.kube.bind(made, NODE)
        await world.passes(seconds=30)
        lines = world.cloud.kubelet.logs(CLUSTER, world.kube.pod("who"), "main")
        said = f"{NODE}:443 $(PLACE) $(NODE) $(LATER)\n"
        assert [line async for line in lines] == [said.encode()]

    with_node(story)


def test_the_log_of_a_pod_that_asked_for_too_much_costs_nothing():
    async def story(world):
        greedy = {"limits": {"nvidia.com/gpu": str(10**12)}}
        await world.kube.bind(pod("greedy", resources=greedy, restartPolicy="Never"), NODE)
        await world.passes(seconds=30)
        found = world.kube.pod("greedy")
        assert found["status"]["phase"] == "Failed"
        with pytest.raises(InvalidRequest):
            await anext(world.cloud.kubelet.logs(CLUSTER, found, "main"))

    with_gpu_node(story)


def test_a_pod_is_pulled_started_and_ready_with_todays_events():
    async def story(world):
        await world.kube.bind(pod("web"), NODE)
        await world.passes(seconds=30)
        found = world.kube.pod("web")
        assert found["status"]["phase"] == "Running"
        conditions = {c["type"]: c["status"] for c in found["status"]["conditions"]}
        assert conditions == {
            "PodReadyToStartContainers": "True",
            "Initialized": "True",
            "Ready": "True",
            "ContainersReady": "True",
            "PodScheduled": "True",
        }
        status = found["status"]["containerStatuses"][0]
        assert status["image"] == "docker.io/library/nginx:1.15.9"
        assert status["imageID"].startswith("docker.io/library/nginx@sha256:")
        assert found["status"]["podIP"].startswith("10.244.0.")
        assert reasons(world) == ["Pulling", "Pulled", "Created", "Started"]
        pulled = world.kube.all(EVENTS)[1]["message"]
        assert pulled.startswith('Successfully pulled image "nginx:1.15.9" in ')
        assert "including waiting). Image size: " in pulled

    with_node(story)


def test_an_image_that_a_node_has_is_not_pulled_again():
    async def story(world):
        await world.kube.bind(pod("one"), NODE)
        await world.passes(seconds=30)
        await world.kube.bind(pod("two"), NODE)
        await world.passes(seconds=30)
        messages = [e["message"] for e in world.kube.all(EVENTS) if e["reason"] == "Pulled"]
        assert messages[1] == (
            'Container image "nginx:1.15.9" already present on machine'
            " and can be accessed by the pod"
        )

    with_node(story)


@pytest.mark.parametrize(
    ("name", "is_missing"),
    [
        ("web:404", True),
        ("invalid.registry.example/web:1", True),
        ("registry.invalid/web", True),
        ("web:non-existent", True),
        ("web:1.404", False),
        ("invalid/web:1", False),
    ],
)
def test_a_name_may_say_that_there_is_no_such_image(name, is_missing):
    assert image(name).is_missing is is_missing


def test_a_missing_image_backs_off():
    async def story(world):
        await world.kube.bind(pod("web", "acme/does-not-exist:1"), NODE)
        await world.passes(seconds=9)
        found = world.kube.pod("web")
        assert found["status"]["phase"] == "Pending"
        assert state_of(found)["waiting"]["reason"] == "ImagePullBackOff"
        assert "BackOff" in reasons(world)

    with_node(story)


def test_a_job_pod_ends_after_its_declared_time_with_its_code():
    async def story(world):
        annotations = {"poolwright.dev/run-seconds": "90", "poolwright.dev/exit-code": "3"}
        await world.kube.bind(
            pod("job", annotations=annotations, restartPolicy="Never", owner="Job"), NODE
        )
        await world.passes(seconds=80)
        assert world.kube.pod("job")["status"]["phase"] == "Running"
        await world.passes(seconds=30)
        found = world.kube.pod("job")
        assert found["status"]["phase"] == "Failed"
        assert state_of(found)["terminated"]["exitCode"] == 3

    with_node(story)


def test_a_container_that_ends_is_restarted_with_growing_delay():
    async def story(world):
        await world.kube.bind(pod("loop", command=["sh", "-c", "echo hi; exit 1"]), NODE)
        await world.passes(seconds=20)
        found = world.kube.pod("loop")
        status = found["status"]["containerStatuses"][0]
        assert status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        assert status["lastState"]["terminated"]["exitCode"] == 1
        assert status["restartCount"] >= 2
        assert found["status"]["phase"] == "Running"
        await world.passes(minutes=10)
        assert world.kube.pod("loop")["status"]["containerStatuses"][0]["restartCount"] < 12

    with_node(story)


def test_the_plugin_and_the_exporter_show_on_their_node():
    async def story(world):
        node = world.kube.node(NODE)
        assert node["status"]["allocatable"]["nvidia.com/gpu"] == "1"
        assert node["status"]["capacity"]["nvidia.com/gpu"] == "1"
        assert node["metadata"]["labels"]["kubernetes.azure.com/dcgm-exporter"] == "enabled"
        conditions = {c["type"]: c["status"] for c in node["status"]["conditions"]}
        assert conditions["UnhealthyNvidiaDevicePlugin"] == "False"
        await world.kube.delete(PODS, "nvidia-device-plugin-x", namespace="default")
        await world.passes(seconds=20)
        node = world.kube.node(NODE)
        assert node["status"]["allocatable"]["nvidia.com/gpu"] == "0"
        assert node["status"]["capacity"]["nvidia.com/gpu"] == "1"

    with_gpu_node(story)


def test_a_gpu_pod_without_a_plugin_is_not_admitted():
    async def story(world):
        await world.kube.bind(gpu_pod("train"), NODE)
        await world.passes(seconds=5)
        status = world.kube.pod("train")["status"]
        assert (status["phase"], status["reason"]) == ("Failed", "UnexpectedAdmissionError")

    with_gpu_node(story, components=False)


def test_a_pod_that_does_not_fit_is_rejected_and_frees_what_it_held():
    async def story(world):
        await world.kube.bind(gpu_pod("one"), NODE)
        await world.passes(seconds=10)
        await world.kube.bind(gpu_pod("two"), NODE)
        await world.passes(seconds=10)
        assert world.kube.pod("two")["status"]["reason"] == "OutOfnvidia.com/gpu"
        await world.kube.delete(PODS, "one", namespace="default")
        await world.passes(seconds=40)
        assert world.kube.pod("one") is None
        await world.kube.bind(gpu_pod("three"), NODE)
        await world.passes(seconds=10)
        assert world.kube.pod("three")["status"]["phase"] == "Running"

    with_gpu_node(story)


def test_deleting_a_pod_says_so_and_ends_it():
    async def story(world):
        await world.kube.bind(pod("web"), NODE)
        await world.passes(seconds=30)
        await world.kube.delete(PODS, "web", namespace="default")
        assert world.kube.pod("web") is not None
        await world.passes(seconds=5)
        assert world.kube.pod("web") is None
        assert world.kube.all(EVENTS)[-1]["message"] == "Stopping container main"

    with_node(story)


def test_a_script_may_take_its_time_to_end():
    async def story(world):
        script = "end() { sleep 5; exit 7; }; trap end TERM; while true; do sleep 1; done"
        body = pod("slow", command=["sh", "-c", script], restartPolicy="Never")
        body["metadata"]["finalizers"] = ["x/y"]
        await world.kube.bind(body, NODE)
        await world.passes(seconds=20)
        await world.kube.delete(PODS, "slow", namespace="default")
        await world.passes(seconds=4)
        assert "running" in state_of(world.kube.pod("slow"))
        said = []
        patch = world.kube.patch

        async def hearing(resource, name, body, **more):
            said.append(body)
            return await patch(resource, name, body, **more)

        world.kube.patch = hearing
        await world.passes(seconds=3)
        assert world.kube.pod("slow") is None
        assert state_of(said[-1])["terminated"]["exitCode"] == 7

    with_node(story)


@pytest.mark.parametrize(("index", "phase"), [("3", "Failed"), ("4", "Succeeded")])
def test_a_script_may_ask_which_of_a_jobs_pods_it_is_in(index, phase):
    async def story(world):
        script = "if [ $(expr ${INDEX} % 2) -ne 0 ]; then exit 1; else exit 0; fi"
        body = pod("one", command=["sh", "-c", script], restartPolicy="Never", labels={"i": index})
        source = {"fieldRef": {"fieldPath": "metadata.labels['i']"}}
        body["spec"]["containers"][0]["env"] = [{"name": "INDEX", "valueFrom": source}]
        await world.kube.bind(body, NODE)
        await world.passes(seconds=20)
        assert world.kube.pod("one")["status"]["phase"] == phase

    with_node(story)


def test_a_running_job_goes_on_after_a_restart_of_the_process():
    async def story():
        world = World()
        async with world.running():
            made = await world.cloud.create_machine(request())
            await world.passes(minutes=4)
            annotations = {"poolwright.dev/run-seconds": "600"}
            await world.kube.bind(pod("job", annotations=annotations, restartPolicy="Never"), NODE)
            await world.passes(seconds=400)
            assert world.kube.pod("job")["status"]["phase"] == "Running"
        world.restart()
        async with world.running():
            await world.passes(seconds=150)
            assert world.kube.pod("job")["status"]["phase"] == "Running"
            await world.passes(seconds=60)
            assert world.kube.pod("job")["status"]["phase"] == "Succeeded"
            await world.kube.delete(PODS, "job", namespace="default")
            await world.passes(seconds=5)
            assert await world.store.find("cloud/", CHECKPOINT) == []
            await world.cloud.delete_machine(CLUSTER, NODE, uid=made.uid)

    play(story)


@pytest.mark.parametrize("is_reachable", [True, False])
def test_a_stopped_machine_loses_its_pods_but_keeps_its_daemons(is_reachable):
    async def story(world):
        await world.kube.bind(pod("web"), NODE)
        await world.passes(seconds=20)
        machine = await world.machine(NODE)
        await world.cloud.stop_machine(CLUSTER, NODE, uid=machine.uid)
        await world.passes(seconds=5)
        assert world.kube.ready(NODE) == "Unknown"
        assert world.kube.pod("web") is None
        daemon = world.kube.pod("nvidia-device-plugin-x")
        assert {c["type"]: c["status"] for c in daemon["status"]["conditions"]}["Ready"] == "False"
        await world.passes(minutes=2)
        world.kube.is_reachable = is_reachable
        await world.cloud.start_machine(CLUSTER, NODE, uid=machine.uid)
        await world.passes(minutes=2)
        world.kube.is_reachable = True
        await world.passes(minutes=4)
        assert world.kube.ready(NODE) == "True"
        assert world.kube.node(NODE)["status"]["allocatable"]["nvidia.com/gpu"] == "1"
        assert (await world.machine(NODE)).uid == machine.uid

    with_gpu_node(story)


def test_a_kubelet_says_again_that_a_pod_is_ready_when_somebody_noted_its_absence():
    async def story(world):
        await world.kube.bind(pod("web"), NODE)
        await world.passes(seconds=30)
        conditions = world.kube.pod("web")["status"]["conditions"]
        noted = [{**c, "status": "False"} if c["type"] == "Ready" else c for c in conditions]
        change = {"status": {"conditions": noted}}
        await world.kube.patch(PODS, "web", change, namespace="default", subresource="status")
        await world.passes(seconds=5)
        assert {"False"} == {
            c["status"]
            for c in world.kube.pod("web")["status"]["conditions"]
            if c["type"] == "Ready"
        }
        await world.passes(seconds=10)
        assert world.kube.pod("web")["status"]["conditions"] == conditions

    with_node(story)


def test_a_gpu_node_costs_at_most_eight_requests():
    async def story(world):
        spent = sum(n for (verb, _), n in world.kube.requests.items() if verb in WRITES)
        binds = 2  # of the test itself
        assert spent - binds <= 8

    with_gpu_node(story)


WRITES = ("create", "patch", "delete", "replace", "get")


def test_pod_times_are_wall_times_of_their_moments():
    async def story(world):
        before = world.clock.now().wall
        await world.kube.bind(pod("web"), NODE)
        await world.passes(seconds=60)
        started = world.kube.pod("web")["status"]["startTime"]
        assert started >= (before - timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")

    with_node(story)
