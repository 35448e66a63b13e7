"""The composition root of a simulated world: the whole product on one virtual loop.

Phases: *setup* (a cluster is made, fair weather) → *disturb* (users and faults) → *calm* (no
faults; everything must settle within a stated bound) → *standstill* (nothing may move any more).
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from random import Random
from typing import Any, cast

import httpx
from cryptography.hazmat.primitives.asymmetric import rsa

from poolwright.arm.app import create_app
from poolwright.arm.background import run_background
from poolwright.arm.context import ArmContext
from poolwright.arm.settings import ArmSettings
from poolwright.arm.snapshots import SNAPSHOT as SNAPSHOT_KIND
from poolwright.arm.tokens import TokenKeys
from poolwright.control.run import ControlSettings, run_control
from poolwright.kube.asgi_transport import AsgiTransport
from poolwright.kube.clusters import HttpClusters
from poolwright.kubesim.server import KubeSim, KubeSimSettings
from poolwright.model.catalog import kubernetes_minors, node_image_version, node_images
from poolwright.model.cluster_key import ClusterKey, subscription_scope
from poolwright.model.managed_cluster import DocumentSpec, DocumentStatus
from poolwright.ports.kube import ControlPlanes, Kubelet
from poolwright.ports.machine_provider import MachineProvider
from poolwright.ports.store import Create, Store
from poolwright.providers.simulated.cloud import SimulatedCloud
from poolwright.providers.simulated.settings import SimulatedCloudSettings
from poolwright.reconcile.loop import LoopSettings, Outcome, Pass
from poolwright.sim import faults
from poolwright.sim.checkers import Checker, Scene, all_checkers
from poolwright.sim.clock import EPOCH, SimClock, WorldTime
from poolwright.sim.faults import FaultyPort
from poolwright.sim.faulty_transport import FaultyTransport
from poolwright.sim.identity import SeededIdentity
from poolwright.sim.loop import run
from poolwright.sim.trace import Trace
from poolwright.sim.user import (
    CLUSTER,
    CLUSTER_PATH,
    GROUP,
    SNAPSHOT,
    SNAPSHOT_ID,
    SUBSCRIPTION,
    TOKEN,
    Arm,
    ClusterUser,
    PoolUser,
    register_feature,
    wait_until_settled,
)
from poolwright.sim.weather import CALM, FaultRates, Weather
from poolwright.sim.workload import deploy
from poolwright.store.sql_store import SqlStore

_LOCATION = "eastus"
_FIRST_VERSION = "1.34.4"
"""What the cluster begins with: there are newer ones, and older ones for its pools."""
_CPU_SIZE = "Standard_DS2_v2"
_POOLS: Mapping[str, Mapping[str, Any]] = {
    "cpu": {
        "vmSize": _CPU_SIZE,
        "orchestratorVersion": "1.33.7",
        "creationData": {"sourceResourceId": SNAPSHOT_ID},
    },
    "gpu": {
        "vmSize": "Standard_NC24ads_A100_v4",
        "orchestratorVersion": "1.34.2",
        "gpuProfile": {"nvidia": {"managementMode": "Managed"}},
    },
}
_SETTLED = timedelta(hours=2)
"""World time within which a pool must end what it does once the faults are over: a drain of every
node, the deadline of an operation, and then once more when the user insists."""
_STANDSTILL = timedelta(minutes=30)
_BACKED_OFF = timedelta(seconds=90)
"""Real time that is added to both: a few of the longest back-offs, leases of the dead."""
_AT_ONCE = timedelta(seconds=5)
"""Real time within which everybody has seen what happened, unless it is stale."""
_EASED = 0.2
"""How much less the ARM front suffers: each request makes many calls, and most must get through."""

Decorate = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class WorldSettings:
    """What a world is made of; `draw` takes them from a seed."""

    seed: int
    speed: float = 60.0
    replicas: int = 2
    disturbed: timedelta = timedelta(hours=3)
    rates: FaultRates = CALM
    skew_seconds_max: float = 0.0

    @classmethod
    def draw(cls, seed: int) -> WorldSettings:
        """The settings of a seed."""
        rng = Random(f"{seed}/settings")
        return cls(
            seed=seed,
            speed=rng.choice((10.0, 60.0, 600.0)),
            replicas=rng.choice((1, 2, 2, 3)),
            disturbed=timedelta(hours=rng.choice((1, 2, 4))),
            rates=FaultRates.draw(rng),
            skew_seconds_max=rng.choice((0.0, 0.0, 2.0)),
        )


@dataclass(frozen=True, slots=True)
class Report:
    """How a world went."""

    settings: WorldSettings
    violations: tuple[str, ...]
    digest: str
    calls: int
    virtual_seconds: float
    tail: tuple[str, ...] = field(default=(), repr=False)
    probes: Mapping[str, int] = field(default_factory=dict[str, int], repr=False)


@cache
def _keys() -> TokenKeys:
    # Drawn once a process and never seen by the trace: users carry a static token.
    return TokenKeys((rsa.generate_private_key(public_exponent=65537, key_size=2048),))


class World:
    """One world. ``decorate`` wraps ports by name (``provider``, ``store``), inside of the faults:
    that is how tests plant bugs.
    """

    def __init__(
        self,
        settings: WorldSettings,
        *,
        decorate: Mapping[str, Decorate] | None = None,
        keep: int = 0,
    ) -> None:
        self.settings = settings
        self._decorate = decorate or {}
        self.trace = Trace(keep=keep)
        self._group: asyncio.TaskGroup | None = None
        self._late: list[asyncio.Task[None]] = []
        self.weather = Weather(settings.speed)
        self.front_weather = Weather(settings.speed)
        self.time = WorldTime(settings.speed)
        self.clock = SimClock(time=self.time)
        self.store: Any = SqlStore.open(None, clock=self.clock)
        self.identity = SeededIdentity(self._rng("identity"))
        self.key = ClusterKey.of(SUBSCRIPTION, GROUP, CLUSTER)
        relay = _KubeletRelay()
        self.kubesim = KubeSim(
            self.store,
            self.clock,
            self.identity,
            cast("Kubelet", relay),
            KubeSimSettings(system_pods=False, raise_bugs=True),
        )
        self.transport = AsgiTransport(cast("Any", self.kubesim.asgi_app), raise_bugs=True)
        self.observer = self._clusters("observer", is_faulty=False)
        self.machine_clusters = self._clusters("cloud")
        self.arm_clusters = self._clusters("arm")
        self.cloud = SimulatedCloud(
            self.store,
            self.machine_clusters,
            self.clock,
            self.identity,
            self._rng("cloud"),
            SimulatedCloudSettings(),
        )
        relay.target = self.cloud.kubelet
        rates = settings.rates
        stall_max = timedelta(minutes=20) + timedelta(seconds=120 * settings.speed)
        self.scene = Scene(
            self.key,
            self.clock,
            self.store,
            self.cloud,
            self.observer.view(self.key),
            stall_max=stall_max,
            lag_max=stall_max if rates.stale or rates.stalled else _AT_ONCE * settings.speed,
        )
        self.checkers: tuple[Checker, ...] = all_checkers(self.scene)

    def _rng(self, name: str) -> Random:
        return Random(f"{self.settings.seed}/{name}")

    def _clusters(self, who: str, *, is_faulty: bool = True) -> HttpClusters:
        transport: httpx.AsyncBaseTransport = self.transport
        planes: ControlPlanes = self.kubesim
        if is_faulty:
            transport = self._faulty_transport(f"kube/{who}")
            planes = self._faulty(f"control_planes/{who}", self.kubesim, faults.CONTROL_PLANES)
        rng = self._rng(f"clusters/{who}")
        return HttpClusters(planes, lambda _: transport, self.clock, rng, raise_bugs=True)

    def _faulty_transport(self, name: str) -> FaultyTransport:
        return FaultyTransport(
            name,
            self.transport,
            seed=self.settings.seed,
            weather=self.weather,
            trace=self.trace,
        )

    def _faulty(self, name: str, target: object, natures: Mapping[str, faults.Nature]) -> Any:
        wrap = self._decorate.get(name.partition("/")[0])
        return FaultyPort(
            name,
            wrap(target) if wrap is not None else target,
            natures,
            seed=self.settings.seed,
            weather=self.front_weather if name.endswith("/arm") else self.weather,
            trace=self.trace,
            later=self._later,
        )

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._group is not None, "the world does not run yet"
        self._late.append(self._group.create_task(work))

    async def run(self) -> Report:
        """Let the world happen."""
        async with self.transport, asyncio.TaskGroup() as group:
            self._group = group
            endless = [
                group.create_task(work)
                for work in (
                    self.kubesim.run(),
                    self.observer.run(),
                    self.machine_clusters.run(),
                    self.arm_clusters.run(),
                    self.cloud.run(),
                    self._check_changes("arm/"),
                    self._check_changes("cloud/"),
                    self._check_objects(),
                    self._check_nodes(),
                    *(self._replica(number) for number in range(self.settings.replicas)),
                )
            ]
            context = ArmContext(
                store=cast("Store", self._faulty("store/arm", self.store, faults.STORE)),
                machine_provider=cast(
                    "MachineProvider",
                    self._faulty("provider/arm", self.cloud, faults.MACHINE_PROVIDER),
                ),
                clusters=self.arm_clusters,
                control_planes=self._faulty(
                    "control_planes/arm", self.kubesim, faults.CONTROL_PLANES
                ),
                clock=self.clock,
                identity=self.identity,
                settings=ArmSettings(development_tokens=(TOKEN,)),
            )
            app = create_app(context, _keys())
            background = run_background(
                context,
                app.perform,
                self._rng("arm"),
                holder="arm",
                settings=LoopSettings(raise_bugs=True),
            )
            endless.append(group.create_task(background))
            front = AsgiTransport(cast("Any", app), raise_bugs=True)
            headers = {"Authorization": f"Bearer {TOKEN}"}
            async with httpx.AsyncClient(
                transport=front, base_url="https://localhost:8443", headers=headers, timeout=None
            ) as client:
                await self._play(Arm(client, self.scene.broken))
            for task in (*endless, *self._late):
                task.cancel()
        await self.store.close()
        return Report(
            self.settings,
            tuple(self.scene.violations),
            self.trace.digest,
            self.trace.calls,
            asyncio.get_running_loop().time(),
            tuple(self.trace.lines),
            self.scene.probes,
        )

    async def _play(self, arm: Arm) -> None:
        await self._set_up(arm)
        if self.scene.violations:
            return
        versions = _versions()
        pools = [
            PoolUser(arm, self.clock, self._rng(f"users/{pool}"), pool, properties, versions)
            for pool, properties in _POOLS.items()
        ]
        owner = ClusterUser(arm, self.clock, self._rng("users/cluster"), versions)
        self.weather.rates = self.settings.rates
        self.front_weather.rates = self.settings.rates.eased(_EASED)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(user.run()) for user in (*pools, owner)]
            tasks.append(group.create_task(self._disturb_time()))
            await self._sleep(self.settings.disturbed)
            for task in tasks:
                task.cancel()
        self.weather.rates = self.front_weather.rates = CALM
        settled = _SETTLED + _BACKED_OFF * self.settings.speed
        standstill = _STANDSTILL + _BACKED_OFF * self.settings.speed
        system = PoolUser(arm, self.clock, self._rng("users/sys"), "sys", {}, versions)
        everybody = (owner, system, *pools)
        for user in everybody:  # what was under way, and then what is asked once more
            await wait_until_settled(arm, user.path, self.clock, settled)
        for user in everybody:
            await user.insist()
            await wait_until_settled(arm, user.path, self.clock, settled)
        await self._sleep(standstill)  # orphans that slipped through are found by then
        for checker in self.checkers:
            await checker.at_calm()
        await self._sleep(standstill)
        for checker in self.checkers:
            await checker.at_end()

    async def _disturb_time(self) -> None:
        """The wall clock is set, the world stands still."""
        rng = self._rng("time")
        while True:
            await self._sleep(timedelta(minutes=1))
            if rng.random() < self.weather.rates.clock_step:
                self.time.step_wall(timedelta(seconds=rng.uniform(-600, 600)))
            if rng.random() < self.weather.rates.pause:
                self.time.stand_still(rng.uniform(0, 60))

    async def _set_up(self, arm: Arm) -> None:
        await arm.call("PUT", "", {"location": _LOCATION})
        await register_feature(arm, self.clock, "ManagedGPUExperiencePreview")
        profile = {"name": "sys", "count": 1, "vmSize": _CPU_SIZE, "mode": "System"}
        body = {
            "location": _LOCATION,
            "identity": {"type": "SystemAssigned"},
            "properties": {
                "dnsPrefix": CLUSTER,
                "kubernetesVersion": _FIRST_VERSION,
                "agentPoolProfiles": [profile],
            },
        }
        answer = await arm.call("PUT", CLUSTER_PATH, body)
        state = await wait_until_settled(arm, CLUSTER_PATH, self.clock, _SETTLED)
        if state != "Succeeded":
            self.scene.broken("set-up", f"cluster is {state}: {answer.text[:500]}")
            return
        rng = self._rng("workload")
        replicas = rng.randint(2, 4)  # one alone may never be evicted
        await deploy(
            self.observer.kube(self.key),
            next(iter(_POOLS)),
            replicas=replicas,
            least=rng.randint(1, max(1, replicas - 2)),
        )
        await self.store.transact(subscription_scope(SUBSCRIPTION), [_old_snapshot()])

    async def _sleep(self, duration: timedelta) -> None:
        await self.clock.sleep_until(self.clock.now().world.after(duration))

    async def _replica(self, number: int) -> None:
        """A replica of control that dies and comes back, again and again."""
        rng = self._rng(f"replica/{number}")
        skew = timedelta(seconds=rng.uniform(-1, 1) * self.settings.skew_seconds_max)
        life = 0
        while True:
            life += 1
            async with asyncio.TaskGroup() as group:
                task = group.create_task(self._control(f"replica-{number}-{life}", skew))
                while True:
                    await self._sleep(timedelta(minutes=1))
                    if rng.random() < self.weather.rates.crash:
                        break
                task.cancel()
            await self._sleep(timedelta(seconds=rng.uniform(1, 300)))

    async def _control(self, who: str, skew: timedelta) -> None:
        clock = SimClock(time=self.time, skew=skew)
        clusters = self._clusters(who)
        loops = LoopSettings(raise_bugs=True)
        settings = ControlSettings(
            pools=replace(loops, debounce=timedelta(milliseconds=50)),
            autoscaler=replace(loops, debounce=timedelta(milliseconds=500)),
            others=loops,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(clusters.run())
            group.create_task(
                run_control(
                    cast("Store", self._faulty(f"store/{who}", self.store, faults.STORE)),
                    cast(
                        "MachineProvider",
                        self._faulty(f"provider/{who}", self.cloud, faults.MACHINE_PROVIDER),
                    ),
                    clusters,
                    self._faulty(f"control_planes/{who}", self.kubesim, faults.CONTROL_PLANES),
                    clock,
                    SeededIdentity(self._rng(f"identity/{who}")),
                    self._rng(f"control/{who}"),
                    settings,
                    who,
                    on_pass=self._on_pass,
                )
            )

    def _on_pass(self, done: Pass) -> None:
        if done.outcome is not Outcome.HELD_BY_OTHER:
            key = (done.controller, str(done.key))
            self.scene.passes[key] = self.scene.passes.get(key, 0) + 1

    async def _check_changes(self, prefix: str) -> None:
        async for change in self.store.follow(prefix):
            for checker in self.checkers:
                checker.on_change(change)

    async def _check_objects(self) -> None:
        async for change in self.store.follow("kube/"):
            for checker in self.checkers:
                checker.on_object(change)

    async def _check_nodes(self) -> None:
        async for change in self.scene.view.changes():
            for checker in self.checkers:
                checker.on_nodes(change.pool)


def _versions() -> list[str]:
    """All that there are, oldest first."""
    return [str(patch) for patch in sorted(p for m in kubernetes_minors() for p in m.patches)]


def _old_snapshot() -> Create:
    """A snapshot that was taken long ago: pools made from it do not have the newest image."""
    properties = {
        "creationData": {"sourceResourceId": "/gone"},
        "snapshotType": "NodePool",
        "kubernetesVersion": _FIRST_VERSION,
        "nodeImageVersion": node_image_version("Ubuntu", release=node_images()[0].version),
        "osType": "Linux",
        "osSku": "Ubuntu",
        "vmSize": _CPU_SIZE,
        "enableFIPS": False,
    }
    body = {"location": _LOCATION, "tags": {}, "resource_group": GROUP, "properties": properties}
    uid = "00000000-0000-4000-8000-000000000001"
    spec = DocumentSpec(SNAPSHOT, body)
    return Create(SNAPSHOT_KIND, f"{GROUP}/{SNAPSHOT}", uid, spec, DocumentStatus(), EPOCH)


class _KubeletRelay:
    """Breaks the circle between the API server, which asks kubelets, and their machines."""

    target: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.target, name)


def simulate(
    settings: WorldSettings, *, decorate: Mapping[str, Decorate] | None = None, keep: int = 0
) -> Report:
    """Run a whole world on a fresh virtual loop."""

    async def main() -> Report:
        world = World(settings, decorate=decorate, keep=keep)
        try:
            return await world.run()
        except ExceptionGroup as bugs:
            found = tuple(f"no bugs: {line}" for line in dict.fromkeys(_told(bugs)))
            return Report(
                settings,
                (*world.scene.violations, *found),
                world.trace.digest,
                world.trace.calls,
                asyncio.get_running_loop().time(),
                tuple(world.trace.lines),
                world.scene.probes,
            )

    return run(main())


def _told(error: Exception) -> list[str]:
    """Each bug of a group as one line: what it is and where it was raised."""
    if isinstance(error, ExceptionGroup):
        group = cast("ExceptionGroup[Exception]", error)
        return [line for inner in group.exceptions for line in _told(inner)]
    last = traceback.extract_tb(error.__traceback__)[-1]
    return [f"{type(error).__name__}: {error} ({last.filename}:{last.lineno} {last.name})"]
