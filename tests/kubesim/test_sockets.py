"""Logs and exec over a WebSocket, by the protocol that the client offers."""

import asyncio
import json

import pytest

from .in_process import KEY, pod, run

PODS = "/api/v1/namespaces/default/pods"


async def talk(client, path, *protocols):
    """What is sent over a socket until it closes."""
    sent, incoming = [], [{"type": "websocket.connect"}]

    async def receive():
        if incoming:
            return incoming.pop()
        await asyncio.get_running_loop().create_future()
        return None

    async def send(message):
        sent.append(message)

    path, _, query = path.partition("?")
    headers = [(b"authorization", f"Bearer {client.token}".encode())]
    scope = {"type": "websocket", "path": f"/k8s/{KEY}{path}", "query_string": query.encode(),
             "headers": headers, "subprotocols": list(protocols)}  # fmt: skip
    await client.sim.asgi_app(scope, receive, send)
    accepted, *messages, closed = sent
    assert (accepted["type"], closed["type"]) == ("websocket.accept", "websocket.close")
    return accepted["subprotocol"], [message["bytes"] for message in messages]


async def made(client):
    body = pod("web", node="n1")
    await client("POST", PODS, body)
    running = {"name": "main", "state": {"running": {}}}
    status = {"status": {"phase": "Running", "containerStatuses": [running]}}
    await client("PATCH", f"{PODS}/web/status", status,
                 content_type="application/merge-patch+json")  # fmt: skip


def test_a_log_comes_as_it_is():
    async def story(client):
        await made(client)
        protocol, messages = await talk(client, f"{PODS}/web/log?container=main", "binary.k8s.io")
        assert (protocol, b"".join(messages)) == ("binary.k8s.io", b"one\ntwo\nthree\n")

    run(story)


@pytest.mark.parametrize(
    ("offered", "command", "said"),
    [
        (["channel.k8s.io"], "hello", [b"\x01hello\n"]),
        (["channel.k8s.io"], "false", [
            b"\x02no\n", b"\x03command terminated with non-zero exit code: exit status 3"]),
    ],
)  # fmt: skip
def test_the_first_protocol_has_no_word_of_success(offered, command, said):
    async def story(client):
        await made(client)
        path = f"{PODS}/web/exec?container=main&command={command}&stdout=1&stderr=1"
        assert await talk(client, path, *offered) == ("channel.k8s.io", said)

    run(story)


def test_a_later_protocol_ends_with_a_status():
    async def story(client):
        await made(client)
        path = f"{PODS}/web/exec?container=main&command=hello&stdout=1"
        protocol, messages = await talk(client, path, "channel.k8s.io", "v4.channel.k8s.io")
        assert protocol == "v4.channel.k8s.io"
        assert messages[0] == b"\x01hello\n"
        assert json.loads(messages[1][1:])["status"] == "Success"

    run(story)
