"""Several real servers on one PostgreSQL and one real Kubernetes, and what can befall them."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

sys.path.insert(0, str(Path(__file__).parents[1]))
from replicas.relay import CUT, OPEN, STALLED, Relay
from server_process import ServerProcess

HERE = Path(__file__).parent
CLUSTER, GROUP = "replicated", "replicas"
LEASE_SECONDS = 3


class Replica:
    """One server, with networks of its own to the database and to the cluster."""

    def __init__(
        self,
        root: Path,
        database: str,
        kubeconfig: Path,
        *,
        bug: str = "",
        lease: int = LEASE_SECONDS,
        settings: Mapping[str, str] | None = None,
    ):
        parts = urlsplit(database)
        self.database = Relay(f"{parse_qs(parts.query)['host'][0]}/.s.PGSQL.5432")
        document = json.loads(kubeconfig.read_text())
        cluster = document["clusters"][0]["cluster"]
        server = urlsplit(cluster["server"])
        self.cluster = Relay((server.hostname, server.port))
        cluster["server"] = f"https://127.0.0.1:{self.cluster.port}"
        root.mkdir()
        own = root / "kubeconfig"
        own.write_text(json.dumps(document))
        url = f"postgresql://{parts.username}@127.0.0.1:{self.database.port}{parts.path}"
        environment = {
            "REPLICA_BUG": bug,
            "POOLWRIGHT_SERVER__STORE": url,
            "POOLWRIGHT_SERVER__MIGRATES": "false",
            "POOLWRIGHT_ADOPT__KUBECONFIG": str(own),
            "POOLWRIGHT_ADOPT__CLUSTER_NAME": CLUSTER,
            "POOLWRIGHT_ADOPT__RESOURCE_GROUP": GROUP,
            "POOLWRIGHT_CLOUD__DELAY_FACTOR": "0.01",
            "POOLWRIGHT_CLOUD__LEASE_DURATION": f"PT{lease}S",
        }
        for loop in ("POOLS", "OTHERS", "AUTOSCALER"):
            environment[f"POOLWRIGHT_CONTROL__{loop}__LEASE_DURATION"] = f"PT{lease}S"
        environment |= settings or {}
        self.server = ServerProcess(
            root / "data",
            speed=1,
            command=(str(HERE / "launcher.py"),),
            environment=environment,
        )

    def pause(self) -> None:
        os.kill(self.server.process.pid, signal.SIGSTOP)

    def wake(self) -> None:
        os.kill(self.server.process.pid, signal.SIGCONT)

    def end(self) -> None:
        """Everything, even if the server is too slow to end by itself: it is killed then.

        Raises:
            subprocess.TimeoutExpired: it was too slow.
        """
        try:
            if self.server.process is not None:
                self.wake()
                self.server.stop()
        finally:
            self.database.close()
            self.cluster.close()


class Team:
    """The servers, started one after another (the first brings the keys)."""

    def __init__(
        self,
        root: Path,
        database: str,
        kubeconfig: Path,
        size: int,
        *,
        bug: str = "",
        lease: int = LEASE_SECONDS,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.replicas: list[Replica] = []
        try:
            for number in range(size):
                here = root / f"replica-{number}"
                one = Replica(here, database, kubeconfig, bug=bug, lease=lease, settings=settings)
                self.replicas.append(one)
                one.server.start()
        except BaseException:
            self.end()
            raise

    def endpoints(self) -> list[str]:
        return [replica.server.endpoint for replica in self.replicas]

    def end(self) -> None:
        """Each server, whatever becomes of the others."""
        with ExitStack() as ends:
            for replica in self.replicas:
                ends.callback(replica.end)


def kill(replica: Replica, wait) -> None:
    """kill -9; a new process takes its place after a while."""
    replica.server.kill()
    wait(LEASE_SECONDS * 2)
    replica.server.start()


def pause(replica: Replica, wait) -> None:
    """Stand still until the leases are another's, then go on where it was."""
    replica.pause()
    wait(LEASE_SECONDS * 3)
    replica.wake()
    wait(2)


def _without(name: str, state: str):
    def befall(replica: Replica, wait) -> None:
        network = getattr(replica, name)
        network.set(state)
        wait(LEASE_SECONDS * 3)
        network.set(OPEN)
        wait(2)

    befall.__name__ = f"{name} {state}"
    return befall


FATES = (
    pause,
    kill,
    _without("database", CUT),
    _without("cluster", STALLED),
    _without("database", STALLED),
    _without("cluster", CUT),
)
