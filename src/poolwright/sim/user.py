"""Users who ask for things at bad moments, through the ARM API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any

import httpx

from poolwright.ports.clock import Clock

API_VERSION = "2026-08-01"
TOKEN = "simulated"
SUBSCRIPTION = "11111111-1111-1111-1111-111111111111"
GROUP = "rg1"
CLUSTER = "aks1"
SNAPSHOT = "taken-long-ago"
_TERMINAL = {"Succeeded", "Failed", "Canceled"}
SNAPSHOT_ID = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/"
    f"Microsoft.ContainerService/snapshots/{SNAPSHOT}"
)


@dataclass(frozen=True, slots=True)
class Arm:
    """A client of the ARM API. Any 5xx but 503 breaks a promise."""

    http: httpx.AsyncClient
    broken: Callable[[str, str], None]

    async def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> httpx.Response:
        """One request below the cluster's resource group."""
        url = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}{path}"
        answer = await self.http.request(
            method, url, params={"api-version": API_VERSION}, json=body
        )
        if answer.status_code >= 500 and answer.status_code != 503:
            self.broken("no 5xx", f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer


CLUSTER_PATH = f"/providers/Microsoft.ContainerService/managedClusters/{CLUSTER}"


def pool_path(pool: str) -> str:
    """The path of a pool below its resource group."""
    return f"{CLUSTER_PATH}/agentPools/{pool}"


async def register_feature(arm: Arm, clock: Clock, name: str) -> None:
    """Register a preview feature and wait for that."""
    url = (
        f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Features/providers/"
        f"Microsoft.ContainerService/features/{name}"
    )
    version = {"api-version": "2021-07-01"}
    answer = await arm.http.request("POST", f"{url}/register", params=version)
    while answer.json()["properties"]["state"] != "Registered":
        await clock.sleep_until(clock.now().world.after(timedelta(seconds=20)))
        answer = await arm.http.request("GET", url, params=version)


async def state_of(arm: Arm, path: str) -> str | None:
    """The provisioning state of a resource, or None when it is not there (or cannot be read)."""
    answer = await arm.call("GET", path)
    return answer.json()["properties"]["provisioningState"] if answer.is_success else None


async def wait_until_settled(arm: Arm, path: str, clock: Clock, limit: timedelta) -> str | None:
    """Poll until a resource is terminal or gone; its last state. ``limit`` is world time."""
    deadline = clock.now().world.after(limit)
    while True:
        answer = await arm.call("GET", path)
        if answer.status_code == 404:
            return None
        state = answer.json()["properties"]["provisioningState"] if answer.is_success else "?"
        now = clock.now().world
        if state in _TERMINAL or now >= deadline:
            return state
        await clock.sleep_until(now.after(timedelta(seconds=20)))


class _User:
    """Acts on one resource at random moments; each action is as likely as its weight."""

    path: str
    actions: tuple[tuple[int, Callable[[], Any]], ...]
    pauses: tuple[float, ...]
    """Minutes of world time, at most, between two actions."""

    def __init__(self, arm: Arm, clock: Clock, rng: Random) -> None:
        self._arm = arm
        self._clock = clock
        self._rng = rng

    async def run(self) -> None:
        """Act for ever."""
        while True:
            await self.act()
            minutes = self._rng.choice(self.pauses) * self._rng.random()
            now = self._clock.now().world
            await self._clock.sleep_until(now.after(timedelta(minutes=minutes)))

    async def act(self) -> None:
        """Do something."""
        weights = [weight for weight, _ in self.actions]
        (action,) = self._rng.choices([act for _, act in self.actions], weights)
        await action()

    async def _get(self) -> dict[str, Any] | None:
        answer = await self._arm.call("GET", self.path)
        return answer.json() if answer.is_success else None

    async def _abort(self) -> None:
        await self._arm.call("POST", f"{self.path}/abort")


class PoolUser(_User):
    """Owns one pool and changes its mind about it."""

    pauses = (0.2, 2, 10, 25)

    def __init__(
        self,
        arm: Arm,
        clock: Clock,
        rng: Random,
        pool: str,
        properties: Mapping[str, Any],
        versions: list[str],
    ) -> None:
        super().__init__(arm, clock, rng)
        self.path = pool_path(pool)
        self._properties = properties
        self._versions = versions
        self.actions = (
            (6, self._scale),
            (6, self._upgrade),
            (2, self._upgrade_image),
            (2, self._relabel),
            (2, self._switch_autoscaler),
            (2, self._switch_power),
            (2, self._abort),
            (1, self._delete_machine),
            (1, self._delete),
        )

    async def act(self) -> None:
        """Make the pool if it is not there, else do something with it."""
        if (await self._arm.call("GET", self.path)).status_code == 404:
            await self._create()
        else:
            await super().act()

    async def _create(self) -> None:
        properties: dict[str, Any] = {
            **self._properties,
            "count": self._rng.randint(1, 4),
            "mode": "User",
            "upgradeSettings": {
                "maxSurge": self._rng.choice(("1", "2", "50%")),
                "drainTimeoutInMinutes": 5,
            },
        }
        await self._arm.call("PUT", self.path, {"properties": properties})

    async def _change(self, **changed: Any) -> None:
        body = await self._get()
        if body is not None:
            properties = {**body["properties"], **changed}
            await self._arm.call("PUT", self.path, {"properties": properties})

    async def _scale(self) -> None:
        await self._change(count=self._rng.randint(0, 5))

    async def _upgrade(self) -> None:
        """To the next version that the control plane allows."""
        body = await self._get()
        cluster = await self._arm.call("GET", CLUSTER_PATH)
        if body is None or not cluster.is_success:
            return
        most = self._versions.index(cluster.json()["properties"]["currentKubernetesVersion"])
        here = self._versions.index(body["properties"]["currentOrchestratorVersion"])
        wanted = self._versions[min(here + 1, most)]
        changed = {**body["properties"], "orchestratorVersion": wanted}
        await self._arm.call("PUT", self.path, {"properties": changed})

    async def _upgrade_image(self) -> None:
        await self._arm.call("POST", f"{self.path}/upgradeNodeImageVersion")

    async def _relabel(self) -> None:
        await self._change(
            nodeLabels={"mood": self._rng.choice(("calm", "wild"))},
            nodeTaints=self._rng.choice(([], ["mood=wild:PreferNoSchedule"])),
        )

    async def _switch_autoscaler(self) -> None:
        if self._rng.random() < 0.5:
            await self._change(enableAutoScaling=True, minCount=1, maxCount=4)
        else:
            await self._change(enableAutoScaling=False, minCount=None, maxCount=None)

    async def _switch_power(self) -> None:
        code = self._rng.choice(("Stopped", "Running", "Running"))
        await self._change(powerState={"code": code})

    async def _delete_machine(self) -> None:
        answer = await self._arm.call("GET", f"{self.path}/machines")
        names = [m["name"] for m in answer.json()["value"]] if answer.is_success else []
        if names:
            body = {"machineNames": [self._rng.choice(names)]}
            await self._arm.call("POST", f"{self.path}/deleteMachines", body)

    async def _delete(self) -> None:
        await self._arm.call("DELETE", self.path)

    async def insist(self) -> None:
        """Ask once more for what a pool that Failed or was Canceled should be."""
        state = await state_of(self._arm, self.path)
        if state in {"Failed", "Canceled"}:
            await self._change()


class ClusterUser(_User):
    """Upgrades, stops and starts the cluster under the feet of those who own its pools."""

    path = CLUSTER_PATH
    pauses = (20, 60, 120)

    def __init__(self, arm: Arm, clock: Clock, rng: Random, versions: list[str]) -> None:
        super().__init__(arm, clock, rng)
        self._versions = versions
        self.actions = (
            (3, self._upgrade),
            (2, self._stop_for_a_while),
            (1, self._abort),
            (1, self._upgrade_and_abort),
        )

    async def run(self) -> None:
        """Let the others begin."""
        now = self._clock.now().world
        minutes = 60 * self._rng.random()
        await self._clock.sleep_until(now.after(timedelta(minutes=minutes)))
        await super().run()

    async def _upgrade(self) -> None:
        """One minor up, with the pools or without."""
        body = await self._get()
        if body is None:
            return
        here = body["properties"]["currentKubernetesVersion"]
        minor = here.rsplit(".", 1)[0]
        higher = [v for v in self._versions if v > here and v.rsplit(".", 1)[0] != minor]
        if not higher:
            return
        wanted = [v for v in higher if v.rsplit(".", 1)[0] == higher[0].rsplit(".", 1)[0]][-1]
        body["properties"]["kubernetesVersion"] = wanted
        if self._rng.random() < 0.5:
            for profile in body["properties"]["agentPoolProfiles"]:
                profile["orchestratorVersion"] = wanted
        await self._arm.call("PUT", self.path, body)

    async def _upgrade_and_abort(self) -> None:
        await self._upgrade()
        now = self._clock.now().world
        await self._clock.sleep_until(now.after(timedelta(minutes=10 * self._rng.random())))
        await self._abort()

    async def _stop_for_a_while(self) -> None:
        await self._arm.call("POST", f"{self.path}/stop")
        now = self._clock.now().world
        await self._clock.sleep_until(now.after(timedelta(minutes=90 * self._rng.random())))
        await self._arm.call("POST", f"{self.path}/start")

    async def insist(self) -> None:
        """A cluster that is stopped is started; one that Failed or was Canceled is asked again."""
        body = await self._get()
        if body is None:
            return
        if body["properties"]["powerState"]["code"] == "Stopped":
            await self._arm.call("POST", f"{self.path}/start")
        elif body["properties"]["provisioningState"] in {"Failed", "Canceled"}:
            await self._arm.call("PUT", self.path, body)
