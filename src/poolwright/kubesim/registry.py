"""The objects of one cluster: read from memory, written through the store.

Both the HTTP API and the cluster's own controllers stand on this. Reads are synchronous and cost
what they return. Writes go default → prepare → validate → one guarded transaction; they return
once they are durable *and* visible to reads. Every refusal is a `StatusError`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from poolwright.kubesim import escalation, meta, pod_admission, pod_security, policy, status
from poolwright.kubesim.admission import (
    admit_create,
    admit_delete,
    name_class,
)
from poolwright.kubesim.cache import ObjectCache
from poolwright.kubesim.catalog import Catalog
from poolwright.kubesim.custom import kind_of as kind_of_definition
from poolwright.kubesim.entry import Entry, ObjectChange, pack, read, says_the_same
from poolwright.kubesim.kinds import KINDS
from poolwright.kubesim.kinds.core import SERVICE
from poolwright.kubesim.kinds.custom import CUSTOM_RESOURCE_DEFINITION
from poolwright.kubesim.kinds.kind import Body, ObjectKind
from poolwright.kubesim.kinds.pod import POD
from poolwright.kubesim.meta import UNGUARDED, Preconditions, WriteOptions
from poolwright.kubesim.objects import Holds
from poolwright.kubesim.present_form import in_present_form
from poolwright.kubesim.quantities import settle
from poolwright.kubesim.quota import QuotaLedger
from poolwright.kubesim.service_ports import assign_cluster_ip, assign_node_ports, holding
from poolwright.kubesim.status import StatusError
from poolwright.model.cluster_key import ClusterKey
from poolwright.model.errors import Expired, NotFound, Precondition, Transient
from poolwright.model.kubernetes import Resource
from poolwright.model.record import Kind, Stored
from poolwright.ports.clock import Clock, Identity
from poolwright.ports.store import Change, Commit, Create, Delete, Store, Update
from poolwright.reconcile.loop import Follower, tell

GENERATIONS = 7  # k8s.io/apiserver pkg/registry/generic/registry maxNameGenerationCreateAttempts
RETRIES = 8
"""How often a write without a client's guard is tried again when the object moved on."""

_FOLLOW_AGAIN = timedelta(seconds=1)

Mutate = Callable[[Body], Body | None]
"""Changes an object in place, or returns its replacement; raises `StatusError` to refuse."""

Listener = Callable[[ObjectChange], None]
"""Called synchronously, in revision order, after the cache has taken a change."""
Lost = Callable[[Exception], None]
"""Told of the bug that kept a change from a listener, which hears nothing more: what it keeps is
to be made anew from what the registry reads.
"""


_STORE_KINDS: dict[str, Kind[bytes, None]] = {}


def store_kind(kind: ObjectKind) -> Kind[bytes, None]:
    """The store's kind for a Kubernetes kind."""
    found = _STORE_KINDS.get(kind.store_name)
    if found is None:
        found = _STORE_KINDS[kind.store_name] = Kind(kind.store_name, bytes, type(None))
    return found


def key_of(namespace: str, name: str) -> str:
    """The record's name: ``namespace/name``, or the name of a cluster-scoped object."""
    return f"{namespace}/{name}" if namespace else name


