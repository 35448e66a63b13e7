"""The real helm, an embedded Kubernetes and stores."""

from __future__ import annotations

import pytest

from absent import live_binaries
from adopted import Kubectl
from embedded_stack import EmbeddedStack
from helm_chart import Helm
from postgresql_server import postgresql_server, require_binaries


@pytest.fixture(scope="session")
def helm(tmp_path_factory):
    return Helm(live_binaries("helm")["helm"], tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="session")
def embedded(tmp_path_factory):
    """An embedded Kubernetes."""
    stack = EmbeddedStack(tmp_path_factory.mktemp("embedded"), nodes=1, stays_fast=True)
    stack.start()
    yield stack
    stack.stop()


@pytest.fixture(autouse=True)
def given_up(given_up, request):
    """So is the embedded one."""
    if "embedded" not in request.fixturenames:
        yield
        return
    live_binaries("kubectl")
    kubectl = Kubectl(request.getfixturevalue("embedded").kubeconfig)
    yield
    kubectl("delete", "configmap", "poolwright-owner", "-n", "kube-system", "--ignore-not-found")


@pytest.fixture(scope="module")
def store():
    """The URL of a PostgreSQL that is empty at first."""
    require_binaries()
    with postgresql_server() as url:
        yield url


@pytest.fixture
def empty_store():
    """The URL of an empty PostgreSQL of this test's own."""
    require_binaries()
    with postgresql_server() as url:
        yield url
