"""What is looked at once more before a machine is touched."""

import asyncio

import pytest

from poolwright.control.act import Actor
from poolwright.model.cluster_key import ClusterKey
from poolwright.model.errors import NotFound
from poolwright.model.machine import Bootstrap
from poolwright.plan.actions import ReimageMachine

KEY = ClusterKey("sub", "rg", "aks1")


class Cluster:
    """A cluster with these Nodes."""

    def __init__(self, *nodes):
        self._nodes = nodes

    def kube(self, key):
        assert key == KEY
        return self

    async def get(self, resource, name):
        if name not in self._nodes:
            raise NotFound(name)
        return {"metadata": {"name": name}}


class Provider:
    """Notes which machines are reimaged."""

    def __init__(self):
        self.reimaged = []

    async def reimage_machine(self, cluster, name, **said):
        self.reimaged.append(name)


async def holds():
    return True


@pytest.mark.parametrize(
    ("lacks_node", "nodes", "reimaged"),
    [(True, (), ["m0"]), (True, ("m0",), []), (False, ("m0",), ["m0"])],
)
def test_a_machine_that_lacks_its_node_is_spared_where_the_node_is_there(
    lacks_node, nodes, reimaged
):
    provider = Provider()
    actor = Actor(provider, Cluster(*nodes), clock=None, identity=None)
    action = ReimageMachine(
        "m0", "u0", 1, Bootstrap("1.35.4", "image"), "gone", lacks_node=lacks_node
    )
    performed = asyncio.run(actor.perform(KEY, [action], is_current=holds))
    assert provider.reimaged == reimaged
    assert performed.done == len(reimaged)
