"""Bodies in protobuf, as client-go sends them."""

from __future__ import annotations

import pytest

from poolwright.kubesim.protobuf import MAGIC, Malformed, read_object


def field(number: int, value: bytes | int) -> bytes:
    wire = 0 if isinstance(value, int) else 2
    key = number << 3 | wire
    head = bytes([key]) if key < 0x80 else bytes([key & 0x7F | 0x80, key >> 7])
    if isinstance(value, int):
        return head + bytes([value])
    assert len(value) < 128
    return head + bytes([len(value)]) + value


def enveloped(version: str, kind: str, raw: bytes) -> bytes:
    head = field(1, version.encode()) + field(2, kind.encode())
    return MAGIC + field(1, head) + field(2, raw)


def definition(schema: bytes) -> dict:
    """A custom resource definition with one version that has this schema."""
    version = field(1, b"v1") + field(4, field(1, schema))
    raw = field(2, field(7, version))
    body = read_object(enveloped("apiextensions.k8s.io/v1", "CustomResourceDefinition", raw))
    return body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


STRING = field(5, b"string")


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (field(24, field(1, STRING)), {"items": {"type": "string"}}),
        (field(24, field(2, STRING)), {"items": [{"type": "string"}]}),
        (field(30, field(1, 0)), {"additionalProperties": False}),
        (field(30, field(1, 1)), {"additionalProperties": True}),
        (
            field(30, field(1, 1) + field(2, STRING)),
            {"additionalProperties": {"type": "string"}},
        ),
        (field(8, field(1, b"false")), {"default": False}),
        (
            field(32, field(1, b"a") + field(2, field(2, b"b"))),
            {"dependencies": {"a": ["b"]}},
        ),
    ],
)
def test_schemas_that_are_one_thing_or_another(schema, expected):
    assert definition(schema) == expected


def test_a_time_that_no_calendar_has():
    far = b"\x08" + b"\xff" * 8 + b"\x0f"  # 2^60 seconds
    lease = field(2, field(3, far))
    with pytest.raises(Malformed):
        read_object(enveloped("coordination.k8s.io/v1", "Lease", lease))
