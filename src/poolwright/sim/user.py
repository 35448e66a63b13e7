"""Users who ask for things at bad moments, through the ARM API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any

import httpx

from poolwright.ports.clock import Clock

API_VERSION = "2026-06-01"
TOKEN = "simulated"
SUBSCRIPTION = "11111111-1111-1111-1111-111111111111"
GROUP = "rg1"
CLUSTER = "aks1"
_TERMINAL = {"Succeeded", "Failed", "Canceled"}


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


class PoolUser:
    """Owns one pool and changes its mind about it."""

    def __init__(
        self, arm: Arm, clock: Clock, rng: Random, pool: str, vm_size: str, versions: list[str]
    ) -> None:
        self._arm = arm
        self._clock = clock
        self._rng = rng
        self._pool = pool
        self._vm_size = vm_size
        self._versions = versions
        self._actions: tuple[tuple[int, Callable[[], Any]], ...] = (
            (6, self._scale),
            (5, self._upgrade),
            (2, self._relabel),
            (1, self._abort),
            (1, self._delete_machine),
            (1, self._delete),
        )

    @property
    def path(self) -> str:
        """The pool's path."""
        return pool_path(self._pool)

    async def run(self) -> None:
        """Create the pool, then act for ever at random moments."""
        while True:
            if (await self._arm.call("GET", self.path)).status_code == 404:
                await self._create()
            else:
                weights = [weight for weight, _ in self._actions]
                (action,) = self._rng.choices([act for _, act in self._actions], weights)
                await action()
            await self._pause()

    async def _pause(self) -> None:
        minutes = self._rng.choice((0.2, 2, 10, 25))
        now = self._clock.now().world
        await self._clock.sleep_until(now.after(timedelta(minutes=minutes * self._rng.random())))

    async def _create(self) -> None:
        properties = {
            "count": self._rng.randint(1, 4),
            "vmSize": self._vm_size,
            "mode": "User",
            "orchestratorVersion": self._versions[0],
            "upgradeSettings": {
                "maxSurge": self._rng.choice(("1", "2", "50%")),
                "drainTimeoutInMinutes": 5,
            },
        }
        await self._arm.call("PUT", self.path, {"properties": properties})

    async def _change(self, **changed: Any) -> None:
        answer = await self._arm.call("GET", self.path)
        if answer.is_success:
            properties = {**answer.json()["properties"], **changed}
            await self._arm.call("PUT", self.path, {"properties": properties})

    async def _scale(self) -> None:
        await self._change(count=self._rng.randint(0, 5))

    async def _upgrade(self) -> None:
        answer = await self._arm.call("GET", self.path)
        if not answer.is_success:
            return
        properties = answer.json()["properties"]
        here = self._versions.index(properties["currentOrchestratorVersion"])
        wanted = self._versions[min(here + 1, len(self._versions) - 1)]
        changed = {**properties, "orchestratorVersion": wanted}
        await self._arm.call("PUT", self.path, {"properties": changed})

    async def _relabel(self) -> None:
        await self._change(nodeLabels={"mood": self._rng.choice(("calm", "wild"))})

    async def _abort(self) -> None:
        await self._arm.call("POST", f"{self.path}/abort")

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
