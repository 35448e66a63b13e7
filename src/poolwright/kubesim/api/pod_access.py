"""What reaches through to a node: logs, exec, attach, proxy; and bindings and evictions.

Source: k8s.io/kubernetes pkg/registry/core/pod/{strategy.go,rest} (messages),
k8s.io/apimachinery pkg/util/remotecommand (channels of the WebSocket protocols).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

from poolwright.kubesim import status
from poolwright.kubesim.api import negotiate
from poolwright.kubesim.api.call import Call
from poolwright.kubesim.api.target import Target
from poolwright.kubesim.binding import bind_pod, evict_pod
from poolwright.kubesim.entry import encode
from poolwright.kubesim.meta import Preconditions
from poolwright.model import kubernetes as names
from poolwright.model.errors import InvalidRequest, NotFound, Transient
from poolwright.model.json_value import child, children

_PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io")
_FIRST_PROTOCOL = _PROTOCOLS[-1]
_PLAIN_PROTOCOL = "binary.k8s.io"
_STDIN, _STDOUT, _STDERR, _ERROR = b"\x00", b"\x01", b"\x02", b"\x03"
_CLOSE = b"\xff"
"""Before a channel that its sender closes, from v5 on; before that a client could not say so."""
_MOST_INPUT = 4 * 1024 * 1024
"""A command is given so many bytes: it gets them at once, when there are no more."""
_CHUNK = 32 * 1024
_STREAMS_SECONDS = 0.05
"""What a client gets to make its streams, as it has while a runtime starts a process: older kubectl
drops what comes before that. Source: kubernetes/kubernetes#131203.
"""
_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
KUBELET_PORT = 10250

Verb = Callable[[Call, Target], Awaitable[None]]


def _pod(call: Call, target: Target) -> dict[str, Any]:
    body = call.registry.get(names.PODS, target.name, target.namespace)
    if body is None:
        raise target.missing
    return body


def _container(pod: dict[str, Any], asked: str) -> str:
    """The container that a request means."""
    name = pod["metadata"]["name"]
    main = [str(c.get("name")) for c in children(pod, "spec", "containers")]
    init = [str(c.get("name")) for c in children(pod, "spec", "initContainers")]
    if asked:
        if asked not in main + init:
            raise status.bad_request(f"container {asked} is not valid for pod {name}")
        return asked
    if len(main) == 1:
        return main[0]
    preferred = child(pod, "metadata", "annotations").get(_DEFAULT_CONTAINER)
    if preferred in main:
        return str(preferred)
    choices = f"choose one of: [{' '.join(main)}]"
    if init:
        choices += f" or one of the init containers: [{' '.join(init)}]"
    raise status.bad_request(f"a container name must be specified for pod {name}, {choices}")


def _integer(call: Call, name: str) -> int | None:
    text = call.query.get(name)
    if not text:
        return None
    if not text.isdecimal():
        raise status.bad_request(f'{name}: Invalid value: "{text}"')
    return int(text)


# Logs


def _since(call: Call) -> datetime | None:
    seconds, text = _integer(call, "sinceSeconds"), call.query.get("sinceTime")
    if seconds:
        return call.registry.clock.now().wall - timedelta(seconds=seconds)
    if not text:
        return None
    try:
        since = datetime.fromisoformat(text)
    except ValueError:
        raise status.bad_request(f'invalid sinceTime: "{text}"') from None
    return since if since.tzinfo else since.replace(tzinfo=UTC)


async def _after(
    lines: AsyncIterator[bytes], since: datetime, *, keep_stamp: bool
) -> AsyncIterator[bytes]:
    """Only the lines of stamped logs that are not older than a time."""
    async for line in lines:
        stamp, _, text = line.partition(b" ")
        try:
            at = datetime.fromisoformat(stamp.decode()[:26].rstrip("Z") + "+00:00")
        except ValueError:
            at = since
        if at >= since:
            yield line if keep_stamp else text


async def logs(call: Call, target: Target) -> None:
    """GET of a pod's log."""
    pod = _pod(call, target)
    container = _container(pod, call.query.get("container", ""))
    if not child(pod, "spec").get("nodeName"):
        raise status.bad_request(f"pod {target.name} does not have a host assigned")
    since = _since(call)
    stamped = call.flag("timestamps")
    lines = call.cluster.kubelet.logs(
        call.cluster.key,
        pod,
        container,
        follow=call.flag("follow"),
        tail_lines=_integer(call, "tailLines"),
        timestamps=stamped or since is not None,
        previous=call.flag("previous"),
    )
    if since is not None:
        lines = _after(lines, since, keep_stamp=stamped)
    await _stream_lines(call, lines, _integer(call, "limitBytes"))


