"""The real Kubernetes that other suites compare with: it starts, runs pods and survives."""

from __future__ import annotations

import json
import subprocess

import pytest

from live_stack import live_tools

pytestmark = pytest.mark.live

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "smoke", "namespace": "default"},
    "spec": {"containers": [{"name": "c", "image": "registry.k8s.io/pause:3.10"}]},
}


@pytest.fixture(scope="module")
def kubectl(stack):
    binary = live_tools.require("kubectl")["kubectl"]

    def run(*words, stdin=""):
        done = subprocess.run(
            [str(binary), f"--kubeconfig={stack.kubeconfig}", *words[0].split(), *words[1:]],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            input=stdin,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_it_is_the_version_that_is_pinned(kubectl):
    versions = json.loads(kubectl("version -o json"))
    expected = f"v{live_tools.kubernetes_version()}"
    assert versions["serverVersion"]["gitVersion"] == expected
    assert versions["clientVersion"]["gitVersion"] == expected


def test_a_pod_runs_and_survives_a_restart_of_the_api(stack, kubectl):
    kubectl("create -f -", stdin=json.dumps(POD))
    kubectl("wait --for=condition=Ready pod/smoke --timeout=30s")
    node = kubectl("get pod smoke -o jsonpath={.spec.nodeName}")
    stack.restart()
    assert kubectl("get pod smoke -o jsonpath={.spec.nodeName}") == node
    kubectl("delete pod smoke --wait=true --timeout=30s")
