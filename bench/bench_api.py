"""GET of an agent pool per second, beside moto's node group and a bare Starlette route; durable
PUTs of agent pools per second, beside raw SQLite.

Run: python bench/bench_api.py [--seconds 1] [--connections 16] [--moto-python PYTHON]
Every server is one process with one worker; the load generator (`load.py`) is another, the same for
all. Each part is a process of its own with a deadline; one that fails says so in the result.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench_store import raw
from measured import (
    Server,
    cluster_body,
    cluster_path,
    cpu_seconds,
    group_path,
    machine,
    make_group,
    synchronous_read,
    token_of,
    until,
    versions,
    write_result,
)

HERE = Path(__file__).parent
ROUNDS = 15
WRITE_ROUNDS = 6
PART_SECONDS = 140
API = "api-version=2026-08-01"
WRITE_SECONDS = 0.8
CLUSTERS = 40
"""A cluster takes at most 100 pools: enough for all rounds at 800 a second."""
RAW_BODY = b"x" * 900
EKS_SCOPE = "Credential=a/20260101/us-east-1/eks/aws4_request, SignedHeaders=host, Signature=0"
MOTO_PYTHON = Path.home() / ".cache/poolwright/bench-venv/bin/python"

Result = dict[str, Any]
Load = Callable[[], Result]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@contextmanager
def process(port: int, *command: str) -> Iterator[int]:
    """A server in a process; its pid, once it listens."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as one:
        try:
            until(lambda: answers(port) or one.poll() is not None, seconds=60)
            if one.poll() is not None:
                raise RuntimeError(f"{Path(command[1]).name} ended with {one.returncode}")
            yield one.pid
        finally:
            one.kill()


