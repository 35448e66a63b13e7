"""What the store keeps: kinds of records, and one record with its revision and generation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

SpecT = TypeVar("SpecT")
StatusT = TypeVar("StatusT")


@dataclass(frozen=True, slots=True)
class Kind(Generic[SpecT, StatusT]):
    """A kind of record: its name in the store and the types of its two halves.

    ``spec`` and ``status`` are frozen dataclasses that hold only JSON-able fields (numbers,
    strings, enums, tuples, dicts, datetimes, timedeltas, nested dataclasses; no union of two
    dataclasses), or ``bytes`` for objects that the store keeps verbatim, or ``NoneType``.
    """

    name: str
    spec: type[SpecT]
    status: type[StatusT]


@dataclass(frozen=True, slots=True)
class Stored(Generic[SpecT, StatusT]):
    """One record as it was committed.

    ``revision`` is the scope's counter at the last write of any part; ``generation`` moves only
    when the spec does; ``uid`` is the identity in time; ``created_at`` and ``deleted_at`` are wall
    time (the latter: deletion was asked for, and somebody still has work to do before the record
    goes).
    """

    kind: Kind[SpecT, StatusT]
    scope: str
    name: str
    uid: str
    revision: int
    generation: int
    spec: SpecT
    status: StatusT
    created_at: datetime
    deleted_at: datetime | None = None
