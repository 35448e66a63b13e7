"""The real server is killed between named commits and port calls, and nothing is lost.

``POOLWRIGHT_TEST_CRASHES`` is how many kills there are, ``POOLWRIGHT_TEST_SEED`` chooses where.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from user import User

from poolwright.app.real_clock import RealClock
from poolwright.model.agent_pool import OPERATION
from poolwright.model.instant import Instant
from poolwright.model.machine import MachinePhase
from poolwright.providers.simulated.ledger import BILLING, MACHINE
from poolwright.store import SqlStore
from server_process import ServerDied, ServerProcess

HERE = Path(__file__).parent
pytestmark = pytest.mark.slow

CRASHES = int(os.environ.get("POOLWRIGHT_TEST_CRASHES", "20"))
SEED = int(os.environ.get("POOLWRIGHT_TEST_SEED", "1"))
SPEED = 600.0
OLD, NEW = "1.34.4", "1.35.4"
ANYWHERE = "anywhere"

# By user's step, the points that it passes by: what a life that begins with the step may die at.
POINTS = {
    "create a cluster": [
        "commit arm AgentPool+ManagedCluster+Operation",
        "control-plane put",
        "provider create_machine",
        "commit cloud BillingEntry+Machine",
    ],
    "add two pools": [
        "commit arm AgentPool+Operation",
        "provider create_machine",
        "commit cloud BillingEntry+Machine",
        "commit kube /nodes",
        "kube create nodes",
        "kube patch daemonsets",
        "commit kube apps/daemonsets",
    ],
    "scale up": ["commit arm AgentPool+Operation", "provider create_machine", "kube patch nodes"],
    "upgrade": [
        "commit arm AgentPool",
        "provider create_machine",
        "provider reimage_machine",
        "commit cloud Machine",
        "kube patch nodes",
        "kube evict",
    ],
    "scale down": [
        "kube patch nodes",
        "provider delete_machine",
        "commit cloud BillingEntry+Machine",
    ],
    "stop a pool": ["provider stop_machine", "commit arm AgentPool+Operation"],
    "start a pool": ["provider start_machine", "commit arm AgentPool+Operation"],
    "delete a pool": [
        "provider delete_machine",
        "commit arm AgentPool+Operation",
        "kube delete nodes",
    ],
    "delete the cluster": ["provider delete_machine", "control-plane delete", "drop kube"],
}


@dataclass(frozen=True)
class Kill:
    """Where a life ends."""

    point: str
    when: str
    call: int = 1


class Lives:
    """One server after another on the same data directory."""

    def __init__(self, root: Path, rng: random.Random, crashes: int, modes: str) -> None:
        self._reached_file = root / "reached"
        self._rng = rng
        self._crashes = crashes
        self._modes = modes
        self._due = 0.0
        self._last_words: list[str] = []
        self._tried: Counter[tuple[str, str]] = Counter()
        self.kills: Counter[tuple[str, str]] = Counter()
        self.step = "create a cluster"
        self.kill: Kill | None = None
        self.server = ServerProcess(
            root / "data",
            speed=SPEED,
            command=(str(HERE / "launcher.py"),),
            environment={"CRASH_REACHED": str(self._reached_file)},
        )

    @property
    def left(self) -> int:
        return self._crashes - self.kills.total()

    @property
    def reached(self) -> set[tuple[str, str]]:
        lines = self._reached_file.read_text().splitlines() if self._reached_file.exists() else []
        return {(line.split("|")[0], line.split("|")[1]) for line in lines}

    def choose(self) -> Kill | None:
        """The next death: the point of this step that was tried least, by the seed's chance."""
        if not self.left:
            return None
        if self._modes == ANYWHERE:
            return Kill(ANYWHERE, "random")
        options = [(point, when) for point in POINTS[self.step] for when in ("before", "after")]
        self._rng.shuffle(options)
        point, when = min(options, key=lambda option: self._tried[option])
        self._tried[point, when] += 1
        return Kill(point, when, self._rng.choice([1, 1, 2]))

    def begin(self) -> None:
        """Start lives until one gets ready; a death on the way up counts."""
        while True:
            self.kill = self.choose()
            named = self.kill or Kill("", "")
            try:
                self.server.start(
                    CRASH_POINT=named.point, CRASH_WHEN=named.when, CRASH_CALL=str(named.call)
                )
            except ServerDied:
                self._count_death()
            else:
                self._due = time.monotonic() + self._rng.uniform(0.0, 1.5)
                return

    def _count_death(self) -> None:
        """The process died: at its point, or something is wrong."""
        lines = self._reached_file.read_text().splitlines()
        deaths = [line for line in lines if line.endswith("|killed")]
        assert self.kill is not None, self.server.log()[-4000:]
        assert len(deaths) == len(self._last_words) + 1, self.server.log()[-4000:]
        self._last_words = deaths
        self.kills[self.kill.point, self.kill.when] += 1

    def revive(self) -> None:
        """Called when there is no answer."""
        if self.server.process is None:
            self.begin()
        elif self.server.is_dead():
            self._count_death()
            self.begin()

    def tick(self) -> None:
        """The random mode: kill when it is time."""
        if self.kill and self.kill.point == ANYWHERE and time.monotonic() > self._due:
            self.server.kill()
            self.kills[ANYWHERE, "random"] += 1
            self.begin()

    def enter(self, step: str) -> None:
        """The user turns to the next step. A life whose point did not come by goes on to it; one
        that outlived two steps is ended anyway, at no point in particular.
        """
        self.step = step
        if self.kill is None or self.kill.point in POINTS[step] or self._modes == ANYWHERE:
            return
        self.server.kill()
        self.kills[ANYWHERE, "between steps"] += 1
        self.begin()

    def report(self) -> str:
        """Point by point: how often it was died at, and what was never reached or died at."""
        reached = {point for point, _ in self.reached}
        named = {point for points in POINTS.values() for point in points}
        lines = [f"{'KILL POINT':58} BEFORE AFTER"]
        for point in sorted({*named, *reached}):
            before, after = self.kills[point, "before"], self.kills[point, "after"]
            note = "" if point in reached else "  never reached"
            lines.append(f"{point:58} {before:6} {after:5}{note}")
        for (point, when), count in sorted(self.kills.items()):
            if point == ANYWHERE:
                lines.append(f"{point + ', ' + when:58} {count:6}")
        lines.append(f"{self.kills.total()} kills; {len(reached)} points reached")
        return "\n".join(lines)


