"""GET of an agent pool per second, beside moto's node group and a bare Starlette route; durable
operations accepted per second.

Run: python bench/bench_api.py [--seconds 5] [--connections 16]
Every server is one process of one worker; the load generator is another and the same for all.
moto is found in ``--moto-python`` (default: this Python, with the ``bench`` extra).
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import uuid
from contextlib import contextmanager
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
    token_of,
    until,
    write_result,
)

HERE = Path(__file__).parent
ROUNDS = 3
API = "api-version=2026-08-01"


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
def process(port: int, *command: str) -> Any:
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as one:
        try:
            until(lambda: answers(port), seconds=30)
            yield one
        finally:
            one.kill()


def load(
    pid: int, host: str, port: int, request: str, options: argparse.Namespace, ca: str = ""
) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile("w", suffix=".http") as file:
        file.write(request)
        file.flush()
        command = [sys.executable, str(HERE / "load.py"), host, str(port)]
        command += [str(options.seconds), str(options.connections), file.name]
        command += ["--ca", ca] if ca else []
        before = cpu_seconds(pid)
        found = json.loads(subprocess.check_output(command))
        cpu = cpu_seconds(pid) - before
    found["per_second"] = round(found["requests"] / found["seconds"])
    found["server_cpu_ms_per_request"] = round(cpu / found["requests"] * 1e3, 3)
    return found


def get(path: str, host: str, token: str = "") -> str:
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n{authorization}\r\n"


def put(path: str, host: str, token: str, body: dict[str, Any]) -> str:
    text = json.dumps(body)
    return (
        f"PUT {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n{text}"
    )


def median(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The run in the middle by requests per second, with all of them named."""
    runs = sorted(runs, key=lambda each: each["per_second"])
    return {**runs[len(runs) // 2], "all_per_second": [each["per_second"] for each in runs]}


def reads(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    server = Server(folder / "reads", speed=600)
    bare, moto = free_port(), free_port()
    with server:
        client = server.client()
        make_group(client)
        cluster = cluster_path(client, "c")
        client.operate("PUT", cluster, body=cluster_body())
        token, host = token_of(client), f"localhost:{server.port}"
        certificate, key = (server.data_dir / each for each in ("tls/server.pem", "tls/server.key"))
        bare_command = (str(HERE / "bare_route.py"), str(bare), str(certificate), str(key))
        moto_command = (options.moto_python, str(HERE / "moto_nodegroup.py"), str(moto))
        runs: dict[str, list[dict[str, Any]]] = {}
        with (
            process(bare, sys.executable, *bare_command) as bare_server,
            process(moto, *moto_command) as moto_server,
        ):
            moto_server.stdout.readline()
            for _ in range(ROUNDS):  # interleaved, for others share the machine
                for name, found in (
                    (
                        "agent_pool",
                        load(
                            server.pid,
                            "localhost",
                            server.port,
                            get(f"{cluster}/agentPools/system?{API}", host, token),
                            options,
                            server.bundle,
                        ),
                    ),
                    (
                        "bare_route",
                        load(
                            bare_server.pid,
                            "localhost",
                            bare,
                            get("/subscriptions/1/resourceGroups/g/pools/p", f"localhost:{bare}"),
                            options,
                            server.bundle,
                        ),
                    ),
                    (
                        "moto_describe_nodegroup",
                        load(
                            moto_server.pid,
                            "127.0.0.1",
                            moto,
                            get("/clusters/c/node-groups/n", f"127.0.0.1:{moto}"),
                            options,
                        ),
                    ),
                ):
                    runs.setdefault(name, []).append(found)
    result: dict[str, Any] = {name: median(each) for name, each in runs.items()}
    ours = result["agent_pool"]["per_second"]
    result["times_moto"] = round(ours / result["moto_describe_nodegroup"]["per_second"], 1)
    result["share_of_bare_route"] = round(ours / result["bare_route"]["per_second"], 2)
    return result


def writes(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Resource groups and clusters accepted: each is durable before it is answered."""
    server = Server(folder / "writes", speed=60)
    result: dict[str, Any] = {}
    with server:
        client = server.client()
        make_group(client)
        token, host = token_of(client), f"localhost:{server.port}"
        groups = group_path(client, "g{n}") + "?api-version=2024-11-01"
        clusters = cluster_path(client, "c{n}") + f"?{API}"
        for name, path, body in (
            ("resource_group", groups, {"location": "eastus"}),
            ("managed_cluster", clusters, cluster_body()),
        ):
            request = put(path, host, token, body)
            result[name] = load(
                server.pid, "localhost", server.port, request, options, server.bundle
            )
    alone, together = (
        round(
            statistics.median(
                raw(
                    folder / f"{uuid.uuid4()}.db",
                    batch,
                    1,
                    body=b"x" * 900,
                    logged=True,
                    synchronous="FULL",
                )
                for _ in range(ROUNDS)
            )
        )
        for batch in (1, options.connections)
    )
    result["raw_sqlite_rows_per_second"] = {"one_a_commit": alone, "16_a_commit": together}
    for name in ("resource_group", "managed_cluster"):
        result[name]["share_of_raw_one_a_commit"] = round(result[name]["per_second"] / alone, 3)
    return result


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--moto-python", default=sys.executable)
    options = parser.parse_args()
    began = machine()
    with tempfile.TemporaryDirectory() as name:
        result = {
            "synchronous": "FULL",
            "connections": options.connections,
            "reads": reads(options, Path(name)),
            "writes": writes(options, Path(name)),
        }
    write_result("api", began, result)


if __name__ == "__main__":
    main()