async def _stream_lines(call: Call, lines: AsyncIterator[bytes], limit: int | None) -> None:
    """Send lines as they come; a refusal before the first one is a ``Status``."""
    failure: list[status.StatusError] = []

    async def pump() -> None:
        started = False
        left = limit
        try:
            async for line in lines:
                if not started:
                    await _start(call)
                    started = True
                piece = line if left is None else line[:left]
                await _send_piece(call, piece)
                if left is not None:
                    left -= len(piece)
                    if left <= 0:
                        break
        except (InvalidRequest, NotFound) as error:
            failure.append(status.bad_request(error.message))
        except Transient as error:
            failure.append(_unreachable(error))
        if failure and not started:
            return
        if not started:
            await _start(call)
        await _end(call)
        failure.clear()

    if call.is_socket:
        await call.receive()
    async with asyncio.TaskGroup() as group:
        pumping = group.create_task(pump())
        leaving = group.create_task(_cancel_when_gone(call, pumping))
        pumping.add_done_callback(lambda _: leaving.cancel())
    if failure:
        raise failure[0]


async def _start(call: Call) -> None:
    if call.is_socket:
        await call.send({"type": "websocket.accept", "subprotocol": _agreed(call, _PLAIN_PROTOCOL)})
        return
    await call.send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"text/plain"), (b"cache-control", b"no-cache, private")],
        }
    )


async def _send_piece(call: Call, piece: bytes) -> None:
    if call.is_socket:
        await call.send({"type": "websocket.send", "bytes": piece})
    else:
        await call.send({"type": "http.response.body", "body": piece, "more_body": True})


async def _end(call: Call) -> None:
    if call.is_socket:
        await call.send({"type": "websocket.close", "code": 1000})
    else:
        await call.send({"type": "http.response.body", "body": b"", "more_body": False})


def _agreed(call: Call, *known: str) -> str | None:
    """The protocol that the client offers and we know."""
    offered: list[str] = list(call.scope.get("subprotocols") or ())
    return next((protocol for protocol in known if protocol in offered), None)


async def _cancel_when_gone(call: Call, task: asyncio.Task[None]) -> None:
    while True:
        message = await call.receive()
        if message["type"].endswith(".disconnect"):
            task.cancel()
            return


def _unreachable(error: Transient) -> status.StatusError:
    return status.StatusError(
        500,
        "InternalError",
        f"Internal error occurred: {error.message}",
        details={"causes": [{"message": error.message}]},
    )


# Exec and attach


def _multi(call: Call, name: str) -> list[str]:
    raw: bytes = call.scope.get("query_string", b"")
    return [v for k, v in parse_qsl(raw.decode("latin-1"), keep_blank_values=True) if k == name]


def _running(pod: dict[str, Any], container: str) -> None:
    phase = child(pod, "status").get("phase")
    if phase in {"Succeeded", "Failed"}:
        raise status.bad_request(
            "cannot exec into a container in a completed pod; current phase is " + str(phase)
        )
    if not child(pod, "spec").get("nodeName"):
        name = pod["metadata"]["name"]
        raise status.bad_request(f"pod {name} does not have a host assigned")


async def execute(call: Call, target: Target) -> None:
    """A command in a container, over WebSocket."""
    _admit(call, target, {"kind": "PodExecOptions", "command": _multi(call, "command")})
    pod = _pod(call, target)
    container = _container(pod, call.query.get("container", ""))
    _running(pod, container)
    command = _multi(call, "command")
    if not command:
        raise status.bad_request("you must specify at least one command for the container")
    if not call.is_socket:
        raise status.bad_request("Upgrade request required")
    streams = _Streams(call)
    is_read = call.flag("stdin") and not call.flag("tty")
    try:
        result = await call.cluster.kubelet.execute(
            call.cluster.key,
            pod,
            container,
            command,
            standard_input=streams.read if is_read else None,
        )
    except (InvalidRequest, NotFound) as error:
        raise _container_error(error.message) from None
    except Transient as error:
        raise _unreachable(error) from None
    await streams.open()
    if streams.is_gone:
        return
    await _channel(call, _STDOUT, result.stdout)
    await _channel(call, _STDOUT if call.flag("tty") else _STDERR, result.stderr)
    await _finish(call, result.exit_code)


