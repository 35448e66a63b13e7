"""Bugs that the suite must find, planted into a server before it starts."""

from __future__ import annotations

from dataclasses import replace

from poolwright.control import orphans
from poolwright.ports.store import Check, Delete, Update
from poolwright.providers.kwok.fleet import KwokFleet
from poolwright.providers.simulated.books import Books
from poolwright.reconcile.lease import Leases
from poolwright.store.shared import SharedStore


def no_leases_no_guards() -> None:
    """Everybody works on everything, and the store refuses nothing."""

    async def always(self, key):
        return True

    Leases.acquire = always
    transact = SharedStore.transact

    async def unguarded(self, scope, writes):
        return await transact(
            self, scope, [_unguarded(write) for write in writes if not isinstance(write, Check)]
        )

    SharedStore.transact = unguarded


def _unguarded(write):
    if isinstance(write, Update | Delete):
        return replace(write, expect_revision=None, expect_generation=None)
    return write


def forgetful_books() -> None:
    """The ledger is read once and believed for ever, as if nobody else wrote it."""
    load = Books.load

    async def once(self):
        return () if self._known else await load(self)

    Books.load = once


def unowned_nodes() -> None:
    """Whoever was paused deletes Nodes by what it remembers, and nobody clears away Nodes: neither
    who plays the cluster nor who looks for what has no machine.
    """

    async def remembered(self, name, node):
        del node
        return False

    KwokFleet._remove_stale = remembered
    orphans.plan_left_behind = lambda *_: ()


BUGS = {each.__name__: each for each in (no_leases_no_guards, forgetful_books, unowned_nodes)}
