"""``ports.Clusters`` over HTTP: one client and one shared view per cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from random import Random

import httpx

from poolwright.kube.client import Endpoint, HttpKube, Traffic
from poolwright.kube.view import InformerView
from poolwright.model.cluster_key import ClusterKey
from poolwright.model.errors import NotFound, Transient
from poolwright.model.node import Node
from poolwright.ports.clock import Clock
from poolwright.ports.kube import ClusterView, ControlPlane, ControlPlanes, Kube

TransportFor = Callable[[ControlPlane], httpx.AsyncBaseTransport]
"""The transport to a control plane; its maker owns it, and hands out the same one again."""


class HttpClusters:
    """Finds control planes through their port; views follow while `run` runs. ``owns`` says which
    nodes are ours on clusters that are not ours alone.
    """

    def __init__(
        self,
        control_planes: ControlPlanes,
        transport_for: TransportFor,
        clock: Clock,
        rng: Random,
        *,
        owns: Callable[[ClusterKey, Node], bool] | None = None,
        traffic: Traffic | None = None,
        raise_bugs: bool = False,
    ) -> None:
        self._control_planes = control_planes
        self._owns = owns
        self._traffic = traffic
        self._transport_for = transport_for
        self._clock = clock
        self._rng = rng
        self._raise_bugs = raise_bugs
        self._kubes: dict[ClusterKey, HttpKube] = {}
        self._views: dict[ClusterKey, InformerView] = {}
        self._tasks: dict[ClusterKey, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Keep all views up to date until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for cluster in self._views:
                    self._start(cluster)
                await asyncio.Event().wait()
        finally:
            self._group = None
            self._tasks.clear()

    def kube(self, cluster: ClusterKey) -> Kube:
        """A client of the cluster; calls raise `Transient` while it cannot be reached."""
        return self._kube(cluster)

    def view(self, cluster: ClusterKey) -> ClusterView:
        """The shared view of the cluster; starts following it on first use."""
        view = self._views.get(cluster)
        if view is None:
            view = self._views[cluster] = InformerView(
                self._kube(cluster),
                self._clock,
                self._rng,
                name=str(cluster),
                owns=partial(self._owns, cluster) if self._owns else None,
                raise_bugs=self._raise_bugs,
            )
            self._start(cluster)
        return view

    def silent_for(self, cluster: ClusterKey) -> timedelta | None:
        """For how long the watches of the cluster have brought nothing; None if they cannot say."""
        view, kube = self._views.get(cluster), self._kubes.get(cluster)
        if view is None or kube is None or not kube.is_connected:
            return None
        return view.silent_for

    def wake(self, cluster: ClusterKey) -> None:
        """The cluster may be reachable again: do not wait for the end of a back-off."""
        view = self._views.get(cluster)
        if view is not None:
            view.wake()

    def forget(self, cluster: ClusterKey) -> None:
        """Stop following a cluster that is gone."""
        self._kubes.pop(cluster, None)
        self._views.pop(cluster, None)
        task = self._tasks.pop(cluster, None)
        if task is not None:
            task.cancel()

    def _kube(self, cluster: ClusterKey) -> HttpKube:
        kube = self._kubes.get(cluster)
        if kube is None:
            kube = self._kubes[cluster] = HttpKube(
                lambda: self._connect(cluster), traffic=self._traffic
            )
        return kube

    def _start(self, cluster: ClusterKey) -> None:
        if self._group is not None:
            self._tasks[cluster] = self._group.create_task(self._views[cluster].run())

    async def _connect(self, cluster: ClusterKey) -> Endpoint:
        plane = await self._control_planes.get(cluster)
        if plane is None or not plane.is_running:
            raise Transient(f"cluster {cluster} has no running control plane")
        try:
            token = await self._control_planes.token(cluster, admin=True)
        except NotFound as error:
            raise Transient(f"cluster {cluster} has no running control plane") from error
        return Endpoint(self._transport_for(plane), plane.server_url, token)
