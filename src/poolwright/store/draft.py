"""Transactions that are judged but not yet committed: drafts of scopes, and the batch they make."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from poolwright.model.errors import InvalidRequest
from poolwright.model.record import Kind
from poolwright.ports.store import Commit, Create, Update, Write
from poolwright.store.codec import Row, canonical_half
from poolwright.store.columns import change_values
from poolwright.store.policy import compaction_floor
from poolwright.store.transaction import Effect, Key, Lookup, Record, judge


class Draft:
    """One scope with the transactions that are to be committed together, in call order."""

    __slots__ = ("_find", "_records", "before", "effects", "revision", "scope")

    def __init__(self, scope: str, revision: int, find: Lookup) -> None:
        self.scope = scope
        self.before = revision
        """The committed revision that the draft stands on."""
        self.revision = revision
        self.effects: list[Effect] = []
        self._find = find
        self._records: dict[Key, Record | None] = {}

    def add(self, writes: Sequence[Write]) -> Commit:
        """Judge a transaction against everything before it, and take it in.

        Raises:
            Precondition, NotFound: as `Store.transact`; the draft is as before.
        """
        outcome = judge(self.scope, self.revision, self._lookup, writes)
        self.revision = outcome.revision
        for effect in outcome.effects:
            self.effects.append(effect)
            row = effect.row
            self._records[row.kind, row.name] = None if effect.deleted else effect.record
        return Commit(outcome.revision, outcome.records)

    def _lookup(self, kind: Kind[Any, Any], name: str) -> Record | None:
        key = (kind.name, name)
        return self._records[key] if key in self._records else self._find(kind, name)


@dataclass(slots=True)
class Batch:
    """What one commit writes."""

    objects: dict[tuple[str, str, str], Row | None] = field(
        default_factory=dict[tuple[str, str, str], Row | None]
    )
    """The last state of each record by scope, kind and name; None removes it."""
    changes: list[tuple[object, ...]] = field(default_factory=list[tuple[object, ...]])
    """Rows of the log."""
    revisions: dict[str, int] = field(default_factory=dict[str, int])
    floors: dict[str, int] = field(default_factory=dict[str, int])
    """Up to which revision the log of a scope is to be forgotten."""
    leases: dict[str, tuple[str, int]] = field(default_factory=dict[str, tuple[str, int]])
    """Holder and epoch by key."""
    is_durable: bool = False

    def add(self, draft: Draft, *, keeps_log: bool) -> None:
        """Take in a scope."""
        scope = draft.scope
        self.revisions[scope] = draft.revision
        objects = self.objects
        for effect in draft.effects:
            row = effect.row
            objects[scope, row.kind, row.name] = None if effect.deleted else row
        if keeps_log:
            self.changes += [change_values(scope, e.row, deleted=e.deleted) for e in draft.effects]
            floor = compaction_floor(draft.before, draft.revision)
            if floor is not None:
                self.floors[scope] = floor

    def present(self) -> list[tuple[object, ...]]:
        """Rows of ``objects`` to insert or replace."""
        return [(key[0], *row) for key, row in self.objects.items() if row is not None]

    def gone(self) -> list[tuple[str, str, str]]:
        """Keys of the rows to remove."""
        return [key for key, row in self.objects.items() if row is None]


def require_names(scope: str, writes: Iterable[Write]) -> None:
    """Refuse text that a database cannot keep (NUL, half of a surrogate pair).

    Raises:
        InvalidRequest: there is such text.
    """
    for write in writes:
        if isinstance(write, Create):
            text = f"{scope}{write.name}{write.uid}"
            if "\0" in text or not _is_utf8(text):
                raise InvalidRequest(f"{write.kind.name} has a name that cannot be kept")


def require_values(write: Write) -> None:
    """Refuse halves that cannot be kept, as `judge` would."""
    if isinstance(write, Create | Update):
        for half, value in ((write.kind.spec, write.spec), (write.kind.status, write.status)):
            if value is not None:
                canonical_half(half, value)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