def load(
    pid: int, address: tuple[str, int], texts: list[str], options: argparse.Namespace, ca: str = ""
) -> Result:
    """What the load generator found, with the server's CPU time."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(texts, file)
        file.flush()
        command = [sys.executable, str(HERE / "load.py"), address[0], str(address[1])]
        command += [str(options.seconds), str(options.connections), file.name]
        command += ["--ca", ca] if ca else []
        before = cpu_seconds(pid)
        found = json.loads(subprocess.check_output(command, timeout=options.seconds + 60))
        cpu = cpu_seconds(pid) - before
    found["per_second"] = round(found["requests"] / found["seconds"])
    found["server_cpu_ms_per_request"] = round(cpu / max(1, found["requests"]) * 1e3, 3)
    return found


def get(path: str, host: str, credential: str) -> str:
    authorization = f"Authorization: {credential}\r\n" if credential else ""
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n{authorization}\r\n"


def put(path: str, host: str, token: str, body: Result) -> str:
    text = json.dumps(body)
    return (
        f"PUT {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n{text}"
    )


def median(runs: list[Result]) -> Result:
    """The run in the middle by CPU time per request, which a shared machine disturbs least; its
    requests per second are the median of all.
    """
    runs = sorted(runs, key=lambda each: each["server_cpu_ms_per_request"])
    return {
        **runs[len(runs) // 2],
        "per_second": round(statistics.median(each["per_second"] for each in runs)),
        "all_per_second": [each["per_second"] for each in runs],
        "all_server_cpu_ms": [each["server_cpu_ms_per_request"] for each in runs],
    }


def peers(
    server: Server, body: bytes, options: argparse.Namespace, folder: Path, running: ExitStack
) -> Iterator[tuple[str, Load | str]]:
    """What is measured beside us: a load, or the reason why not."""
    bare, moto = free_port(), free_port()
    file = folder / "body.json"
    file.write_bytes(body)
    tls = [str(server.data_dir / each) for each in ("tls/server.pem", "tls/server.key")]
    path = "/subscriptions/1/resourceGroups/g/pools/p"
    for name, port, command, address, text, ca in (
        (
            "bare_route",
            bare,
            (sys.executable, str(HERE / "bare_route.py"), str(bare), *tls, str(file)),
            ("localhost", bare),
            get(path, f"localhost:{bare}", ""),
            server.bundle,
        ),
        (
            "moto_describe_nodegroup",
            moto,
            (options.moto_python, str(HERE / "moto_nodegroup.py"), str(moto)),
            ("127.0.0.1", moto),
            # moto finds the service by the credential's scope; it checks no signature.
            get("/clusters/c/node-groups/n", f"127.0.0.1:{moto}", f"AWS4-HMAC-SHA256 {EKS_SCOPE}"),
            "",
        ),
    ):
        try:
            pid = running.enter_context(process(port, *command))
            until(
                lambda a=address, t=text, c=ca, p=pid: (
                    load(p, a, [t], argparse.Namespace(seconds=0.1, connections=1), c)[
                        "statuses"
                    ].keys()
                    == {"200"}
                ),
                seconds=60,
            )
        except (OSError, RuntimeError, subprocess.SubprocessError, TimeoutError) as error:
            yield name, f"not measured: {error}"
            continue
        yield name, lambda p=pid, a=address, t=text, c=ca: load(p, a, [t], options, c)


def reads(options: argparse.Namespace, folder: Path) -> Result:
    """GET of a pool, authenticated, beside the peers; interleaved, for others share the machine."""
    server = Server(folder / "reads", speed=600)
    with server, ExitStack() as running:
        client = server.client()
        make_group(client)
        cluster = cluster_path(client, "c")
        client.operate("PUT", cluster, body=cluster_body())
        path, host = f"{cluster}/agentPools/system", f"localhost:{server.port}"
        text = get(f"{path}?{API}", host, f"Bearer {token_of(client)}")
        body = client.send("GET", path, api_version=API.partition("=")[2]).content
        loads: dict[str, Load | str] = {
            "agent_pool": lambda: load(
                server.pid, ("localhost", server.port), [text], options, server.bundle
            ),
            **dict(peers(server, body, options, folder, running)),
        }
        runs: dict[str, list[Result]] = {}
        for _ in range(ROUNDS):
            for name, one in loads.items():
                if not isinstance(one, str):
                    runs.setdefault(name, []).append(one())
    result: Result = {name: one for name, one in loads.items() if isinstance(one, str)}
    result |= {name: median(each) for name, each in runs.items()}
    result["body_bytes"] = len(body)
    ours = result["agent_pool"]
    for name, label in (("moto_describe_nodegroup", "moto"), ("bare_route", "bare_route")):
        if name in runs:
            pairs = list(zip(runs["agent_pool"], runs[name], strict=True))
            result[f"times_{label}"] = round(
                statistics.median(a["per_second"] / b["per_second"] for a, b in pairs), 2
            )
            theirs = result[name]["server_cpu_ms_per_request"]
            result[f"times_{label}_by_cpu"] = round(theirs / ours["server_cpu_ms_per_request"], 2)
    return result


def writes(options: argparse.Namespace, folder: Path) -> Result:
    """New agent pools accepted (201) in many clusters: the pool, its operation and their changes
    are on the disk before the answer. The controllers carry them out meanwhile.
    """
    server = Server(folder / "writes", speed=600)
    pool = {"properties": {"count": 0, "mode": "User", "vmSize": "Standard_D4s_v5"}}
    with server:
        client = server.client()
        make_group(client)
        for number in range(CLUSTERS):
            path = cluster_path(client, f"c{number}")
            client.operate("PUT", path, body=cluster_body(), wait=False)
        all_clusters = f"{group_path(client)}/providers/Microsoft.ContainerService/managedClusters"
        until(
            lambda: all(
                each["properties"]["provisioningState"] == "Succeeded"
                for each in client.get(all_clusters)["value"]
            ),
            seconds=200,
            every=1,
        )
        token, host = token_of(client), f"localhost:{server.port}"
        accepted, rates, found = [], [], {}
        for turn in range(WRITE_ROUNDS):
            texts = [
                put(
                    f"{cluster_path(client, f'c{k}')}/agentPools/p{turn}{{n}}?{API}",
                    host,
                    token,
                    pool,
                )
                for k in range(CLUSTERS)
            ]
            short = argparse.Namespace(**{**vars(options), "seconds": WRITE_SECONDS})
            found = load(server.pid, ("localhost", server.port), texts, short, server.bundle)
            accepted.append(round(found["statuses"].get("201", 0) / found["seconds"]))
            rates.append(raw_rates(options, folder, turn))
    result = {**found, "per_second": statistics.median(accepted), "all_per_second": accepted}
    for name in rates[0]:
        each = [rate[name] for rate in rates]
        result[f"raw_sqlite_{name}_per_second"] = each
        shares = (a / b for a, b in zip(accepted, each, strict=True))
        result[f"share_of_{name}"] = round(statistics.median(shares), 3)
    return {"agent_pool": result, "clusters": CLUSTERS}


def raw_rates(options: argparse.Namespace, folder: Path, turn: int) -> dict[str, float]:
    """The same records by sqlite3 alone, in PUTs per second: a pool and its operation, each with
    its change, are two rows of ``objects`` and two of ``changes``.
    """
    return {
        name: round(
            raw(
                folder / f"raw-{name}-{turn}.db",
                2 * puts,
                1,
                body=RAW_BODY,
                logged=True,
                synchronous="FULL",
            )
            / 2
        )
        for name, puts in (("one_put_a_commit", 1), ("16_puts_a_commit", 16))
    }


PARTS: dict[str, Callable[[argparse.Namespace, Path], Result]] = {"reads": reads, "writes": writes}


def run_part(name: str) -> Result:
    """One part in a process group of its own, which ends with its deadline."""
    command = [sys.executable, str(HERE / "bench_api.py"), *sys.argv[1:], "--part", name]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as one:
        try:
            text, _ = one.communicate(timeout=PART_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(one.pid, signal.SIGKILL)
            return {"failed": f"not done after {PART_SECONDS} s"}
    if one.returncode:
        return {"failed": f"ended with exit code {one.returncode}; see its standard error"}
    return json.loads(text)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument(
        "--moto-python", default=str(MOTO_PYTHON if MOTO_PYTHON.exists() else sys.executable)
    )
    parser.add_argument("--part", choices=PARTS)
    options = parser.parse_args()
    if options.part:
        with tempfile.TemporaryDirectory() as name:
            print(json.dumps(PARTS[options.part](options, Path(name))))
        return
    began = machine()
    result: Result = {
        "versions": versions("uvicorn", "starlette", "httptools", "msgspec")
        | versions("moto", "werkzeug", python=options.moto_python),
        "pragma_synchronous_read": synchronous_read(),
        "connections": options.connections,
        "seconds": options.seconds,
        **{name: run_part(name) for name in PARTS},
    }
    write_result("api", began, result)
    if any("failed" in result[name] for name in PARTS):
        sys.exit(1)


if __name__ == "__main__":
    main()
