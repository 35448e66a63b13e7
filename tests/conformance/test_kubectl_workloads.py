"""The real kubectl on workloads: apply, wait, logs, exec, roll out and delete."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

FILES = Path(__file__).parents[2] / "examples/files"
CUDA = """
apiVersion: v1
kind: Pod
metadata: {name: NAME}
spec:
  restartPolicy: Never
  containers:
  - name: main
    image: nvidia/cuda
    command: [sleep, "3600"]
    resources: {limits: {nvidia.com/gpu: COUNT}}
"""

JOB = """
apiVersion: batch/v1
kind: Job
metadata: {name: smi}
spec:
  template:
    spec:
      restartPolicy: Never
      containers:
      - name: main
        image: nvidia/cuda:12.4.1-base-ubuntu22.04
        command: [sh, -c, "nvidia-smi -L && echo $(PART)"]
        env: [{name: PART, value: main}]
        resources: {limits: {nvidia.com/gpu: 1}}
"""


@pytest.fixture(scope="module")
def kubectl(az, kubectl_of):
    az("group create -n kubework -l eastus")
    az("aks create -g kubework -n c -c 2 -k 1.36.3 --no-ssh-key")
    az("aks nodepool add -g kubework --cluster-name c -n gpu -c 1 -s Standard_NC6s_v3")
    yield kubectl_of("kubework", "c")
    az("group delete -n kubework --yes --no-wait")


def cuda(name, count):
    return CUDA.replace("NAME", name).replace("COUNT", str(count))


def test_pods_of_the_system(kubectl):
    rows = [line.split() for line in kubectl("get pods -A --no-headers").out.splitlines()]
    assert {"default", "kube-system"} <= {row[0] for row in rows}
    assert {row[3] for row in rows} == {"Running"}
    wide = kubectl("get pods -n kube-system -l k8s-app=kube-dns -o wide").out
    assert "NOMINATED NODE" in wide
    assert len(kubectl("get pods -n kube-system -l k8s-app=kube-dns -o name").out.split()) == 2
    gpu = kubectl("get nodes -l agentpool=gpu -o jsonpath={.items[0].metadata.name}").out
    on_it = kubectl("get pods -A -o name --field-selector", f"spec.nodeName={gpu}").out
    assert "nvidia-device-plugin" in on_it
    sets = kubectl("get daemonsets -A -o wide").out
    assert re.search(r"^default +nvidia-device-plugin +1 +1 +1 +1 +1 ", sets, re.MULTILINE)
    assert "No resources found in nothere namespace." in kubectl("get pods -n nothere").err


def test_nvidia_smi_in_the_plugin(kubectl):
    smi = kubectl("exec daemonset/nvidia-device-plugin -- nvidia-smi").out
    assert "NVIDIA-SMI" in smi
    assert "Tesla V100-PCIE-16GB" in smi
    listed = kubectl("exec daemonset/nvidia-device-plugin -- nvidia-smi -L").out
    assert re.fullmatch(r"GPU 0: Tesla V100-PCIE-16GB \(UUID: GPU-[0-9a-f-]+\)\n", listed)
    queried = kubectl(
        "exec daemonset/nvidia-device-plugin -- nvidia-smi --query-gpu=name,memory.total "
        "--format=csv,noheader"
    ).out
    assert queried == "Tesla V100-PCIE-16GB, 16384 MiB\n"
    failed = kubectl("exec daemonset/nvidia-device-plugin -- false", check=False)
    assert (failed.code, "exit code 1" in failed.err) == (1, True)


def test_a_command_that_is_run_prints_what_it_prints(kubectl):
    run = "run once -i --rm --restart=Never --image=busybox --"
    assert kubectl(f"{run} echo hi").out == 'hi\npod "once" deleted\n'
    failed = kubectl(run, "sh", "-c", "echo begun; sleep 30; exit 3", check=False)
    assert (failed.code, failed.out) == (3, 'begun\npod "once" deleted\n')
    without = kubectl(f"{run} nvidia-smi", check=False)
    assert (without.code, "executable file not found in $PATH" in without.err) == (128, True)
    kubectl("apply -f -", stdin=JOB)
    kubectl("wait --for=condition=complete job/smi --timeout=60s")
    listed = kubectl("logs job/smi").out
    assert re.fullmatch(r"GPU 0: Tesla V100-PCIE-16GB \(UUID: GPU-[0-9a-f-]+\)\nmain\n", listed)
    assert kubectl("logs job/smi").out == listed
    kubectl("delete job smi")


def test_autoscale_of_an_older_kubectl(kubectl):
    """Before 1.34 it speaks autoscaling/v1, and nothing is lost on the way through."""
    first = "horizontalpodautoscalers.v1.autoscaling"
    kubectl("create deployment scaled --image=nginx")
    done = kubectl("autoscale deployment scaled --min=2 --max=5 --cpu-percent=70").out
    assert done == "horizontalpodautoscaler.autoscaling/scaled autoscaled\n"
    assert "cpu: <unknown>/70%   2         5 " in kubectl("get hpa").out
    target = {"type": "AverageValue", "averageValue": "1Gi"}
    memory = {"type": "Resource", "resource": {"name": "memory", "target": target}}
    add = json.dumps([{"op": "add", "path": "/spec/metrics/-", "value": memory}])
    kubectl("patch hpa scaled --type=json -p", add)
    seen = kubectl(f"get {first} scaled -o json")
    assert seen.json["spec"]["targetCPUUtilizationPercentage"] == 70
    kubectl("replace -f -", stdin=seen.out.replace(": 70", ": 60"))
    metrics = kubectl("get hpa scaled -o json").json["spec"]["metrics"]
    assert [next(iter(metric["resource"]["target"].values())) for metric in metrics] == ["1Gi", 60]
    kubectl("delete deployment,hpa scaled")


def test_gpus_are_counted(kubectl):
    assert kubectl("apply -f -", stdin=cuda("first", 1)).out == "pod/first created\n"
    kubectl("wait --for=condition=Ready pod/first --timeout=60s")
    kubectl("apply -f -", stdin=cuda("second", 1))
    kubectl(
        "wait --for=jsonpath={.status.conditions[0].reason}=Unschedulable pod/second --timeout=60s"
    )
    described = kubectl("describe pod second").out
    assert re.search(r"Status: +Pending", described)
    assert re.search(r"Warning +FailedScheduling .*0/3 nodes are available", described)
    assert "3 Insufficient nvidia.com/gpu" in described
    node = kubectl("get nodes -l agentpool=gpu -o name").out.strip()
    assert re.search(r"^  nvidia.com/gpu +1 +1", kubectl("describe", node).out, re.MULTILINE)
    kubectl("delete pod first --now")
    kubectl("wait --for=condition=Ready pod/second --timeout=60s")
    kubectl("delete pod second --now")
    half = kubectl("apply -f -", stdin=cuda("half", 0.5), check=False)
    assert half.code == 1
    assert "must be an integer" in half.err


def test_the_manifests_of_the_articles(kubectl):
    applied = kubectl("apply -f", str(FILES / "gpu-toleration.yaml"))
    assert applied.out == "pod/mypod created\n"
    kubectl("wait --for=condition=Ready pod/mypod --timeout=60s")
    again = kubectl("apply -f", str(FILES / "gpu-toleration.yaml"))
    assert again.out == "pod/mypod configured\n"  # the defaulted tolerations differ from the file
    assert kubectl("delete -f", str(FILES / "gpu-toleration.yaml")).out == 'pod "mypod" deleted\n'
    kubectl("apply -f", str(FILES / "samples-tf-mnist-demo.yaml"))
    follow = subprocess.run(
        ["kubectl", "logs", "-f", "--pod-running-timeout=60s", "job/samples-tf-mnist-demo"],
        env=kubectl.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    kubectl("wait --for=condition=complete job/samples-tf-mnist-demo --timeout=60s")
    tail = kubectl("logs -l app=samples-tf-mnist-demo --tail=2").out
    assert len(tail.splitlines()) == 2
    assert follow.returncode == 0 or "ContainerCreating" in follow.stderr
    table = kubectl("get jobs").out.splitlines()
    assert re.match(r"samples-tf-mnist-demo +Complete +1/1 ", table[1])
    assert "Pods Statuses:    0 Active (0 Ready) / 1 Succeeded / 0 Failed" in (
        kubectl("describe job samples-tf-mnist-demo").out
    )
    kubectl("delete job samples-tf-mnist-demo")
    assert kubectl("get pods -l app=samples-tf-mnist-demo -o name").out == ""


def test_a_deployment_rolls_out_and_back(kubectl):
    made = kubectl("create deployment web --image=nginx:1.26 --replicas=2")
    assert made.out == "deployment.apps/web created\n"
    status = kubectl("rollout status deployment/web --timeout=60s").out
    assert status.endswith('deployment "web" successfully rolled out\n')
    kubectl("set image deployment/web nginx=nginx:1.27")
    kubectl("rollout status deployment/web --timeout=60s")
    image = "jsonpath={.spec.template.spec.containers[0].image}"
    assert kubectl("get deployment web -o", image).out == "nginx:1.27"
    assert [
        line.split()[0] for line in kubectl("rollout history deployment/web").out.split("\n")[2:4]
    ] == ["1", "2"]
    assert kubectl("rollout undo deployment/web").out == "deployment.apps/web rolled back\n"
    kubectl("rollout status deployment/web --timeout=60s")
    assert kubectl("get deployment web -o", image).out == "nginx:1.26"
    assert kubectl("scale deployment/web --replicas=5").out == "deployment.apps/web scaled\n"
    kubectl("wait --for=jsonpath={.status.readyReplicas}=5 deployment/web --timeout=60s")
    kubectl("wait --for=condition=Available deployment/web --timeout=60s")
    rows = kubectl("get deploy,rs,pods -l app=web -o name").out.split()
    assert [row.split("/")[0] for row in rows].count("pod") == 5
    assert kubectl("exec deploy/web -- hostname").out.startswith("web-")
    kubectl("rollout restart deployment/web")
    kubectl("rollout status deployment/web --timeout=60s")
    patch = '{"spec":{"template":{"spec":{"containers":[{"name":"nginx","image":"nginx:1.28"}]}}}}'
    assert kubectl("patch deployment web -p", patch).out == "deployment.apps/web patched\n"
    assert kubectl("get deployment web -o", image).out == "nginx:1.28"
    events = kubectl("events --for deployment/web").out
    assert "ScalingReplicaSet" in events
    kubectl("delete deployment web")
    kubectl("wait --for=delete pod -l app=web --timeout=60s")


def test_a_job_and_its_logs(kubectl):
    assert kubectl("create job pi --image=perl -- echo 3.14").out == "job.batch/pi created\n"
    kubectl("wait --for=condition=complete job/pi --timeout=60s")
    assert kubectl("logs job/pi").out == "3.14\n"
    assert kubectl("logs job/pi --tail=1 --timestamps").out.endswith("Z 3.14\n")
    wrong = kubectl("logs job/pi -c nothere", check=False)
    assert (wrong.code, "container nothere is not valid" in wrong.err) == (1, True)
    assert kubectl("delete job pi").out == 'job.batch "pi" deleted\n'


def test_what_apply_says_and_does(kubectl):
    config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: 'VALUE'}\n"
    apply = "apply -f -"
    assert kubectl(apply, stdin=config).out == "configmap/settings created\n"
    assert kubectl(apply, stdin=config).out == "configmap/settings unchanged\n"
    changed = config.replace("VALUE", "2")
    assert kubectl("diff -f -", stdin=changed, check=False).code == 1
    assert kubectl(apply, stdin=changed).out == "configmap/settings configured\n"
    dry = kubectl("apply --dry-run=server -f -", stdin=config)
    assert dry.out == "configmap/settings configured (server dry run)\n"
    assert kubectl("get configmap settings -o jsonpath={.data.a}").out == "2"
    server_side = kubectl("apply --server-side --force-conflicts -f -", stdin=config)
    assert server_side.out == "configmap/settings serverside-applied\n"
    assert kubectl("replace -f -", stdin=changed).out == "configmap/settings replaced\n"
    again = kubectl("create -f -", stdin=config, check=False)
    assert '(AlreadyExists): error when creating "STDIN"' in again.err
    assert kubectl("delete configmap settings").out == 'configmap "settings" deleted\n'


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: BAD}\nspec: {containers: [{name: c}]}",
            'metadata.name: Invalid value: "BAD": a lowercase RFC 1123 subdomain',
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: []}",
            "spec.containers: Required value",
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n"
            "spec: {wrong: 1, containers: [{name: c, image: i}]}",
            'unknown field "spec.wrong"',
        ),
        (
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n"
            "spec: {selector: {matchLabels: {a: b}}, template: {spec: {containers: "
            "[{name: c, image: i}]}}}",
            "`selector` does not match template `labels`",
        ),
        ("apiVersion: v1\nkind: Nothing\nmetadata: {name: p}", 'no matches for kind "Nothing"'),
    ],
)
def test_manifests_that_are_refused(kubectl, manifest, message):
    refused = kubectl("apply -f -", stdin=manifest, check=False)
    assert (refused.code, message in refused.err) == (1, True), str(refused)


def test_namespaces_and_what_is_in_them(kubectl):
    assert kubectl("create namespace team").out == "namespace/team created\n"
    kubectl("run web --image=nginx -n team")
    kubectl("create secret generic token -n team --from-literal=a=b")
    assert kubectl("get secret token -n team -o jsonpath={.data.a}").out == "Yg=="
    kubectl("expose pod web --port=80 -n team")
    assert re.search(r"^web +ClusterIP +10\.0\.", kubectl("get svc -n team").out, re.MULTILINE)
    kubectl("wait --for=condition=Ready pod/web -n team --timeout=60s")
    kubectl("create serviceaccount robot -n team")
    assert kubectl("create token robot -n team").out.count(".") == 2
    assert kubectl("delete namespace team --timeout=60s").out == 'namespace "team" deleted\n'
    assert kubectl("get pods -n team -o name").out == ""


def test_missing_things(kubectl):
    for words, message in (
        ("get pod nothere", 'Error from server (NotFound): pods "nothere" not found\n'),
        ("exec nothere -- ls", 'Error from server (NotFound): pods "nothere" not found\n'),
        ("logs nothere", 'error: error from server (NotFound): pods "nothere" not found'),
        ("get nonsense", 'error: the server doesn\'t have a resource type "nonsense"\n'),
    ):
        missing = kubectl(words, check=False)
        assert missing.code == 1
        assert message.strip() in missing.err


def test_kubectl_on_a_pool_that_goes(kubectl, az):
    az("aks nodepool delete -g kubework --cluster-name c -n gpu")
    assert kubectl("get nodes -l agentpool=gpu -o name").out == ""
    assert kubectl("get pods -n default -o name").out == ""