class Story:
    """What the user does, round after round, and what must then be there."""

    def __init__(self, user: User, lives: Lives) -> None:
        self._user = user
        self._lives = lives
        self.counts: dict[str, dict[str, int]] = {}
        """By cluster, the pools that there must be, with the nodes that they must have."""

    def _do(self, method: str, path: str, body: object = None) -> str:
        return self._user.send(method, path, body)

    def _wait(self, *urls: str, paths: tuple[str, ...]) -> None:
        self._user.finish(*urls)
        for path in paths:
            self._user.settle(path)

    def _change(self, cluster: str, name: str, **properties: object) -> None:
        path = self._user.pool(cluster, name)
        here = self._user.ask("GET", path).json()["properties"]
        self._wait(self._do("PUT", path, {"properties": here | properties}), paths=(path,))

    def steps(self, cluster: str) -> list[tuple[str, Callable[[], None]]]:
        user = self._user
        gpu = {
            "count": 1,
            "vmSize": "Standard_NC24ads_A100_v4",
            "orchestratorVersion": OLD,
            "mode": "User",
            "gpuProfile": {"nvidia": {"managementMode": "Managed"}},
        }
        plain = {"count": 2, "vmSize": "Standard_DS2_v2", "mode": "User",
                 "orchestratorVersion": OLD}  # fmt: skip

        def create() -> None:
            first = {"name": "system", "count": 1, "vmSize": "Standard_DS2_v2", "mode": "System"}
            properties = {
                "kubernetesVersion": NEW,
                "dnsPrefix": cluster,
                "agentPoolProfiles": [first],
            }
            body = {
                "location": "eastus",
                "identity": {"type": "SystemAssigned"},
                "properties": properties,
            }
            path = user.cluster(cluster)
            self._wait(self._do("PUT", path, body), paths=(path,))
            self.counts[cluster] = {"system": 1}

        def add() -> None:
            paths = user.pool(cluster, "gpu"), user.pool(cluster, "plain")
            begun = [self._do("PUT", path, {"properties": each})
                     for path, each in zip(paths, (gpu, plain), strict=True)]  # fmt: skip
            self._wait(*begun, paths=paths)
            self.counts[cluster] |= {"gpu": 1, "plain": 2}

        def resize(name: str, count: int) -> None:
            self._change(cluster, name, count=count)
            self.counts[cluster][name] = count

        def power(verb: str, running: int) -> None:
            code = {"stop": "Stopped", "start": "Running"}[verb]
            self._change(cluster, "gpu", powerState={"code": code})
            self.counts[cluster]["gpu"] = running

        def remove() -> None:
            path = user.pool(cluster, "plain")
            self._wait(self._do("DELETE", path), paths=(path,))
            del self.counts[cluster]["plain"]
            assert user.ask("GET", path).status_code == 404

        def end() -> None:
            path = user.cluster(cluster)
            self._wait(self._do("DELETE", path), paths=(path,))
            del self.counts[cluster]
            assert user.ask("GET", path).status_code == 404

        return [
            ("create a cluster", create),
            ("add two pools", add),
            ("scale up", lambda: resize("gpu", 2)),
            ("upgrade", lambda: self._change(cluster, "plain", orchestratorVersion=NEW)),
            ("scale down", lambda: resize("gpu", 1)),
            ("stop a pool", lambda: power("stop", 0)),
            ("start a pool", lambda: power("start", 1)),
            ("delete a pool", remove),
            ("delete the cluster", end),
        ]

    def live(self) -> None:
        """Rounds until every kill has happened; what is then begun is ended, but not deleted."""
        number = 0
        while True:
            number += 1
            for step, do in self.steps(f"c{number}"):
                if not self._lives.left and step == "delete the cluster":
                    return
                self._lives.enter(step)
                do()
                print(f"  c{number}: {step}; {self._lives.kills.total()} kills", flush=True)

    def check_clusters(self) -> dict[str, list[str]]:
        """What the API and Kubernetes say; the nodes by cluster."""
        nodes = {}
        for cluster, pools in self.counts.items():
            listed = self._user.ask("GET", f"{self._user.cluster(cluster)}/agentPools").json()
            assert sorted(pools) == sorted(each["name"] for each in listed["value"])
            for each in listed["value"]:
                assert each["properties"]["provisioningState"] == "Succeeded"
            here = self._user.nodes(cluster)
            counted = {pool: len(here.get(pool, [])) for pool in pools}
            assert counted == pools
            assert here.keys() <= pools.keys()
            nodes[cluster] = sorted(name for names in here.values() for name in names)
        return nodes

    def check_operations(self) -> None:
        """Each acknowledged operation keeps the end that was seen."""
        for url, what in self._user.operations.items():
            status = self._user.ask("GET", url).json()["status"]
            assert status == self._user.ended[url], f"{what}: {self._user.ended[url]}, {status}"


