"""The client and its view against a real API server, behind a network that fails."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from random import Random

import httpx
import pytest

from poolwright.app.real_clock import RealClock
from poolwright.kube.client import Endpoint, HttpKube
from poolwright.kube.kubeconfig import read_kubeconfig
from poolwright.kube.view import InformerView
from poolwright.model.errors import Expired, InvalidRequest
from poolwright.model.kubernetes import NODES
from tcp_proxy import TcpProxy

pytestmark = [pytest.mark.live, pytest.mark.slow]

GUEST = "throttled"


class Traffic:
    def __init__(self):
        self.methods = Counter()

    def sent(self, method, path, size):
        self.methods[method] += 1

    def received(self, size):
        pass


@asynccontextmanager
async def client(access, **settings):
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
    async with httpx.AsyncHTTPTransport(verify=access.ssl_context(), limits=limits) as transport:

        async def connect():
            return Endpoint(transport, access.server_url, access.token)

        yield HttpKube(connect, **settings)


@asynccontextmanager
async def following(kube):
    view = InformerView(kube, RealClock(1), Random(1))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(view.run())
        yield view
        task.cancel()


async def until(question, seconds=30):
    deadline = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.05)


def create(stack, name):
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
    stack.request("POST", "/api/v1/nodes", body)


def test_a_view_survives_what_networks_and_servers_do(shared_cluster):
    stack = shared_cluster
    traffic = Traffic()

    async def scenario():
        access = read_kubeconfig(stack.kubeconfig)
        quick = {"timeout": timedelta(seconds=2), "silence": timedelta(seconds=2)}
        async with TcpProxy(stack.port) as proxy:
            url = f"https://127.0.0.1:{proxy.port}"
            through = replace(access, server_url=url)
            async with client(through, traffic=traffic, **quick) as kube, following(kube) as view:
                await until(lambda: view.is_synced)
                lists = traffic.methods["GET"]

                proxy.close_all()
                create(stack, "watched-1")
                await until(lambda: view.node("watched-1"))

                proxy.stall_all()  # no end of file, no reset
                create(stack, "watched-2")
                await until(lambda: view.node("watched-2"))

                proxy.is_cut_off = True
                proxy.stall_all()
                create(stack, "watched-3")
                await asyncio.sleep(5)
                assert view.node("watched-2"), "the last picture stays"
                assert view.node("watched-3") is None
                assert proxy.open < 12, "what was given up is closed"
                proxy.is_cut_off = False
                await until(lambda: view.node("watched-3"))
                assert traffic.methods["GET"] == lists, "watches went on where they had ended"

                stack.restart()
                create(stack, "watched-4")
                await until(lambda: view.node("watched-4"))
                stack.request("DELETE", "/api/v1/nodes/watched-4")
                await until(lambda: view.node("watched-4") is None)

                with pytest.raises(Expired):
                    await anext(kube.watch(NODES, after="1"))

    try:
        asyncio.run(scenario())
    finally:
        for number in (1, 2, 3):
            stack.request("DELETE", f"/api/v1/nodes/watched-{number}")


FLOW = "/apis/flowcontrol.apiserver.k8s.io/v1"
LEVEL = {
    "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
    "kind": "PriorityLevelConfiguration",
    "metadata": {"name": GUEST},
    "spec": {
        "type": "Limited",
        "limited": {
            "nominalConcurrencyShares": 0,
            "borrowingLimitPercent": 0,
            "limitResponse": {"type": "Reject"},
        },
    },
}
SCHEMA = {
    "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
    "kind": "FlowSchema",
    "metadata": {"name": GUEST},
    "spec": {
        "priorityLevelConfiguration": {"name": GUEST},
        "matchingPrecedence": 2,
        "rules": [
            {
                "subjects": [{"kind": "User", "user": {"name": GUEST}}],
                "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
                "resourceRules": [
                    {
                        "verbs": ["*"],
                        "apiGroups": ["*"],
                        "resources": ["*"],
                        "namespaces": ["*"],
                        "clusterScope": True,
                    }
                ],
            }
        ],
    },
}


def test_a_throttled_client_comes_back_when_it_was_told_to(shared_cluster):
    """API priority and fairness lets the user have one request at a time. The user asks for big
    documents all the time, and has no right to what our client asks for.
    """
    stack = shared_cluster
    stack.authority.issue(GUEST, GUEST)
    pair = [(stack.folder / f"{GUEST}.{part}").read_bytes() for part in ("crt", "key")]
    guest = replace(read_kubeconfig(stack.kubeconfig), certificate_pem=pair[0], key_pem=pair[1])
    traffic = Traffic()

    async def crowd(other):
        while True:
            await other.get(f"{guest.server_url}/openapi/v2")

    async def refused(kube):
        with pytest.raises(InvalidRequest, match="cannot list resource"):
            await kube.list(NODES)

    async def scenario():
        async with (
            client(guest, traffic=traffic) as kube,
            httpx.AsyncClient(verify=guest.ssl_context()) as other,
            asyncio.TaskGroup() as group,
        ):
            others = [group.create_task(crowd(other)) for _ in range(4)]
            for asked in range(1, 1000):
                call = group.create_task(refused(kube))
                while not call.done() and traffic.methods["GET"] <= asked:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
                if traffic.methods["GET"] > asked:
                    break  # it was sent away, and came back
            else:
                pytest.fail("never sent away")
            for task in others:
                task.cancel()

    for plural, body in (("prioritylevelconfigurations", LEVEL), ("flowschemas", SCHEMA)):
        stack.request("POST", f"{FLOW}/{plural}", body)
    try:
        asyncio.run(asyncio.wait_for(scenario(), 60))
    finally:
        for plural in ("flowschemas", "prioritylevelconfigurations"):
            stack.request("DELETE", f"{FLOW}/{plural}/{GUEST}")
