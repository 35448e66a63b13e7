import asyncio
import json

import pytest

from poolwright.model.errors import InvalidRequest, Transient
from poolwright.model.gpu import MigProfile, MigStrategy
from poolwright.model.kubernetes import PODS
from poolwright.providers.simulated.kubelet_api import EXPORTER_PORT
from poolwright.providers.simulated.workload import RUN_SECONDS
from providers.test_simulated_pods import NODE, with_gpu_node, with_node
from providers.world import CLUSTER, gpu_pod, pod

MNIST = "mcr.microsoft.com/azuredocs/samples-tf-mnist-demo:gpu"


def api(world):
    return world.cloud.kubelet


async def read(lines):
    return [line.decode() async for line in lines]


async def run(world, name, *command):
    return await api(world).execute(CLUSTER, world.kube.pod(name), "main", command)


READING = [
    (["cat"], b"b\na\n\xff", 0),
    (["head", "-n", "1"], b"b\n", 0),
    (["head", "-c", "2"], b"b\n", 0),
    (["tail", "-c", "1"], b"\xff", 0),
    (["tail", "-c+4"], b"\n\xff", 0),
    (["wc", "-c"], b"5\n", 0),
    (["wc"], b"      2       3       5\n", 0),
    (["tee", "/tmp/x"], b"b\na\n\xff", 0),
    (["grep", "-c", "a"], b"1\n", 0),
    (["sh", "-c", "cat | head -n 1; cat; echo end"], b"b\nend\n", 0),
    (["sh", "-c", "X=$(cat); cat; echo $X | head -n 1; exit 3"], b"b\n", 3),
    (["sh", "-c", "sh -c 'head -n 2'"], b"b\na\n", 0),
    (["sh", "-c", "cat < /dev/null; true | cat"], None, 0),
    (["cat", "/etc/hostname"], None, 0),
    (["hostname"], None, 0),
]


@pytest.mark.parametrize(("command", "printed", "code"), READING)
def test_a_command_reads_its_standard_input_once_if_at_all(command, printed, code):
    async def story(world):
        await world.kube.bind(pod("web"), NODE)
        await world.passes(seconds=60)
        asked = []

        async def standard_input():
            asked.append(1)
            return b"b\na\n\xff"

        found = await api(world).execute(
            CLUSTER, world.kube.pod("web"), "main", command, standard_input=standard_input
        )
        assert found.exit_code == code
        assert len(asked) == (printed is not None)
        if printed is not None:
            assert found.stdout == printed
        bare = await run(world, "web", *command)  # nothing is there to be read
        assert b"not found" not in bare.stderr

    with_node(story)


def test_files_stay_until_the_container_ends():
    async def story(world):
        await world.kube.bind(pod("web", annotations={RUN_SECONDS: "300"}), NODE)
        await world.passes(seconds=40)
        asked = []

        async def said(text, *command):
            async def standard_input():
                asked.append(1)
                return text

            found = await api(world).execute(
                CLUSTER, world.kube.pod("web"), "main", command, standard_input=standard_input
            )
            return found.stdout, found.stderr, found.exit_code

        await said(b"two\n", "sh", "-c", "echo one > /tmp/a; cat >> /tmp/a")
        assert await said(b"", "cat", "/tmp/a") == (b"one\ntwo\n", b"", 0)
        packed, *_ = await said(b"", "tar", "cf", "-", "/tmp/a")
        assert await said(packed, "tar", "-xmf", "-", "-C", "/b") == (b"", b"", 0)
        assert await said(b"", "cat", "/b/tmp/a") == (b"one\ntwo\n", b"", 0)
        assert await said(b"", "ls", "/b") == (b"tmp\n", b"", 0)
        assert (await said(b"", "tar", "cf", "-", "/none"))[2] == 2
        assert (await said(b"no archive" * 99, "tar", "xf", "-"))[2] == 2
        full = (await said(b"a" * 2**20, "tee", "/tmp/b"))[1]
        assert full == b"tee: write error: No space left on device\n"
        assert len(asked) == 4  # only what is read is asked for
        await world.passes(seconds=300)
        assert world.kube.pod("web")["status"]["containerStatuses"][0]["restartCount"] == 1
        assert (await said(b"", "cat", "/tmp/a"))[2] == 1

    with_node(story)


def test_a_shell_reads_its_script():
    async def story(world):
        await world.kube.bind(pod("web"), NODE)
        await world.passes(seconds=60)

        async def script():
            return b"echo one\ncat\nexit 4\n"

        found = await api(world).execute(
            CLUSTER, world.kube.pod("web"), "main", ["sh"], standard_input=script
        )
        assert (found.stdout, found.exit_code) == (b"one\n", 4)

    with_node(story)