class Registry:
    """The object registry of one cluster. Make it with `Registry.load`.

    The caches are exact: whatever keeps a change from them has them read anew from the store.
    Listeners are the caches' followers: a bug in one ends that one alone, and it starts over.
    """

    def __init__(
        self,
        cluster: ClusterKey,
        store: Store,
        clock: Clock,
        identity: Identity,
        *,
        on_bug: Callable[[], None] | None = None,
        raise_bugs: bool = False,
    ) -> None:
        self.cluster = cluster
        self.clock = clock
        self.identity = identity
        self.catalog = Catalog()
        self.holds: Holds = []
        self._store = store
        self._scope = cluster.kube_scope
        self._revision = 0
        self._caches = {kind.store_name: ObjectCache(kind, 0) for kind in KINDS}
        self._pending: dict[int, Change] = {}
        self._is_torn = False
        """Whether the caches are not what the store has: a change was missed, or half taken."""
        self._on_bug = on_bug
        self._raise_bugs = raise_bugs
        self._on_reload: list[Callable[[], None]] = []
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._followers: dict[str, list[Follower[ObjectChange]]] = {}
        self._everywhere: list[Follower[ObjectChange]] = []
        self.quotas = QuotaLedger(self)

    @classmethod
    async def load(
        cls,
        cluster: ClusterKey,
        store: Store,
        clock: Clock,
        identity: Identity,
        *,
        on_bug: Callable[[], None] | None = None,
        raise_bugs: bool = False,
    ) -> Registry:
        """Read a cluster's objects into memory. ``on_bug`` counts the listeners that failed;
        with ``raise_bugs`` their bugs are the writer's, as a simulation wants it.
        """
        registry = cls(cluster, store, clock, identity, on_bug=on_bug, raise_bugs=raise_bugs)
        await registry._load()
        return registry

    async def _load(self) -> None:
        start = await self._store.revision(self._scope)
        kinds = list(KINDS)
        for kind in kinds:  # grows by what definitions declare
            records, at = await self._store.list(self._scope, store_kind(kind))
            cache = ObjectCache(kind, at)
            cache.load(Entry(kind, *in_present_form(kind, record)) for record in records)
            self._caches[kind.store_name] = cache
            if at != start:
                start = -1
            if kind is CUSTOM_RESOURCE_DEFINITION:
                declared = [self._declare(entry) for entry in cache.all()]
                kinds.extend(kind for kind in declared if kind is not None)
        self._revision = max(cache.floor for cache in self._caches.values())
        if start == -1:  # somebody wrote between two lists: read the difference from the log
            floor = min(cache.floor for cache in self._caches.values())
            floors = {name: cache.floor for name, cache in self._caches.items()}
            async for change in self._store.watch(self._scope, floor):
                if change.revision > floors.get(change.record.kind.name, change.revision):
                    self._take(change)
                if change.revision >= self._revision:
                    break

    async def follow(self) -> None:
        """Take changes from the store's stream: what others wrote, and replies that were lost.

        Runs until cancelled; writes of this process are taken earlier, from their own answer.
        After a bug it can be run again: what was not taken is read anew.
        """
        while True:
            try:
                if self._is_torn:
                    await self._reload()
                async for change in self._store.watch(self._scope, self._revision):
                    self._offer(change)
                    if self._is_torn:
                        break
            except Transient:
                await self.clock.sleep(_FOLLOW_AGAIN)
            except Expired:  # the log was compacted past us: what was missed is not known
                self._is_torn = True

    async def _reload(self) -> None:
        """Read everything anew; changes meanwhile come by the store's stream."""
        self._pending.clear()
        await self._load()
        self._is_torn = False
        self._wake_waiters()
        for told in tuple(self._on_reload):
            told()

    def on_reload(self, told: Callable[[], None]) -> Callable[[], None]:
        """Call ``told`` when changes were missed and everything was read anew.

        Returns a function that ends that.
        """
        self._on_reload.append(told)
        return lambda: self._on_reload.remove(told)

    # Reads

    @property
    def revision(self) -> int:
        """The resourceVersion of what reads see now."""
        return self._revision

    def cache(self, resource: Resource | ObjectKind) -> ObjectCache:
        """The objects of one kind, for reads by index; none of a custom kind that went."""
        kind = self.catalog.kind_of(resource)
        found = self._caches.get(kind.store_name)
        return ObjectCache(kind, self._revision) if found is None else found

    def entry(
        self, resource: Resource | ObjectKind, name: str, namespace: str = ""
    ) -> Entry | None:
        """One object, still encoded."""
        return self.cache(resource).get(key_of(namespace, name))

    def get(
        self, resource: Resource | ObjectKind, name: str, namespace: str = ""
    ) -> dict[str, Any] | None:
        """One object, decoded; the caller may change the copy."""
        entry = self.entry(resource, name, namespace)
        return entry.object() if entry else None

    def list(self, resource: Resource | ObjectKind, namespace: str = "") -> Sequence[Entry]:
        """All objects of a kind, or those of a namespace, by key."""
        cache = self.cache(resource)
        return cache.in_namespace(namespace) if namespace else list(cache.all())

    def pods_on(self, node: str) -> Sequence[Entry]:
        """Pods bound to a node (``""``: pods bound to none)."""
        return self._caches["/pods"].by_field("spec.nodeName", node)

    def owned_by(self, resource: Resource | ObjectKind, uid: str) -> Sequence[Entry]:
        """Objects of a kind that name this owner."""
        return self.cache(resource).owned_by(uid)

    # Changes

    def subscribe(
        self,
        listener: Listener,
        resources: Iterable[Resource | ObjectKind] = (),
        *,
        lost: Lost,
    ) -> Callable[[], None]:
        """Call ``listener`` for every change of these kinds (of all, if none is named).

        A bug in it ends the subscription and is told to ``lost``. Returns a function that ends the
        subscription.
        """
        names = [self.catalog.kind_of(resource).store_name for resource in resources]
        lists = [self._followers.setdefault(name, []) for name in names] or [self._everywhere]
        follower = Follower(listener, lost)
        for followers in lists:
            followers.append(follower)
        return partial(self._end, follower)

    def _end(self, follower: Follower[ObjectChange]) -> None:
        for followers in (*self._followers.values(), self._everywhere):
            if follower in followers:
                followers.remove(follower)

    @asynccontextmanager
    async def listening(
        self, listener: Listener, resources: Iterable[Resource | ObjectKind] = ()
    ) -> AsyncGenerator[None, None]:
        """A subscription for as long as a piece of work takes, which a bug in it ends as one in
        the work itself does.
        """
        failures: list[Exception] = []
        try:
            async with asyncio.timeout(None) as limit:

                def lost(error: Exception) -> None:
                    failures.append(error)
                    limit.reschedule(asyncio.get_running_loop().time())

                end = self.subscribe(listener, resources, lost=lost)
                try:
                    yield
                finally:
                    end()
        except TimeoutError:
            if failures:
                raise failures[0] from None
            raise

    @asynccontextmanager
    async def changes(
        self, resources: Iterable[Resource | ObjectKind] = ()
    ) -> AsyncGenerator[asyncio.Queue[ObjectChange], None]:
        """A queue of the changes from now on, for consumers that wait."""
        queue: asyncio.Queue[ObjectChange] = asyncio.Queue()
        async with self.listening(queue.put_nowait, resources):
            yield queue

    # Writes

    async def create(
        self,
        resource: Resource | ObjectKind,
        body: Mapping[str, Any],
        *,
        namespace: str = "",
        options: WriteOptions = meta.DEFAULT_OPTIONS,
    ) -> dict[str, Any]:
        """Create an object; ``metadata.generateName`` is honoured.

        Raises:
            StatusError: AlreadyExists, Invalid, NotFound (the namespace), Forbidden.
        """
        kind = self.catalog.kind_of(resource)
        now = self.clock.now().wall
        new = meta.begin_create(kind, body, namespace, now, self.identity, dry_run=options.dry_run)
        admit_create(self, kind, new)
        settle(kind, new)
        kind.default(new)
        meta.track(kind, new, None, options, now)  # nobody owns what admission adds
        if kind is POD:
            pod_admission.complete(self, new)
        kind.prepare(new, None)
        if kind.resource.kind == "Service":
            assign_cluster_ip(self, new)
        elif kind.resource.kind in {"PersistentVolumeClaim", "Ingress"}:
            name_class(self, kind, new)
        escalation.check(self, kind, new, None, options.user)
        meta.check(kind, new, None)
        if kind is SERVICE:
            assign_node_ports(self, new)
        metadata = new["metadata"]
        key = key_of(metadata.get("namespace", ""), metadata["name"])
        group, plural = kind.resource.group, kind.resource.plural
        if kind is POD:
            pod_admission.check(self, new)
        if kind.warn is not None and options.warn is not None:
            for text in kind.warn(new):
                options.warn(text)
        self.review(kind, "CREATE", new, None, options)
        promise = self.quotas.admit(kind, new)
        try:
            taken = self.cache(kind).get(key) is not None
            for _ in range(GENERATIONS if taken and metadata.get("generateName") else 0):
                if not meta.draw_name(metadata, body, self.identity):
                    break
                key = key_of(metadata.get("namespace", ""), metadata["name"])
                taken = self.cache(kind).get(key) is not None
                if not taken:
                    break
            if taken:
                raise status.already_exists(group, plural, metadata["name"])
            if options.dry_run:
                return new
            revision = await self._create(kind, key, new, now)
        except Precondition:
            raise status.already_exists(group, plural, metadata["name"]) from None
        finally:
            if promise is not None:
                promise.end()
        metadata["resourceVersion"] = str(revision)
        return new

    async def _create(self, kind: ObjectKind, key: str, new: Body, now: datetime) -> int:
        write = Create(
            store_kind(kind),
            key,
            new["metadata"]["uid"],
            pack(kind, new),
            None,
            now,
        )
        with holding(self, new) if kind is SERVICE else nullcontext():
            return await self._commit(write)

    def review(
        self,
        kind: ObjectKind,
        operation: str,
        new: Body | None,
        old: Mapping[str, Any] | None,
        options: WriteOptions,
        subresource: str = "",
    ) -> None:
        """Ask the admission policies, unless they were asked about this write as it was sent, and
        whether pods are as secure as their namespace wants them.

        Raises:
            StatusError: one denies it.
        """
        if options.is_reviewed:
            return
        if new is not None:
            pod_security.review(self, kind, new, old, options, subresource)
        if not policy.is_watched(self):
            return
        request = policy.Request(
            kind, operation, new, old, options.user, subresource, options.dry_run
        )
        for text in policy.review(self, request):
            if options.warn is not None:
                options.warn(text)

    async def update(
        self,
        resource: Resource | ObjectKind,
        name: str,
        mutate: Mutate,
        *,
        namespace: str = "",
        subresource: str = "",
        expect: Preconditions = UNGUARDED,
        options: WriteOptions = meta.DEFAULT_OPTIONS,
        derives: bool = False,
    ) -> dict[str, Any]:
        """Read, change and write one object; tried again if it moved on in between.

        With ``subresource="status"`` only the status is taken; without, everything but the
        status (for kinds that have that subresource). A change that changes nothing writes
        nothing. An object whose last finalizer goes while it is being deleted, goes.
        ``derives``: ``mutate`` makes a new object and leaves the one that it is given alone.

        Raises:
            StatusError: NotFound, Conflict (a guard), Invalid, and what ``mutate`` raises.
        """
        kind = self.catalog.kind_of(resource)
        for attempt in range(RETRIES):
            entry = self.entry(kind, name, namespace)
            if entry is None:
                raise status.not_found(kind.resource.group, kind.resource.plural, name)
            meta.check_guard(kind, entry, expect)
            old = entry.object()
            given = old if derives else entry.object()
            answer = mutate(given)
            new = given if answer is None else answer
            meta.check_sent_guard(kind, entry, new)
            new = meta.begin_update(kind, new, old, subresource)
            settle(kind, new)
            if not subresource:
                kind.default(new)
            meta.track(kind, new, old, options, self.clock.now().wall, subresource)
            meta.finish_update(kind, new, old, subresource)
            escalation.check(self, kind, new, old, options.user)
            meta.check(kind, new, old, subresource)
            if kind is SERVICE and not subresource:
                assign_cluster_ip(self, new, old)
                assign_node_ports(self, new)
            self.review(kind, "UPDATE", new, old, options, subresource)
            packed = pack(kind, new)
            if says_the_same(packed, entry.data) or options.dry_run:
                new["metadata"]["resourceVersion"] = str(entry.revision)
                return new
            promise = self.quotas.admit(kind, new, old)
            store_kind_ = store_kind(kind)
            gone = meta.is_released(new)
            write = (
                Delete(store_kind_, entry.key, expect_revision=entry.revision)
                if gone
                else Update(store_kind_, entry.key, spec=packed, expect_revision=entry.revision)
            )
            try:
                with holding(self, new) if kind is SERVICE else nullcontext():
                    revision = await self._commit(write)
            except (Precondition, NotFound):
                if expect.revision or attempt == RETRIES - 1:
                    break
                await self._catch_up()
                continue
            finally:
                if promise is not None:
                    promise.end()
            new["metadata"]["resourceVersion"] = str(revision)
            return new
        raise status.conflict(kind.resource.group, kind.resource.plural, name)

    async def replace(
        self,
        resource: Resource | ObjectKind,
        name: str,
        body: Mapping[str, Any],
        *,
        namespace: str = "",
        subresource: str = "",
        options: WriteOptions = meta.DEFAULT_OPTIONS,
    ) -> dict[str, Any]:
        """PUT: the object becomes ``body``; its resourceVersion guards if it is given."""
        expect = meta.preconditions_of(body)
        return await self.update(
            resource,
            name,
            lambda _old: meta.copy_of(body),
            namespace=namespace,
            subresource=subresource,
            expect=expect,
            options=options,
            derives=True,
        )

    async def delete(
        self,
        resource: Resource | ObjectKind,
        name: str,
        *,
        namespace: str = "",
        grace_seconds: int | None = None,
        propagation: str = "",
        expect: Preconditions = UNGUARDED,
        dry_run: bool = False,
        options: WriteOptions = meta.DEFAULT_OPTIONS,
    ) -> tuple[dict[str, Any], bool]:
        """Delete, or begin to where grace or finalizers hold the object.

        Returns the object and whether it is gone.

        Raises:
            StatusError: NotFound, Conflict (a guard).
        """
        kind = self.catalog.kind_of(resource)
        for _ in range(RETRIES):
            entry = self.entry(kind, name, namespace)
            if entry is None:
                raise status.not_found(kind.resource.group, kind.resource.plural, name)
            admit_delete(kind, name)
            meta.check_guard(kind, entry, expect, deleting=True)
            body = entry.object()
            self.review(kind, "DELETE", None, body, options)
            now = self.clock.now().wall
            gone = meta.begin_delete(kind, body, grace_seconds, propagation, now)
            packed = pack(kind, body)
            if dry_run or (not gone and packed == entry.data):
                return body, gone
            store_kind_ = store_kind(kind)
            write = (
                Delete(store_kind_, entry.key, expect_revision=entry.revision)
                if gone
                else Update(store_kind_, entry.key, spec=packed, expect_revision=entry.revision)
            )
            try:
                revision = await self._commit(write)
            except (Precondition, NotFound):
                await self._catch_up()
                continue
            body["metadata"]["resourceVersion"] = str(revision)
            return body, gone
        raise status.conflict(kind.resource.group, kind.resource.plural, name)

    # Taking changes

    async def _commit(self, write: Create | Update | Delete) -> int:
        commit = await self._store.transact(self._scope, (write,))
        revision = self.note(commit, deleted=isinstance(write, Delete))
        await self._reached(revision)
        return revision

    def note(self, commit: Commit, *, deleted: bool = False) -> int:
        """Learn of a transaction of one write in our scope from its own answer; its revision."""
        record = commit.records[0]
        assert record is not None
        self._offer(Change(self._scope, record.revision, record, deleted=deleted))
        return record.revision

    async def _reached(self, revision: int) -> None:
        if self._revision >= revision:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((revision, waiter))
        await waiter

    async def _catch_up(self) -> None:
        """Wait until reads see everything that was committed before this call."""
        await self._reached(await self._store.revision(self._scope))

    def _offer(self, change: Change) -> None:
        """Take a change when it is the next one; keep it while an earlier one is missing."""
        if self._is_torn or change.revision <= self._revision:
            return
        self._pending[change.revision] = change
        while (following := self._pending.pop(self._revision + 1, None)) is not None:
            self._is_torn = True
            self._take(following)
            self._is_torn = False
            self._revision = following.revision
        self._wake_waiters()

    def _wake_waiters(self) -> None:
        if self._waiters:
            ready = [w for at, w in self._waiters if at <= self._revision]
            self._waiters = [(at, w) for at, w in self._waiters if at > self._revision]
            for waiter in ready:
                if not waiter.done():
                    waiter.set_result(None)

    def _take(self, change: Change) -> None:
        record: Stored[Any, Any] = change.record
        kind = self.catalog.stored_as(record.kind.name)
        if kind is None:
            return
        cache = self._caches[kind.store_name]
        body = read(kind, record.spec)
        taken = cache.apply(Entry(kind, record, body), deleted=change.deleted)
        if taken is None:
            return
        if kind is CUSTOM_RESOURCE_DEFINITION:
            self._define(taken)
        body["metadata"]["resourceVersion"] = str(taken.revision)
        taken.share(body)
        failed = tell((*self._followers.get(kind.store_name, ()), *self._everywhere), taken)
        taken.share(None)
        for follower, error in failed:
            self._end(follower)
            if self._on_bug is not None:
                self._on_bug()
            follower.lost(error)
            if self._raise_bugs:
                raise error

    # Definitions of custom kinds

    def _declare(self, definition: Entry) -> ObjectKind | None:
        """Serve what a definition declares."""
        found = kind_of_definition(definition.object())
        if found is None:
            return None
        self.catalog.put(definition.name, *found)
        return found[0]

    def _define(self, change: ObjectChange) -> None:
        """A definition came, changed or went: its kind with it."""
        name = change.new.name
        before = self.catalog.custom_kind(name)
        if change.type == "DELETED":
            self.catalog.remove(name)
            if before is not None:
                self._caches.pop(before.store_name, None)
            return
        if change.old is not None and before is not None and not _redefines(change):
            return
        kind = self._declare(change.new)
        if kind is None:
            return
        old = self._caches.get(kind.store_name)
        cache = ObjectCache(kind, old.floor if old else change.revision)
        if old is not None:
            cache.load(entry.of(kind) for entry in old.all())
            cache.go_on_from(old)
        self._caches[kind.store_name] = cache


def _redefines(change: ObjectChange) -> bool:
    """Whether more than the status of a definition changed."""
    old, new = change.old, change.new
    return old is None or old.object().get("spec") != new.object().get("spec")


__all__ = ["Registry", "StatusError", "key_of"]
