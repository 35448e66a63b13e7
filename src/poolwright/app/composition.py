"""Which adapter serves which port in a real server: the embedded default, wired together."""

from __future__ import annotations

import random
from asyncio import TaskGroup
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, replace
from typing import Any

import httpx

from poolwright.app.kubelet_relay import KubeletRelay
from poolwright.app.settings import Settings
from poolwright.arm.app import ArmApp, create_app
from poolwright.arm.background import run_background
from poolwright.arm.context import ArmContext
from poolwright.arm.tokens import TokenKeys
from poolwright.control.run import run_control
from poolwright.kube.asgi_transport import AsgiTransport
from poolwright.kube.clusters import HttpClusters
from poolwright.kubesim.api.application import BARE_PATHS, PREFIX
from poolwright.kubesim.server import KubeSim
from poolwright.ports.clock import Clock, Identity
from poolwright.ports.kube import ControlPlane
from poolwright.ports.store import Store
from poolwright.providers.simulated.cloud import SimulatedCloud
from poolwright.telemetry.application import PATHS, TelemetryApp
from poolwright.telemetry.gpu_metrics import GpuMetrics
from poolwright.telemetry.metrics import Metrics
from poolwright.telemetry.record_metrics import RecordMetrics

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Scope]]
Send = Callable[[Scope], Awaitable[None]]

_CLUSTER_PATHS = (PREFIX, *BARE_PATHS)


@dataclass(frozen=True, slots=True)
class Outside:
    """What only a process can give: the store it opened, its clock and entropy, its keys."""

    store: Store
    clock: Clock
    identity: Identity
    rng: random.Random
    keys: TokenKeys
    ca_pem: bytes
    endpoint: str
    holder: str


class Product:
    """The whole product behind one ASGI application; `run` is everything that goes on behind."""

    def __init__(self, outside: Outside, settings: Settings) -> None:
        self._outside = outside
        self._settings = settings
        self.metrics = Metrics()
        store, clock, identity = outside.store, outside.clock, outside.identity
        kubelet = KubeletRelay()
        self.kubesim = KubeSim(
            store,
            clock,
            identity,
            kubelet,
            replace(settings.kubernetes, server_url=outside.endpoint, ca_pem=outside.ca_pem),
        )
        self.transport = AsgiTransport(self.kubesim.asgi_app, on_request=self.metrics.on_request)
        self.clusters = HttpClusters(
            self.kubesim, self._transport_for, clock, random.Random(outside.rng.getrandbits(64))
        )
        self.cloud = SimulatedCloud(
            store,
            self.clusters,
            clock,
            identity,
            random.Random(outside.rng.getrandbits(64)),
            settings.cloud,
        )
        kubelet.target = self.cloud.kubelet
        self.context = ArmContext(
            store=store,
            machine_provider=self.cloud,
            clusters=self.clusters,
            control_planes=self.kubesim,
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
            self.kubesim,
            lambda scope: settings.server.is_loopback or self.arm.is_authenticated(scope),
        )

    def _transport_for(self, control_plane: ControlPlane) -> httpx.AsyncBaseTransport:
        """Every cluster of ours is served by this process."""
        del control_plane
        return self.transport

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Route one ASGI connection: clusters and telemetry by their paths, ARM for the rest."""
        path: str = scope.get("path", "")
        if path.lstrip("/").partition("/")[0] in _CLUSTER_PATHS:
            await self.kubesim.asgi_app(scope, receive, send)
        elif path in PATHS and scope["type"] == "http":
            await self.telemetry(scope, receive, send)
        else:
            await self.arm(scope, receive, send)

    async def run(self) -> None:
        """Run every loop of every room until cancelled."""
        outside, settings = self._outside, self._settings
        async with self.transport, TaskGroup() as group:
            group.create_task(self.kubesim.run())
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
                    self.kubesim,
                    outside.clock,
                    outside.identity,
                    random.Random(outside.rng.getrandbits(64)),
                    settings.control,
                    outside.holder,
                    on_pass=self.metrics.on_pass,
                )
            )
