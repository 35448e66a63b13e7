"""Logs and exec over a WebSocket, by the protocol that the client offers."""

import asyncio
import json

import pytest

from .in_process import KEY, pod, run

PODS = "/api/v1/namespaces/default/pods"


async def talk(client, path, *protocols, says=()):
    """What is sent over a socket until it closes; ``says`` is what the client sends."""
    sent, incoming = [], [{"type": "websocket.connect"}]
    incoming += [{"type": "websocket.receive", "bytes": data} for data in says]

    async def receive():
        if incoming:
            return incoming.pop(0)
        if says:  # it has said all, and goes
            return {"type": "websocket.disconnect", "code": 1006}
        await asyncio.get_running_loop().create_future()
        return None

    async def send(message):
        sent.append(message)

    path, _, query = path.partition("?")
    headers = [(b"authorization", f"Bearer {client.token}".encode())]
    scope = {"type": "websocket", "path": f"/k8s/{KEY}{path}", "query_string": query.encode(),
             "headers": headers, "subprotocols": list(protocols)}  # fmt: skip
    await client.sim.asgi_app(scope, receive, send)
    accepted, *messages, closed = (*sent, None) if len(sent) == 1 else sent
    if closed is None:
        return accepted["subprotocol"], None
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


CAT = f"{PODS}/web/exec?container=main&command=cat&stdout=1"
CLOSED = b"\xff\x00"


@pytest.mark.parametrize(
    ("more", "says", "printed"),
    [
        ("&stdin=1", [b"\x00a\n", b"\x04{}", b"\x00", b"\x00\xff\n", CLOSED], b"a\n\xff\n"),
        ("&stdin=1", [CLOSED], b""),
        ("", [], b""),
        ("&stdin=1&tty=1", [], b""),
    ],
)
def test_a_command_reads_what_the_client_sends_until_that_is_closed(more, says, printed):
    async def story(client):
        await made(client)
        _, messages = await talk(client, CAT + more, "v5.channel.k8s.io", says=says)
        assert b"".join(data[1:] for data in messages if data[:1] == b"\x01") == printed
        assert json.loads(messages[-1][1:])["status"] == "Success"

    run(story)


def test_a_client_that_goes_is_told_no_more():
    async def story(client):
        await made(client)
        _, messages = await talk(client, CAT + "&stdin=1", "v5.channel.k8s.io", says=[b"\x00a"])
        assert messages is None

    run(story)


def test_a_command_is_not_sent_without_end():
    async def story(client):
        await made(client)
        says = [b"\x00" + b"a" * 2**20] * 5
        _, messages = await talk(client, CAT + "&stdin=1", "v5.channel.k8s.io", says=says)
        assert [data[:1] for data in messages] == [b"\x03"]
        ended = json.loads(messages[0][1:])
        assert (ended["status"], ended["reason"]) == ("Failure", "InternalError")
        assert "its standard input is longer than 4194304 bytes" in ended["message"]

    run(story)