async def read_books(directory: Path):
    """Machines, bills and operations from the store's file, after the server has gone."""
    store = SqlStore.open(directory / "state", clock=RealClock())
    try:
        machines = await store.find("cloud/", MACHINE)
        bills = await store.find("cloud/", BILLING)
        operations = [
            record
            for scope in await store.scopes("arm/")
            for record in (await store.list(scope, OPERATION))[0]
        ]
    finally:
        await store.close()
    return machines, bills, operations


def check_books(directory: Path, nodes: dict[str, list[str]]) -> None:
    """The cloud's ledger: the machines of the nodes, each billed once, and nothing else."""
    machines, bills, operations = asyncio.run(read_books(directory))
    now = Instant(json.loads((directory / "clock.json").read_text())["world_micros"])
    here = sorted(
        record.spec.request.name
        for record in machines
        if record.status.segment_at(now).phase is MachinePhase.RUNNING
    )
    others = [record.name for record in machines if record.spec.request.name not in here]
    assert here == sorted(name for names in nodes.values() for name in names)
    assert not others, "machines that are nobody's node"
    running = Counter()
    for bill in sorted(bills, key=lambda record: record.name):
        entry = bill.spec
        running[entry.cluster, entry.machine] += 1 if entry.event in {"created", "started"} else -1
        assert running[entry.cluster, entry.machine] in {0, 1}, f"billed twice: {bill.name}"
    assert sum(running.values()) == len(here), "what is billed is what runs"
    for record in operations:
        assert record.status.state.is_terminal, f"{record.name} {record.spec.type} never ended"
        assert record.status.ended_at is not None


def tell(tmp_path: Path, mode: str, crashes: int) -> Lives:
    lives = Lives(tmp_path, random.Random(f"{SEED} {mode}"), crashes, mode)
    lives.begin()
    user = User(lives.server.variables(), lives.revive)
    try:
        if mode == ANYWHERE:
            asked = user.ask
            user.ask = lambda *arguments: (lives.tick(), asked(*arguments))[1]
        user.ask("PUT", user.group, {"location": "eastus"}, "2024-11-01")
        feature = (
            f"/subscriptions/{user.subscription}/providers/Microsoft.Features/providers/"
            "Microsoft.ContainerService/features/ManagedGPUExperiencePreview"
        )
        user.ask("POST", f"{feature}/register", None, "2021-07-01")
        while (
            user.ask("GET", feature, None, "2021-07-01").json()["properties"]["state"]
            != "Registered"
        ):
            time.sleep(0.05)
        story = Story(user, lives)
        story.live()
        nodes = story.check_clusters()
        story.check_operations()
        assert lives.server.stop() == 0
        check_books(lives.server.data_dir, nodes)
    except BaseException:
        print(f"seed {SEED}, at {lives.step!r}, life to end at {lives.kill}")
        print(lives.server.log()[-6000:])
        raise
    finally:
        user.close()
        if lives.server.process is not None:
            lives.server.kill()
        print(lives.report())
    return lives


def test_nothing_is_lost_when_killed_at_named_points(tmp_path):
    lives = tell(tmp_path, "points", max(1, CRASHES * 3 // 4))
    assert lives.left <= 0


def test_nothing_is_lost_when_killed_anywhere(tmp_path):
    lives = tell(tmp_path, ANYWHERE, max(1, CRASHES // 4))
    assert lives.left <= 0