def test_nvidia_smi_runs_in_the_plugin_pod():
    async def story(world):
        result = await run(world, "nvidia-device-plugin-x", "nvidia-smi")
        text = result.stdout.decode()
        assert result.exit_code == 0
        assert "NVIDIA A100 80GB PCIe" in text
        assert "Driver Version: 580.159.04" in text
        assert "CUDA Version: 13.0" in text
        assert "No running processes found" in text
        assert len({len(line) for line in text.splitlines() if line[:1] in "|+" and line}) == 1

    with_gpu_node(story)


def test_a_pod_sees_only_the_gpu_that_it_holds():
    async def story(world):
        await world.kube.bind(gpu_pod("train"), NODE)
        await world.kube.bind(pod("web"), NODE)
        await world.passes(seconds=60)
        listed = await run(world, "train", "nvidia-smi", "-L")
        assert listed.stdout.decode().startswith("GPU 0: NVIDIA A100 80GB PCIe (UUID: GPU-")
        without = await run(world, "web", "nvidia-smi")
        assert without.exit_code == 127
        assert b'exec: "nvidia-smi": executable file not found in $PATH' in without.stderr

    with_gpu_node(story)


def test_nvidia_smi_answers_queries_in_csv():
    async def story(world):
        query = "--query-gpu=name,memory.total,mig.mode.current"
        result = await run(world, "nvidia-device-plugin-x", "nvidia-smi", query, "--format=csv")
        assert result.stdout.decode() == (
            "name, memory.total [MiB], mig.mode.current\n"
            "NVIDIA A100 80GB PCIe, 81920 MiB, Disabled\n"
        )
        wrong = await run(
            world, "nvidia-device-plugin-x", "nvidia-smi", "--query-gpu=x", "--format=csv"
        )
        assert wrong.exit_code == 2
        assert b'Field "x" is not a valid field to query.' in wrong.stdout

    with_gpu_node(story)


def test_mig_instances_show_in_allocatable_nvidia_smi_and_metrics():
    async def story(world):
        node = world.kube.node(NODE)
        assert node["status"]["allocatable"]["nvidia.com/mig-1g.10gb"] == "7"
        listed = (await run(world, "nvidia-device-plugin-x", "nvidia-smi", "-L")).stdout.decode()
        assert listed.count("MIG 1g.10gb") == 7
        answer = await api(world).proxy(CLUSTER, NODE, EXPORTER_PORT, "/metrics")
        text = answer.body.decode()
        assert text.count("DCGM_FI_PROF_GR_ENGINE_ACTIVE{") == 7
        assert 'GPU_I_PROFILE="1g.10gb"' in text
        assert "DCGM_FI_DEV_GPU_UTIL{" not in text
        await world.kube.bind(gpu_pod("slice", 2, "nvidia.com/mig-1g.10gb"), NODE)
        await world.passes(seconds=30)
        seen = (await run(world, "slice", "nvidia-smi", "-L")).stdout.decode()
        assert seen.count("MIG 1g.10gb") == 2

    with_gpu_node(story, mig_profile=MigProfile.MIG1G, mig_strategy=MigStrategy.MIXED)


def test_the_exporter_shows_a_load_while_a_pod_holds_the_gpu():
    async def story(world):
        def utilisation(text):
            line = next(ln for ln in text.splitlines() if ln.startswith("DCGM_FI_DEV_GPU_UTIL{"))
            return float(line.rsplit(" ", 1)[1]), line

        before = await api(world).proxy(CLUSTER, NODE, EXPORTER_PORT, "/metrics")
        assert utilisation(before.body.decode())[0] == 0
        assert before.content_type.startswith("text/plain; version=0.0.4")
        await world.kube.bind(
            gpu_pod("train", annotations={"poolwright.dev/gpu-utilization": "60"}), NODE
        )
        await world.passes(seconds=60)
        after = await api(world).proxy(CLUSTER, NODE, EXPORTER_PORT, "metrics")
        value, line = utilisation(after.body.decode())
        assert value == 60
        for label in ("gpu=", "UUID=", "pci_bus_id=", "device=", "modelName=", "Hostname="):
            assert label in line
        assert 'DCGM_FI_DRIVER_VERSION="580.159.04"' in line
        health = await api(world).proxy(CLUSTER, NODE, EXPORTER_PORT, "/health")
        assert health.status == 200

    with_gpu_node(story)


def test_nothing_listens_where_no_exporter_runs():
    async def story(world):
        with pytest.raises(Transient, match="connection refused"):
            await api(world).proxy(CLUSTER, NODE, EXPORTER_PORT, "/metrics")
        with pytest.raises(Transient, match="no route to host"):
            await api(world).proxy(CLUSTER, "elsewhere", EXPORTER_PORT, "/metrics")

    with_node(story)


