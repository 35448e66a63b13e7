"""Between records and rows: typed halves are JSON, opaque ones are kept verbatim."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from types import NoneType
from typing import Any, NamedTuple, cast

import msgspec

from poolwright.model.errors import InvalidRequest
from poolwright.model.record import Kind, Stored

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def _plain(value: object) -> object:
    """What msgspec asks for types it does not know: any other mapping is a dict."""
    if isinstance(value, Mapping):
        return dict(cast("Mapping[object, object]", value))
    raise TypeError(f"{type(value).__name__} cannot be kept")


_encode_json = msgspec.json.Encoder(enc_hook=_plain).encode


class Row(NamedTuple):
    """A row of ``objects`` without its scope, in the order of the columns."""

    kind: str
    name: str
    uid: str
    revision: int
    generation: int
    spec: bytes | None
    status: bytes | None
    created_at: int
    deleted_at: int | None


def opaque_kind(name: str) -> Kind[Any, Any]:
    """Stands for a kind whose types nobody has told this process yet: both halves are bytes."""
    return Kind(name, bytes, bytes)


@cache
def _decoder(half: type[Any]) -> Callable[[bytes], Any]:
    return msgspec.json.Decoder(half).decode


def encode_half(half: type[Any], value: Any) -> bytes | None:
    """The bytes of a spec or status."""
    if half is bytes or half is NoneType:
        return value
    return _encode_json(value)


def decode_half(half: type[Any], encoded: bytes | None) -> Any:
    """The inverse of `encode_half`."""
    if encoded is None or half is bytes or half is NoneType:
        return encoded
    return _decoder(half)(encoded)


def canonical_half(half: type[Any], value: Any) -> tuple[Any, bytes | None]:
    """A copy of the value as it will be read after a restart, and its bytes.

    So no caller can change a record by changing what it passed, and a value that would not
    survive is found where it is written.
    """
    if half is bytes or half is NoneType:
        assert isinstance(value, half) or value is None, f"{type(value).__name__} is not {half}"
        return value, value
    assert isinstance(value, half), f"{type(value).__name__} is not a {half.__name__}"
    try:
        encoded = _encode_json(value)
        return _decoder(half)(encoded), encoded
    except UnicodeEncodeError as error:
        raise InvalidRequest("text holds half of a surrogate pair") from error
    except (msgspec.DecodeError, TypeError) as error:
        raise AssertionError(f"{half.__name__} does not survive the store: {error}") from error


def micros(moment: datetime) -> int:
    """Microseconds since the Unix epoch of an aware datetime."""
    return (moment - _EPOCH) // _MICROSECOND


def moment(since_epoch: int) -> datetime:
    """The inverse of `micros`, in UTC."""
    return _EPOCH + timedelta(microseconds=since_epoch)


def record_of(scope: str, kind: Kind[Any, Any], row: Row) -> Stored[Any, Any]:
    """Decode a row."""
    return Stored(
        kind,
        scope,
        row.name,
        row.uid,
        row.revision,
        row.generation,
        decode_half(kind.spec, row.spec),
        decode_half(kind.status, row.status),
        moment(row.created_at),
        None if row.deleted_at is None else moment(row.deleted_at),
    )


def retyped(record: Stored[Any, Any], kind: Kind[Any, Any]) -> Stored[Any, Any]:
    """A record of an opaque kind, decoded now that the kind is known."""
    return Stored(
        kind,
        record.scope,
        record.name,
        record.uid,
        record.revision,
        record.generation,
        decode_half(kind.spec, record.spec),
        decode_half(kind.status, record.status),
        record.created_at,
        record.deleted_at,
    )
