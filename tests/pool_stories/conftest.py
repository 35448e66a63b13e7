"""Two worlds for every story: the embedded Kubernetes and, where its tools are, a real one."""

from __future__ import annotations

import shutil
from itertools import count
from pathlib import Path

import pytest

from absent import live_binaries, missing
from live_stack import COMPONENTS, live_tools
from pool_stories.world import Pool, PoolWorld

HERE = Path(__file__).parent
_numbers = count(1)


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in Path(item.fspath).parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", params=["embedded", pytest.param("live", marks=pytest.mark.live)])
def world(request, tmp_path_factory):
    live_tools.await_build("kubectl")
    kubectl = live_tools.find("kubectl") or shutil.which("kubectl")
    if kubectl is None:
        missing("kubectl")
    if request.param == "live":
        live_binaries(*COMPONENTS)
    world = PoolWorld(request.param, tmp_path_factory.mktemp(request.param), Path(str(kubectl)))
    try:
        world.start()
        yield world
        world.stop()
    finally:
        world.kill()


@pytest.fixture
def pool(world):
    """A pool of this story's own, to be made by it and gone afterwards."""
    pool = Pool(world, f"p{next(_numbers)}")
    yield pool
    if pool.name in world.pools():
        pool.delete()


@pytest.fixture
def namespace(world):
    """A namespace of this story's own, gone afterwards."""
    body = {"metadata": {"generateName": "story-"}}
    name = world.kube.create("/api/v1/namespaces", body)["metadata"]["name"]
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    world.kube.until(lambda: world.kube.ask("GET", account).status_code == 200)
    yield name
    world.kube.delete(f"/api/v1/namespaces/{name}")
