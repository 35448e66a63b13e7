"""What a transaction does to a scope: guards, revisions and generations. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from poolwright.model.errors import NotFound, Precondition
from poolwright.model.record import Kind, Stored
from poolwright.ports.store import Check, Create, Delete, Update, Write
from poolwright.store.codec import Row, canonical_half, encode_half, micros

Record = Stored[Any, Any]
Lookup = Callable[[Kind[Any, Any], str], Record | None]
Key = tuple[str, str]
"""Kind name and record name."""


@dataclass(frozen=True, slots=True)
class Effect:
    """One change of one record, with the row that keeps it."""

    record: Record
    deleted: bool
    row: Row


@dataclass(frozen=True, slots=True)
class Outcome:
    """What `judge` found: the revision after it, the commit's records, and the changes."""

    revision: int
    records: tuple[Record | None, ...]
    effects: tuple[Effect, ...]


def judge(scope: str, revision: int, lookup: Lookup, writes: Sequence[Write]) -> Outcome:
    """Apply the writes in order to the records that ``lookup`` finds; every change of a record
    takes the next revision.

    Raises:
        Precondition, NotFound: as `Store.transact`.
    """
    changed: dict[Key, Record | None] = {}
    records: list[Record | None] = []
    effects: list[Effect] = []
    for write in writes:
        kind, name = write.kind, write.name
        key = (kind.name, name)
        old = changed[key] if key in changed else lookup(kind, name)
        if isinstance(write, Check):
            _require(scope, write, old)
            records.append(old)
            continue
        revision += 1
        match write:
            case Create():
                effect = _create(scope, revision, write, old)
            case Update():
                effect = _update(revision, write, _guarded(scope, write, old))
            case Delete():
                effect = _delete(revision, _guarded(scope, write, old))
        changed[key] = None if effect.deleted else effect.record
        records.append(effect.record)
        effects.append(effect)
    return Outcome(revision, tuple(records), tuple(effects))


def _create(scope: str, revision: int, write: Create, old: Record | None) -> Effect:
    kind = write.kind
    if old is not None:
        raise Precondition(f'{kind.name} "{write.name}" already exists in {scope}')
    spec, spec_bytes = canonical_half(kind.spec, write.spec)
    status, status_bytes = canonical_half(kind.status, write.status)
    record = Stored(kind, scope, write.name, write.uid, revision, 1, spec, status, write.created_at)
    return Effect(record, False, _row(record, spec_bytes, status_bytes))


def _update(revision: int, write: Update, old: Record) -> Effect:
    kind, spec, status, generation = write.kind, old.spec, old.status, old.generation
    if write.spec is None:
        spec_bytes = encode_half(kind.spec, spec)
    else:
        spec, spec_bytes = canonical_half(kind.spec, write.spec)
        generation += spec != old.spec
    if write.status is None:
        status_bytes = encode_half(kind.status, status)
    else:
        status, status_bytes = canonical_half(kind.status, write.status)
    record = Stored(
        kind,
        old.scope,
        old.name,
        old.uid,
        revision,
        generation,
        spec,
        status,
        old.created_at,
        write.deleted_at or old.deleted_at,
    )
    return Effect(record, False, _row(record, spec_bytes, status_bytes))


def _delete(revision: int, old: Record) -> Effect:
    record = Stored(
        old.kind,
        old.scope,
        old.name,
        old.uid,
        revision,
        old.generation,
        old.spec,
        old.status,
        old.created_at,
        old.deleted_at,
    )
    kind = old.kind
    return Effect(
        record,
        True,
        _row(record, encode_half(kind.spec, old.spec), encode_half(kind.status, old.status)),
    )


def _row(record: Record, spec: bytes | None, status: bytes | None) -> Row:
    deleted_at = record.deleted_at
    return Row(
        record.kind.name,
        record.name,
        record.uid,
        record.revision,
        record.generation,
        spec,
        status,
        micros(record.created_at),
        None if deleted_at is None else micros(deleted_at),
    )


def _require(scope: str, check: Check, old: Record | None) -> None:
    if not check.expect_absent:
        _guarded(scope, check, old)
    elif old is not None:
        raise Precondition(f'{check.kind.name} "{check.name}" exists in {scope}')


def _guarded(scope: str, write: Update | Delete | Check, old: Record | None) -> Record:
    if old is None:
        raise NotFound(f'{write.kind.name} "{write.name}" is not in {scope}')
    if write.expect_uid is not None and old.uid != write.expect_uid:
        _refuse(write, "uid", write.expect_uid, old.uid)
    if write.expect_revision is not None and old.revision != write.expect_revision:
        _refuse(write, "revision", write.expect_revision, old.revision)
    if write.expect_generation is not None and old.generation != write.expect_generation:
        _refuse(write, "generation", write.expect_generation, old.generation)
    return old


def _refuse(write: Update | Delete | Check, guard: str, wanted: object, found: object) -> NoReturn:
    raise Precondition(f'{write.kind.name} "{write.name}" has {guard} {found}, expected {wanted}')