def test_the_sample_trains_for_two_minutes_and_says_it_is_simulated():
    async def story(world):
        sample = gpu_pod("mnist", restartPolicy="OnFailure", owner="Job")
        sample["spec"]["containers"][0] |= {"image": MNIST, "args": ["--max_steps", "500"]}
        await world.kube.bind(sample, NODE)
        await world.passes(seconds=60)
        found = world.kube.pod("mnist")
        assert found["status"]["phase"] == "Running"
        so_far = await read(api(world).logs(CLUSTER, found, "main"))
        assert 0 < len(so_far) < 55
        await world.passes(minutes=3)
        found = world.kube.pod("mnist")
        assert found["status"]["phase"] == "Succeeded"
        lines = await read(api(world).logs(CLUSTER, found, "main"))
        assert lines[-2].startswith("Accuracy at step 500: 0.9")
        assert all("simulated" in line for line in lines)
        tail = await read(api(world).logs(CLUSTER, found, "main", tail_lines=2, timestamps=True))
        assert len(tail) == 2
        assert tail[0].startswith("2026-06-01T")

    with_gpu_node(story)


def test_following_logs_ends_with_the_container():
    async def story(world):
        sample = gpu_pod("mnist", restartPolicy="Never", owner="Job")
        sample["spec"]["containers"][0] |= {"image": MNIST, "args": ["--max_steps", "500"]}
        await world.kube.bind(sample, NODE)
        await world.passes(seconds=60)
        async with asyncio.timeout(10):
            logs = api(world).logs(CLUSTER, world.kube.pod("mnist"), "main", follow=True)
            lines = await read(logs)
        assert any(line.startswith("Accuracy at step 500") for line in lines)

    with_gpu_node(story)


def test_logs_of_a_waiting_container_are_refused():
    async def story(world):
        await world.kube.bind(pod("web", "acme/does-not-exist:1"), NODE)
        await world.passes(seconds=10)
        with pytest.raises(InvalidRequest, match="is waiting to start: ImagePullBackOff"):
            await read(api(world).logs(CLUSTER, world.kube.pod("web"), "main"))
        with pytest.raises(InvalidRequest, match="previous terminated container"):
            await read(api(world).logs(CLUSTER, world.kube.pod("web"), "main", previous=True))

    with_node(story)


@pytest.mark.parametrize(
    ("command", "out", "code"),
    [
        (("echo", "hi"), "hi\n", 0),
        (("sh", "-c", "echo a && echo b"), "a\nb\n", 0),
        (("sh", "-c", "echo $HOSTNAME; exit 3"), "web\n", 3),
        (("hostname",), "web\n", 0),
        (("cat", "/nothing"), "", 1),
        (("vim",), "", 127),
        (("sh", "-c", "vim"), "", 127),
    ],
)
def test_a_container_understands_a_few_commands(command, out, code):
    async def story(world):
        await world.kube.bind(pod("web"), NODE)
        await world.passes(seconds=30)
        result = await run(world, "web", *command)
        assert (result.stdout.decode(), result.exit_code) == (out, code)

    with_node(story)


def test_the_gpu_components_say_how_they_started():
    async def story(world):
        def lines(name, **how):
            return read(api(world).logs(CLUSTER, world.kube.pod(name), "main", **how))

        plugin = await lines("nvidia-device-plugin-x")
        assert "simulated" in plugin[0]
        assert sum("Registered device plugin" in line for line in plugin) == 1
        assert 'resourceName="nvidia.com/gpu"' in plugin[-1]
        assert plugin[0].startswith("I")
        exporter = await lines("nvidia-dcgm-exporter-x", tail_lines=1)
        assert len(exporter) == 1
        assert exporter[0].endswith(f'msg="Listening on" address="[::]:{EXPORTER_PORT}"\n')
        stamped = await lines("nvidia-dcgm-exporter-x", timestamps=True)
        assert stamped[0].split()[1].startswith(f"time={stamped[0][:17]}")
        assert stamped == sorted(stamped)

    with_gpu_node(story)


def test_a_kubelet_lists_its_pods():
    async def story(world):
        await world.kube.bind(pod("web"), NODE)
        await world.passes(seconds=30)
        answer = await world.cloud.kubelet.proxy(CLUSTER, NODE, 10250, "/pods")
        (found,) = json.loads(answer.body)["items"]
        assert (found["metadata"]["name"], found["status"]["phase"]) == ("web", "Running")
        assert found["spec"]["containers"] == [{"name": "main", "image": "nginx:1.15.9"}]
        assert "deletionTimestamp" not in found["metadata"]
        await world.kube.delete(PODS, "web", namespace="default")
        await world.passes(seconds=0.1)
        answer = await world.cloud.kubelet.proxy(CLUSTER, NODE, 10250, "/pods/")
        (found,) = json.loads(answer.body)["items"]
        assert found["metadata"]["deletionTimestamp"]
        await world.passes(seconds=10)
        answer = await world.cloud.kubelet.proxy(CLUSTER, NODE, 10250, "/pods")
        assert json.loads(answer.body)["items"] == []

    with_node(story)
