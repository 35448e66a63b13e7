"""Typed halves come back as they were."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import NoneType
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolwright.model import agent_pool, managed_cluster
from poolwright.model.errors import InvalidRequest
from poolwright.model.instant import Instant
from poolwright.model.machine import Machine
from poolwright.model.record import Kind
from poolwright.model.scarcity import Scarcity
from poolwright.store.codec import canonical_half, decode_half, encode_half, micros, moment

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
MOMENTS = st.datetimes(
    min_value=datetime(1970, 1, 2),  # noqa: DTZ001
    timezones=st.just(UTC),
)
st.register_type_strategy(datetime, MOMENTS)
st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))
st.register_type_strategy(Instant, st.builds(Instant, st.integers(0, 2**60)))


def kinds() -> list[Kind[Any, Any]]:
    modules = (agent_pool, managed_cluster)
    found = {v.name: v for m in modules for v in vars(m).values() if isinstance(v, Kind)}
    return list(found.values())


def halves() -> list[type[Any]]:
    found = [half for kind in kinds() for half in (kind.spec, kind.status)]
    return [*found, managed_cluster.DocumentSpec, managed_cluster.DocumentStatus, Machine, Scarcity]


def values_of(half: type[Any]) -> st.SearchStrategy[Any]:
    """Any value of a dataclass; JSON where it says ``Any``."""
    hints = {f.name: f.type for f in dataclasses.fields(half)}
    free = {
        name: st.dictionaries(st.text(), JSON, max_size=3)
        for name, hint in hints.items()
        if hint == "Mapping[str, Any]" or hint == Mapping[str, Any]
    }
    return st.builds(half, **{**{name: st.from_type(_hint(half, name)) for name in hints}, **free})


def _hint(half: type[Any], name: str) -> Any:
    return get_type_hints(half)[name]


def test_all_kinds_of_the_model_are_tried() -> None:
    assert {"AgentPool", "Operation", "ManagedCluster"} <= {kind.name for kind in kinds()}


@pytest.mark.parametrize("half", halves(), ids=lambda half: half.__name__)
def test_a_half_survives(half: type[Any]) -> None:
    @given(values_of(half))
    def check(value: Any) -> None:
        encoded = encode_half(half, value)
        assert isinstance(encoded, bytes)
        assert decode_half(half, encoded) == value
        assert canonical_half(half, value) == (value, encoded)

    check()


def test_opaque_halves_are_verbatim() -> None:
    body = b'{"a": 1,  "b":\xff}'
    assert canonical_half(bytes, body) == (body, body)
    assert decode_half(bytes, body) is body
    assert canonical_half(NoneType, None) == (None, None)


@dataclasses.dataclass(frozen=True)
class Odd:
    number: int


def test_a_value_that_would_not_survive_is_a_bug_of_the_writer() -> None:
    with pytest.raises(AssertionError, match="Odd does not survive"):
        canonical_half(Odd, Odd("no number"))  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="dict is not a Odd"):
        canonical_half(Odd, {"number": 1})


def test_text_with_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        canonical_half(agent_pool.OperationSpec, agent_pool.OperationSpec("\ud800", "Creating"))


@given(MOMENTS)
def test_moments_keep_their_microseconds(wall: datetime) -> None:
    assert moment(micros(wall)) == wall


def test_moments_are_utc() -> None:
    summer = datetime.fromisoformat("2026-07-01T12:00:00+02:00")
    assert moment(micros(summer)).isoformat() == "2026-07-01T10:00:00+00:00"
    assert moment(micros(summer)).utcoffset() == timedelta(0)
