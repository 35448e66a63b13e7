"""Two worlds for every story: the embedded Kubernetes and, where its tools are, the real one."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

import pytest

from absent import live_binaries, missing
from behaviour.world import World
from embedded_stack import EmbeddedStack
from live_stack import COMPONENTS, LiveStack, live_tools

HERE = Path(__file__).parent
STACKS = {"embedded": EmbeddedStack, "live": LiveStack}


STORIES = json.loads((HERE / "differences.json").read_text())["stories"]


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE not in Path(item.fspath).parents:
            continue
        item.add_marker(pytest.mark.slow)
        reason = STORIES.get(f"{Path(item.fspath).stem}: {item.name}")
        if reason:
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True))


def _kubectl() -> Path:
    live_tools.await_build("kubectl")
    found = live_tools.find("kubectl") or shutil.which("kubectl")
    if found is None:
        missing("kubectl")
    return Path(str(found))


@contextlib.contextmanager
def _running(name: str, folder: Path):
    kubectl = _kubectl()
    if name == "live":
        live_binaries(*COMPONENTS)
    stack = STACKS[name](folder)
    stack.start()
    try:
        world = World(name, stack, kubectl)
        yield world
        world.close()
    finally:
        stack.stop()


@pytest.fixture(scope="session")
def world_of(tmp_path_factory):
    """Worlds by name; each starts when it is first asked for and ends with the session."""
    worlds: dict[str, World] = {}
    with contextlib.ExitStack() as running:

        def of(name: str) -> World:
            if name not in worlds:
                worlds[name] = running.enter_context(_running(name, tmp_path_factory.mktemp(name)))
            return worlds[name]

        yield of


@pytest.fixture(scope="module", params=["embedded", pytest.param("live", marks=pytest.mark.live)])
def world(request, world_of):
    return world_of(request.param)


@pytest.fixture
def namespace(world, request):
    """A namespace of this test's own, gone afterwards."""
    body = {"metadata": {"generateName": "story-"}}
    name = world.create("/api/v1/namespaces", body)["metadata"]["name"]
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    world.until(lambda: world.ask("GET", account).status_code == 200)
    yield name
    world.delete(f"/api/v1/namespaces/{name}")