class _Streams:
    """The socket of a command: opened when it is known to run, or reads what the client sends."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._is_open = False
        self.is_gone = False

    async def open(self) -> None:
        if not self._is_open:
            self._is_open = True
            await _accept(self._call)

    async def read(self) -> bytes:
        """All that the client sends, until it closes that stream or goes."""
        await self.open()
        found = bytearray()
        while True:
            message = await self._call.receive()
            data: bytes = message.get("bytes") or b""
            self.is_gone = message["type"] == "websocket.disconnect"
            if self.is_gone or data == _CLOSE + _STDIN:
                return bytes(found)
            if data[:1] == _STDIN:
                found += data[1:]
            if len(found) > _MOST_INPUT:
                why = f"its standard input is longer than {_MOST_INPUT} bytes"
                error = _container_error(f"error executing command in container: {why}")
                await _close(self._call, error.body())
                self.is_gone = True
                return b""


def _admit(call: Call, target: Target, asked: dict[str, Any]) -> None:
    """Ask the admission policies about a connection to a pod (CONNECT)."""
    options: dict[str, Any] = {
        n: True for n in ("stdin", "stdout", "stderr", "tty") if call.flag(n)
    }
    if "container" in call.query:
        options["container"] = call.query["container"]
    named = {"name": target.name, "namespace": target.namespace}
    sent = {"apiVersion": "v1", "metadata": named, **options, **asked}
    asked_by = call.write_options()
    call.registry.review(target.view.kind, "CONNECT", sent, None, asked_by, target.subresource)


def _container_error(message: str) -> status.StatusError:
    return status.StatusError(
        500,
        "InternalError",
        f"Internal error occurred: {message}",
        details={"causes": [{"message": message}]},
    )


async def attach(call: Call, target: Target) -> None:
    """What a running container prints from now on, over WebSocket.

    One that was made for a single attachment (``kubectl run -i``) has kept what it said before.
    """
    _admit(call, target, {"kind": "PodAttachOptions"})
    pod = _pod(call, target)
    container = _container(pod, call.query.get("container", ""))
    _running(pod, container)
    if not call.is_socket:
        raise status.bad_request("Upgrade request required")
    await _accept(call)
    wires = (*children(pod, "spec", "containers"), *children(pod, "spec", "initContainers"))
    is_single = any(wire.get("stdinOnce") for wire in wires if wire.get("name") == container)
    lines = call.cluster.kubelet.logs(
        call.cluster.key, pod, container, follow=True, tail_lines=None if is_single else 0
    )

    async def pump() -> None:
        try:
            async for line in lines:
                await _channel(call, _STDOUT, line)
        except (InvalidRequest, NotFound, Transient) as error:
            await _channel(call, _STDERR, f"{error.message}\n".encode())
        await _finish(call, 0)

    async with asyncio.TaskGroup() as group:
        pumping = group.create_task(pump())
        leaving = group.create_task(_cancel_when_gone(call, pumping))
        pumping.add_done_callback(lambda _: leaving.cancel())


async def _accept(call: Call) -> None:
    message = await call.receive()
    assert message["type"] == "websocket.connect"
    chosen = _agreed(call, *_PROTOCOLS)
    await call.send({"type": "websocket.accept", "subprotocol": chosen})
    await asyncio.sleep(_STREAMS_SECONDS)


async def _channel(call: Call, channel: bytes, data: bytes) -> None:
    for start in range(0, len(data), _CHUNK):
        piece = channel + data[start : start + _CHUNK]
        await call.send({"type": "websocket.send", "bytes": piece})


async def _finish(call: Call, exit_code: int) -> None:
    body: dict[str, Any] = {"metadata": {}, "status": "Success"}
    if exit_code:
        body = {
            "metadata": {},
            "status": "Failure",
            "message": "command terminated with non-zero exit code: exit status " + str(exit_code),
            "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": str(exit_code)}]},
        }
    await _close(call, body)


async def _close(call: Call, body: dict[str, Any]) -> None:
    """End with a ``Status``."""
    if _agreed(call, *_PROTOCOLS) != _FIRST_PROTOCOL:
        await _channel(call, _ERROR, encode(body))
    elif "message" in body:  # it knew no success, and failures as text
        await _channel(call, _ERROR, body["message"].encode())
    await call.send({"type": "websocket.close", "code": 1000})


async def refuse_socket(call: Call, error: status.StatusError) -> None:
    """Answer a handshake with a ``Status`` (or a bare refusal where the server cannot)."""
    if "websocket.http.response" not in (call.scope.get("extensions") or {}):
        await call.send({"type": "websocket.close", "code": 1008, "reason": error.message[:120]})
        return
    headers = [(b"content-type", b"application/json")]
    await call.send(
        {"type": "websocket.http.response.start", "status": error.status, "headers": headers}
    )
    await call.send({"type": "websocket.http.response.body", "body": encode(error.body())})


async def port_forward(call: Call, target: Target) -> None:
    """Simulated containers listen on nothing."""
    _pod(call, target)
    raise status.bad_request("port forwarding is not supported by this cluster's nodes")


# Proxy


async def node_proxy(call: Call, target: Target) -> None:
    """GET of an endpoint on a node: ``/nodes/<name>:<port>/proxy/<path>``."""
    name, port = _host(target.name)
    if call.registry.entry(names.NODES, name) is None:
        raise status.not_found("", "nodes", name)
    await _proxy(call, name, port or KUBELET_PORT)


async def pod_proxy(call: Call, target: Target) -> None:
    """GET of an endpoint of a pod, which shares its node's addresses here."""
    name, port = _host(target.name)
    pod = call.registry.get(names.PODS, name, target.namespace)
    if pod is None:
        raise status.not_found("", "pods", name)
    node = child(pod, "spec").get("nodeName")
    if not node:
        raise status.bad_request(f"pod {name} does not have a host assigned")
    ports = [
        int(p["containerPort"])
        for c in children(pod, "spec", "containers")
        for p in children(c, "ports")
        if isinstance(p.get("containerPort"), int)
    ]
    await _proxy(call, str(node), port or (ports[0] if ports else 80))


