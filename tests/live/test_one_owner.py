"""Two stores and one real cluster: one of them has it, until it is given up."""

from __future__ import annotations

import signal

import pytest

from adopted import Kubectl, Served, up
from waiting import until

pytestmark = pytest.mark.live

NAME = ("--resource-group", "rg1", "--cluster-name", "live")
OBJECT = ("configmap", "poolwright-owner", "-n", "kube-system")


def end(process):
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors


def refused(process):
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert errors.count("\n") == 1, errors
    assert "the cluster belongs to another store as live in rg1; start on that store, or" in errors
    return True


def start(cluster, *folders):
    """Servers that start at the same moment: those that are ready; the others were refused."""
    processes = {folder: up(cluster.kubeconfig, folder, *NAME) for folder in folders}
    ready = {f: p for f, p in processes.items() if p.stdout.readline().startswith("ready ")}
    assert all(refused(process) for folder, process in processes.items() if folder not in ready)
    return ready


def test_two_stores_do_not_get_one_cluster(shared_cluster, tmp_path):
    kubectl = Kubectl(shared_cluster.kubeconfig)
    folders = tmp_path / "one", tmp_path / "two"
    [(first, server)] = start(shared_cluster, *folders).items()
    second = next(folder for folder in folders if folder != first)
    end(server)
    assert not start(shared_cluster, second), "a server that is down has given nothing up"

    kubectl("delete", *OBJECT)
    [(_, server)] = start(shared_cluster, second).items()
    assert not start(shared_cluster, first)
    end(server)
    [(_, server)] = start(shared_cluster, second).items()
    end(server)


def test_a_managed_cluster_that_is_deleted_is_given_up(shared_cluster, tmp_path):
    kubectl = Kubectl(shared_cluster.kubeconfig)
    server = Served(shared_cluster.kubeconfig, tmp_path / "one")
    assert kubectl("get", *OBJECT, "-o", "jsonpath={.immutable}") == "true"
    server("aks", "delete", "-g", "rg1", "-n", "live", "-y")
    until(lambda: not kubectl("get", *OBJECT, "--ignore-not-found"))
    server.stop()
    [(_, other)] = start(shared_cluster, tmp_path / "two").items()
    end(other)
