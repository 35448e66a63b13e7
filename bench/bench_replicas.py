"""Several servers on one PostgreSQL: operations accepted per second by 1, 2 and 3 of them, and how
long a pool lies after the server that works on it was killed.

Run: python bench/bench_replicas.py [--seconds 3] [--rounds 3] [--connections 8] [--kills 5]
The servers adopt one cluster, which another server of ours embeds. PostgreSQL flushes each commit
to the disk. An operation is a PUT that changes an agent pool without machines: it is accepted,
carried out and ended. Pools are enough that none is asked for again before that; where one is, it
answers 409 and is not counted. Every server has a load generator of its own, on the same machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from measured import (
    Server,
    cluster_body,
    cluster_path,
    cpu_seconds,
    machine,
    make_group,
    token_of,
    until,
    write_kubeconfig,
    write_result,
)

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))
from postgresql_server import binary, postgresql_server  # noqa: E402 - the tests' folder has it

POOLS = 90
GROUP = "replicas"
VERSION = "2026-08-01"
LEASE_SECONDS = 15.0

Result = dict[str, Any]


@contextmanager
def team(root: Path, database: str, kubeconfig: Path, size: int) -> Iterator[list[Server]]:
    """Servers that share a store and a cluster."""
    config = (
        f'[server]\nstore = "{database}"\n[adopt]\nkubeconfig = "{kubeconfig}"\n'
        f'cluster_name = "shared"\nresource_group = "{GROUP}"\n'
    )
    with ExitStack() as stack:
        yield [
            stack.enter_context(Server(root / f"replica-{number}", speed=1, config=config))
            for number in range(size)
        ]


def pool_path(server: Server, name: str) -> str:
    subscription = server.client().subscription
    return (
        f"/subscriptions/{subscription}/resourceGroups/{GROUP}"
        f"/providers/Microsoft.ContainerService/managedClusters/shared/agentPools/{name}"
    )


def pool_body(count: int = 0) -> Result:
    tags = {"n": "{n}"}
    return {
        "properties": {"count": count, "vmSize": "Standard_D4s_v5", "mode": "User", "tags": tags}
    }


def put(path: str, host: str, token: str) -> str:
    text = json.dumps(pool_body())
    length = len(text.replace("{n}", "000000"))
    return (
        f"PUT {path}?api-version={VERSION} HTTP/1.1\r\nHost: {host}\r\n"
        f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length}\r\n\r\n{text}"
    )


def load(servers: list[Server], options: argparse.Namespace, root: Path) -> Result:
    """What all load generators found together; each has pools of its own."""
    share = POOLS // len(servers)
    running: list[subprocess.Popen[bytes]] = []
    before = sum(cpu_seconds(server.pid) for server in servers)
    for number, server in enumerate(servers):
        token, host = token_of(server.client()), f"localhost:{server.port}"
        names = [f"p{index}" for index in range(number * share, (number + 1) * share)]
        file = root / f"requests-{number}.json"
        file.write_text(json.dumps([put(pool_path(server, n), host, token) for n in names]))
        command = [sys.executable, str(HERE / "load.py"), "127.0.0.1", str(server.port)]
        command += [str(options.seconds), str(options.connections), str(file)]
        command += ["--ca", server.bundle]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE))
    found = [json.loads(each.communicate(timeout=options.seconds + 60)[0]) for each in running]
    cpu = sum(cpu_seconds(server.pid) for server in servers) - before
    accepted = [
        sum(count for status, count in each["statuses"].items() if status in {"200", "201"})
        for each in found
    ]
    seconds = max(each["seconds"] for each in found)
    refused = sum(each["statuses"].get("409", 0) for each in found)
    others = sum(each["requests"] for each in found) - sum(accepted) - refused
    return {
        "accepted_per_second": round(sum(accepted) / seconds, 1),
        "accepted": sum(accepted),
        "busy_409": refused,
        "other_answers": others,
        "server_cpu_ms_per_accepted": round(cpu / max(1, sum(accepted)) * 1e3, 2),
    }


def quiet(database: str) -> None:
    """Wait until every operation has ended."""
    with psycopg.connect(database, autocommit=True) as connection:
        query = (
            "SELECT count(*) FROM objects WHERE kind = 'Operation' AND position(%s IN status) > 0"
        )
        until(lambda: connection.execute(query, [b'"InProgress"']).fetchone() == (0,), seconds=120)


def accept(size: int, options: argparse.Namespace, kubeconfig: Path) -> Result:
    """Operations accepted per second by a team, on a database of its own."""
    with tempfile.TemporaryDirectory() as folder, postgresql_server(fsync="on") as database:
        root = Path(folder)
        with team(root, database, kubeconfig, size) as servers:
            load(servers, options, root)  # makes the pools, and warms up
            runs: list[Result] = []
            for _ in range(options.rounds):
                quiet(database)
                runs.append(load(servers, options, root))
    rates = [each["accepted_per_second"] for each in runs]
    return {"replicas": size, "median_per_second": statistics.median(rates), "runs": runs}


def holder_of(connection: psycopg.Connection, pool: str) -> str:
    """Who has a pool's lease now, by its epoch and name; empty if nobody."""
    query = (
        "SELECT epoch || ' ' || holder FROM leases WHERE key LIKE 'agent_pool/%%' AND key LIKE %s "
        "AND until > extract(epoch FROM clock_timestamp())"
    )
    row = connection.execute(query, [f"%/{pool}"]).fetchone()
    return row[0] if row else ""


def take_over(options: argparse.Namespace, kubeconfig: Path) -> Result:
    """Kill whoever works on a pool, in the middle of an operation; when somebody else does."""
    taken: list[float] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        postgresql_server(fsync="on") as database,
        team(Path(folder), database, kubeconfig, 2) as servers,
        psycopg.connect(database, autocommit=True) as connection,
    ):
        for number in range(options.kills):
            name = f"t{number}"
            client = servers[number % 2].client()
            body = pool_body(count=1)
            client.send("PUT", pool_path(servers[0], name), api_version=VERSION, body=body)
            holder = until(lambda name=name: holder_of(connection, name), every=0.02)
            time.sleep(number % 5)  # the kill comes at any time of a lease
            holder = until(lambda name=name: holder_of(connection, name), every=0.02)
            pid = int(holder.split("/")[1])
            (dead,) = [server for server in servers if server.pid == pid]
            dead.kill()
            killed = time.monotonic()
            until(
                lambda name=name, holder=holder: holder_of(connection, name) not in {"", holder},
                every=0.02,
            )
            taken.append(round(time.monotonic() - killed, 2))
            dead.start()
    return {
        "lease_seconds": LEASE_SECONDS,
        "kills": len(taken),
        "seconds": taken,
        "median": statistics.median(taken),
        "most": max(taken),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--kills", type=int, default=5)
    options = parser.parse_args()
    program = binary("postgres")
    if program is None:
        sys.exit("this needs a PostgreSQL server (Debian: apt-get install postgresql)")
    began = machine()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with Server(root / "cluster", speed=600) as embedding:
            client = embedding.client()
            make_group(client)
            cluster = cluster_path(client, "shared")
            client.operate("PUT", cluster, body=cluster_body(), wait=True)
            kubeconfig = write_kubeconfig(client, cluster, root / "kubeconfig")
            accepted = [accept(size, options, kubeconfig) for size in (1, 2, 3)]
            taken = take_over(options, kubeconfig)
    postgres = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    write_result(
        "replicas",
        began,
        {"postgresql": postgres.stdout.strip(), "accepted": accepted, "take_over": taken},
    )


if __name__ == "__main__":
    main()
