"""The real kubectl against the embedded API on loopback."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.slow,
    # CI's machine has kubectl: there a missing one is a failure, not a skip.
    pytest.mark.skipif(
        shutil.which("kubectl") is None and not os.environ.get("CI"),
        reason="kubectl is not on PATH",
    ),
]

MANIFEST = """
apiVersion: v1
kind: Node
metadata: {name: n1}
status:
  conditions: [{type: Ready, status: "True"}]
  capacity: {cpu: "4", pods: "110"}
  nodeInfo: {kubeletVersion: v1.35.4}
---
apiVersion: v1
kind: Pod
metadata: {name: p1, labels: {app: x}}
spec:
  nodeName: n1
  containers: [{name: main, image: busybox}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: d1}
spec:
  selector: {matchLabels: {app: d}}
  template:
    metadata: {labels: {app: d}}
    spec: {containers: [{name: main, image: "nginx:1.2"}]}
"""


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kubectl")
    tests = Path(__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": str(tests.parent / "src")}
    with subprocess.Popen(
        [sys.executable, "-m", "kubesim.serving", str(folder)],
        cwd=tests,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        for _ in range(200):
            if (folder / "config").exists():
                break
            time.sleep(0.05)
        manifest = folder / "manifest.yaml"
        manifest.write_text(MANIFEST)

        def call(*arguments, ok=True, said=None):
            done = subprocess.run(
                ["kubectl", "--cache-dir", str(folder / "cache"), *arguments],
                env={**os.environ, "KUBECONFIG": str(folder / "config")},
                capture_output=True,
                text=True,
                input=said,
                timeout=30,
                check=False,
            )
            assert (done.returncode == 0) == ok, done.stderr
            return done.stdout if ok else done.stderr

        call.manifest = str(manifest)
        call("apply", "-f", call.manifest)
        yield call
        server.terminate()


def rows(text):
    return [line.split() for line in text.splitlines()]


def test_apply_again_changes_nothing(kubectl):
    kubectl("apply", "-f", kubectl.manifest)  # other tests, in any order, may have changed things
    assert kubectl("apply", "-f", kubectl.manifest).splitlines() == [
        "node/n1 unchanged",
        "pod/p1 unchanged",
        "deployment.apps/d1 unchanged",
    ]


def test_get_prints_the_columns(kubectl):
    header, node = rows(kubectl("get", "nodes"))
    assert header == ["NAME", "STATUS", "ROLES", "AGE", "VERSION"]
    assert (node[0], node[1], node[4]) == ("n1", "Ready", "v1.35.4")
    assert kubectl("get", "pods", "-A", "-o", "name") == "pod/p1\n"
    assert "NOMINATED NODE" in kubectl("get", "pods", "-o", "wide")


def test_taint_cordon_and_label(kubectl):
    assert kubectl("taint", "node", "n1", "sku=gpu:NoSchedule") == "node/n1 tainted\n"
    taints = kubectl("get", "node", "n1", "-o", "jsonpath={.spec.taints[*].key}")
    assert taints == "sku"
    assert kubectl("taint", "node", "n1", "sku-") == "node/n1 untainted\n"
    assert kubectl("cordon", "n1") == "node/n1 cordoned\n"
    assert "SchedulingDisabled" in kubectl("get", "nodes")
    assert kubectl("uncordon", "n1") == "node/n1 uncordoned\n"
    assert kubectl("label", "node", "n1", "a=b") == "node/n1 labeled\n"
    assert kubectl("get", "nodes", "-l", "a=b", "-o", "name") == "node/n1\n"


def test_logs_and_exec(kubectl):
    assert kubectl("logs", "p1", "--tail=2") == "two\nthree\n"
    assert kubectl("logs", "p1", "-f").splitlines()[-1] == "four"
    assert kubectl("exec", "p1", "--", "nvidia-smi", "-L") == "nvidia-smi -L\n"
    assert "command terminated with exit code 3" in kubectl("exec", "p1", "--", "false", ok=False)
    text = "one\ntwo\n" * 20_000
    assert kubectl("exec", "-i", "p1", "--", "cat", said=text) == text


def test_typed_commands_send_protobuf(kubectl):
    assert kubectl("create", "configmap", "c", "--from-literal=a=b") == "configmap/c created\n"
    assert kubectl("get", "cm", "c", "-o", "jsonpath={.data.a}") == "b"
    created = kubectl("create", "deployment", "web", "--image=nginx:1", "--replicas=2")
    assert created == "deployment.apps/web created\n"
    path = "jsonpath={.spec.replicas} {.spec.template.spec.containers[0].image}"
    assert kubectl("get", "deploy", "web", "-o", path) == "2 nginx:1"
    assert kubectl("auth", "can-i", "create", "pods") == "yes\n"
    assert kubectl("create", "token", "default").count(".") == 2


def test_explain_and_api_resources(kubectl):
    assert "<[]Toleration>" in kubectl("explain", "pods.spec.tolerations")
    found = {line[0]: line for line in rows(kubectl("api-resources"))[1:]}
    assert found["daemonsets"] == ["daemonsets", "ds", "apps/v1", "true", "DaemonSet"]


def test_server_side_apply_names_the_conflict(kubectl):
    kubectl("apply", "--server-side", "-f", kubectl.manifest, "--field-manager=one")
    changed = Path(kubectl.manifest).with_name("changed.yaml")
    changed.write_text(MANIFEST.replace("nginx:1.2", "nginx:1.3"))
    refused = kubectl("apply", "--server-side", "-f", str(changed), "--field-manager=two", ok=False)
    assert '.spec.template.spec.containers[name="main"].image' in refused


def test_errors_are_worded_as_on_a_cluster(kubectl):
    assert kubectl("get", "pod", "zzz", ok=False) == (
        'Error from server (NotFound): pods "zzz" not found\n'
    )
    assert "may not be deleted" in kubectl("delete", "ns", "default", ok=False)
    assert "pod updates may not change fields" in kubectl(
        "patch", "pod", "p1", "-p", '{"spec":{"hostNetwork":true}}', ok=False
    )
