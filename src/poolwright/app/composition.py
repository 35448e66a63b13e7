"""The product of a real server: every room on the ground that the settings ask for."""

from __future__ import annotations

import random
from asyncio import TaskGroup
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from poolwright.app.ground import choose_ground
from poolwright.app.health import Health
from poolwright.app.outside import Outside
from poolwright.app.settings import Settings
from poolwright.arm.app import ArmApp, create_app
from poolwright.arm.background import run_background
from poolwright.arm.context import ArmContext
from poolwright.control.run import run_control
from poolwright.kube.clusters import HttpClusters
from poolwright.telemetry.application import PATHS, TelemetryApp
from poolwright.telemetry.gpu_metrics import GpuMetrics
from poolwright.telemetry.metrics import Metrics
from poolwright.telemetry.record_metrics import RecordMetrics

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Scope]]
Send = Callable[[Scope], Awaitable[None]]


class Product:
    """The whole product behind one ASGI application; `run` is everything that goes on behind."""

    def __init__(self, outside: Outside, settings: Settings) -> None:
        self._outside = outside
        self._settings = settings
        self.metrics = Metrics()
        self.health = Health(outside.store)
        store, clock, identity = outside.store, outside.clock, outside.identity
        self.ground = ground = choose_ground(outside, settings, self.metrics)
        self.clusters = HttpClusters(
            ground.control_planes,
            ground.transport_for,
            clock,
            random.Random(outside.rng.getrandbits(64)),
            owns=ground.owns,
            traffic=self.metrics,
        )
        self.cloud = ground.cloud(self.clusters, random.Random(outside.rng.getrandbits(64)))
        self.context = ArmContext(
            store=store,
            machine_provider=self.cloud,
            clusters=self.clusters,
            control_planes=ground.control_planes,
            clock=clock,
            identity=identity,
            settings=settings.arm,
        )
        self.arm: ArmApp = create_app(self.context, outside.keys)
        self.records = RecordMetrics(
            self.metrics.registry, store, clock, random.Random(f"{outside.holder}/telemetry")
        )
        self.gpus = GpuMetrics(
            self.metrics.registry,
            self.clusters,
            clock,
            settings.telemetry,
            lambda: tuple(self.records.clusters),
        )
        self.telemetry = TelemetryApp(
            self.metrics,
            self.records,
            self.gpus,
            self.clusters,
            ground.control_planes,
            lambda scope: settings.server.is_loopback or self.arm.is_authenticated(scope),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Route one ASGI connection: what has a path of its own by its path, ARM the rest."""
        if self.health.is_asked(scope):
            await self.health(scope, receive, send)
            return
        path: str = scope.get("path", "")
        own = self.ground.app(path)
        if own is not None:
            await own(scope, receive, send)
        elif path in PATHS and scope["type"] == "http":
            await self.telemetry(scope, receive, send)
        else:
            await (self.ground.app_of_bearer(scope) or self.arm)(scope, receive, send)

    async def prepare(self) -> None:
        """What has to be before `run` and the first connection.

        Raises:
            PoolwrightError: it cannot be had.
        """
        await self.ground.prepare(self.context)

    async def run(self) -> None:
        """Run every loop of every room until cancelled."""
        outside, settings = self._outside, self._settings
        async with self.ground.connections(), TaskGroup() as group:
            group.create_task(self.ground.run())
            group.create_task(self.clusters.run())
            group.create_task(self.cloud.run())
            group.create_task(self.records.run())
            group.create_task(self.gpus.run())
            group.create_task(
                run_background(
                    self.context,
                    self.arm.perform,
                    random.Random(outside.rng.getrandbits(64)),
                    holder=outside.holder,
                    on_pass=self.metrics.on_pass,
                )
            )
            group.create_task(
                run_control(
                    outside.store,
                    self.cloud,
                    self.clusters,
                    self.ground.control_planes,
                    outside.clock,
                    outside.identity,
                    random.Random(outside.rng.getrandbits(64)),
                    settings.control,
                    outside.holder,
                    on_pass=self.metrics.on_pass,
                )
            )