def _host(text: str) -> tuple[str, int]:
    parts = text.split(":")
    name, port = (parts[1], parts[2]) if len(parts) == 3 else (parts[0], (*parts, "")[1])
    if port and not port.isdecimal():
        raise status.bad_request(f'address {text}: invalid port "{port}"')
    return name, int(port or 0)


async def _proxy(call: Call, node: str, port: int) -> None:
    path: str = call.scope["path"]
    inner = "/" + path.partition("/proxy")[2].lstrip("/")
    try:
        answer = await call.cluster.kubelet.proxy(call.cluster.key, node, port, inner)
    except (Transient, NotFound) as error:
        raise status.StatusError(
            503,
            "ServiceUnavailable",
            f"error trying to reach service: {error.message}",
        ) from None
    await call.answer(answer.status, answer.body, answer.content_type)


# Binding and eviction


async def binding(call: Call, target: Target) -> None:
    """POST of a Binding."""
    body = await call.object()
    wanted = child(body, "target")
    node = str(wanted.get("name") or "")
    if wanted.get("kind") not in {None, "", "Node"} or not node:
        cause = (
            status.required("target.name")
            if not node
            else status.not_supported("target.kind", wanted.get("kind"), ("Node", "<empty>"))
        )
        raise status.unprocessable("", "Binding", target.name, [cause])
    uid = str(child(body, "metadata").get("uid") or "")
    await bind_pod(call.registry, target.namespace, target.name, node, uid=uid)
    await _success(call)


async def eviction(call: Call, target: Target) -> None:
    """POST of an Eviction."""
    body = await call.object()
    sent = str(child(body, "metadata").get("name") or target.name)
    if sent != target.name:
        raise status.bad_request("name in URL does not match name in Eviction object")
    options = child(body, "deleteOptions")
    guards = child(options, "preconditions")
    grace = options.get("gracePeriodSeconds")
    kind, asked = target.view.kind, call.write_options()
    dry_run = bool(options.get("dryRun")) or asked.dry_run
    if call.registry.entry(kind, target.name, target.namespace) is None:
        raise target.missing
    named = {**child(body, "metadata"), "name": target.name, "namespace": target.namespace}
    sent = {**body, "metadata": named}
    call.registry.review(
        kind, "CREATE", sent, None, replace(asked, dry_run=dry_run), target.subresource
    )
    await evict_pod(
        call.registry,
        target.namespace,
        target.name,
        expect=Preconditions(
            str(guards.get("uid") or ""), str(guards.get("resourceVersion") or "")
        ),
        grace_seconds=grace if isinstance(grace, int) else None,
        dry_run=dry_run,
    )
    await _success(call)


async def _success(call: Call) -> None:
    body: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}}
    body.update(status="Success", code=201)
    await call.answer(201, encode(body), negotiate.JSON)


SUBRESOURCES: dict[tuple[str, str], dict[str, Verb]] = {
    ("pods", "log"): {"GET": logs},
    ("pods", "exec"): {"GET": execute, "POST": execute},
    ("pods", "attach"): {"GET": attach, "POST": attach},
    ("pods", "portforward"): {"GET": port_forward, "POST": port_forward},
    ("pods", "binding"): {"POST": binding},
    ("pods", "eviction"): {"POST": eviction},
    ("pods", "proxy"): {"GET": pod_proxy},
    ("nodes", "proxy"): {"GET": node_proxy},
}
