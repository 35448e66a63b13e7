"""What a client wants back, and what it sent: Accept and Content-Type.

Source: k8s.io/apiserver pkg/endpoints/handlers/negotiation and rest.go (messages).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import msgspec
import yaml

from poolwright.kubesim import protobuf, status
from poolwright.kubesim.entry import decode, encode
from poolwright.model.json_value import Json

BODY_MAX_BYTES = 3 * 1024 * 1024  # k8s.io/apiserver pkg/server/config.go MaxRequestBodyBytes

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
STREAM = "application/json;stream=watch"


@dataclass(frozen=True, slots=True)
class Form:
    """How objects are written. ``view`` is empty, Table, PartialObjectMetadata(List)."""

    media: str = JSON
    view: str = ""
    version: str = "v1"
    pretty: bool = False


PLAIN = Form()
_VIEWS = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
_MEDIA = {
    JSON: JSON,
    "*/*": JSON,
    "application/*": JSON,
    YAML: YAML,
    "text/html": JSON,
}


@lru_cache(maxsize=512)
def accepted(header: str) -> Form | None:
    """The first clause of an Accept header that we can answer, or None."""
    if not header:
        return PLAIN
    for clause in header.split(","):
        parts = [part.strip() for part in clause.split(";")]
        media = _MEDIA.get(parts[0].lower())
        if media is None:
            continue
        options = dict(part.split("=", 1) for part in parts[1:] if "=" in part)
        view = options.get("as", "")
        if not view:
            return Form(media)
        if view in _VIEWS and options.get("g") == "meta.k8s.io":
            version = options.get("v", "")
            if version in {"v1", "v1beta1"}:
                return Form(media, view, version)
    return None


def not_acceptable() -> status.StatusError:
    """406."""
    return status.StatusError(
        406,
        "NotAcceptable",
        "only the following media types are accepted: application/json, application/yaml,"
        " application/json;stream=watch",
    )


def unsupported_media(*allowed: str) -> status.StatusError:
    """415."""
    return status.StatusError(
        415,
        "UnsupportedMediaType",
        "the body of the request was in an unknown format - accepted media types include: "
        + ", ".join(allowed),
    )


def unsupported_patch() -> status.StatusError:
    """415, as go-restful says it before any handler of a built-in kind is asked."""
    return status.StatusError(415, "UnsupportedMediaType", "415: Unsupported Media Type")


def too_large() -> status.StatusError:
    """413."""
    return status.StatusError(
        413, "RequestEntityTooLarge", f"Request entity too large: limit is {BODY_MAX_BYTES}"
    )


def is_text(data: bytes) -> bool:
    """Whether bytes are UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


_ESCAPES = re.compile(
    rb"(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\[^uU])"
    rb"|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
_HAS_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def mended(data: bytes) -> bytes:
    """JSON as Go's decoder reads it: what is no UTF-8, and halves of pairs, are U+FFFD."""
    if not is_text(data):
        data = data.decode("utf-8", "replace").encode()
    if _HAS_SURROGATE.search(data):
        data = _ESCAPES.sub(lambda found: found[1] or b"\\ufffd", data)
    return data


def read_value(data: bytes, content_type: str) -> Any:
    """A body in JSON or YAML.

    Raises:
        StatusError: 400, it is neither.
    """
    is_yaml = content_type.endswith("yaml")
    if not is_yaml:
        data = mended(data)
    try:
        if not is_yaml or data.startswith(b"{"):
            return decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if not is_yaml:
            raise status.bad_request(
                f"couldn't get version/kind; json parse error: {_go_error(str(error), data)}"
            ) from None
    if data.lstrip().startswith(b"{"):
        data = data.replace(b"\t", b" ")  # Go's parser lets tabs stand inside braces
    try:
        return yaml.load(data, Loader=_LOADER)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise status.bad_request(f"error converting YAML to JSON: {error}") from None


class NotJson(ValueError):
    """Says in Go's words why something is no JSON."""


def decode_as_go(data: bytes) -> Any:
    """JSON decoded.

    Raises:
        NotJson: it is none.
    """
    try:
        return decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotJson(_go_error(str(error), data)) from None


def read_object(data: bytes, content_type: str) -> dict[str, Any]:
    """A body that must be an object.

    Raises:
        StatusError: 400 or 415.
    """
    media = content_type.partition(";")[0].strip().lower()
    if media == PROTOBUF:
        return _read_protobuf(data)
    if media in {"", JSON}:
        media = JSON
    elif media != YAML:
        raise unsupported_media(JSON, YAML, PROTOBUF)
    value = read_value(data, media)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise status.bad_request(
            "couldn't get version/kind; json parse error: json: cannot unmarshal"
            f" {go_kind(value)} into Go value of type struct {{ APIVersion string"
            ' "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
        )
    return cast("dict[str, Any]", value)


class _Object(dict[str, Any]):
    """A JSON object that remembers which of its names came twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        counts = Counter(name for name, _ in pairs)
        self.twice = [name for name, count in counts.items() if count > 1]


def _twice(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, _Object):
        yield from (f"{path}{name}" for name in value.twice)
        for name, inner in value.items():
            yield from _twice(inner, f"{path}{name}.")
    elif isinstance(value, list):
        for position, inner in enumerate(cast("list[Any]", value)):
            yield from _twice(inner, f"{path.removesuffix('.')}[{position}].")


def duplicates(data: bytes, value: Any) -> list[str]:
    """The paths of members that a JSON body names twice, of which decoding keeps one."""
    if not data.startswith(b"{") or data.count(b'":') == encode(value).count(b'":'):
        return []  # as many members as were kept
    try:
        return list(_twice(json.loads(data, object_pairs_hook=_Object), ""))
    except (ValueError, RecursionError):
        return []


def unrecognized(kind: str, why: str, data: bytes) -> status.StatusError:
    """400: a body that cannot be read, with how it begins.

    Source: k8s.io/apimachinery pkg/runtime/serializer/recognizer and rest.go (summarizeData).
    """
    if not data:
        shown = "<empty>"
    elif data.startswith(b"{"):
        shown = data[:_SHOWN_TEXT].decode("utf-8", "replace") + " ..." * (len(data) > _SHOWN_TEXT)
    else:
        shown = data[:_SHOWN_BYTES].hex() + " ..." * (len(data) > _SHOWN_BYTES)
    return status.bad_request(
        f"the object provided is unrecognized (must be of type {kind}): {why} ({shown})"
    )


_SHOWN_TEXT, _SHOWN_BYTES = 30, 30


def _read_protobuf(data: bytes) -> dict[str, Any]:
    try:
        return protobuf.read_object(data)
    except (ValueError, OverflowError, msgspec.DecodeError) as error:
        prefix = "provided data does not appear to be a protobuf message, expected prefix"
        told = str(error) if data.startswith(protobuf.MAGIC) else f"{prefix} [107 56 115 0]"
        raise status.bad_request(told) from None


def go_kind(value: Any) -> str:
    """What Go calls the type of a JSON value."""
    for kind, name in ((dict, "object"), (list, "array"), (bool, "bool")):
        if isinstance(value, kind):
            return name
    return "string" if isinstance(value, str) else "number"


def go_text(value: Any) -> str:
    """A JSON value as Go's fmt prints it with %v."""
    match value:
        case dict():
            members = sorted(cast("dict[str, Any]", value).items())
            return f"map[{' '.join(f'{name}:{go_text(inner)}' for name, inner in members)}]"
        case list():
            return f"[{' '.join(map(go_text, cast('list[Any]', value)))}]"
        case None:
            return "<nil>"
        case bool():
            return str(value).lower()
        case _:
            return str(value)


_UNMARSHAL = re.compile(r"json: cannot unmarshal (\w+)(?: \S+)? into .* of type (\S+)")
_KINDS = {"array": "slice", "number": "int64", "object": "map"}


def conversion_error(why: str) -> str:
    """What the converter of patched objects says where a decoder says ``why``.

    Source: fromUnstructured in k8s.io/apimachinery pkg/runtime/converter.go.
    """
    found = _UNMARSHAL.fullmatch(why)
    if found is None:
        return why
    sent, wanted = _KINDS.get(found[1], found[1]), found[2]
    if wanted.startswith("map[") or wanted == "v1.ResourceList":
        return f"cannot restore map from {sent}"
    if wanted.startswith("[]"):
        return f"cannot restore slice from {sent}"
    if "." in wanted:
        return f"cannot restore struct from: {sent}"
    if (sent, wanted) == ("int64", "string"):
        return "cannot convert int64 to string"
    return f"unrecognized type: {wanted}"


def _go_error(text: str, data: bytes) -> str:
    """encoding/json's words for what the decoder found."""
    if "truncated" in text:
        return "unexpected end of JSON input"
    if "recursion" in text:
        return "invalid character '[' exceeded max depth"
    place = re.search(r"\(byte (\d+)\)", text)
    at = int(place[1]) if place else 0
    if "trailing" in text:
        rest = data[at:].lstrip() or data[-1:]
        return f"invalid character '{chr(rest[0])}' after top-level value"
    return f"invalid character {_sign(data[at])} looking for beginning of value" if data else text


def _sign(byte: int) -> str:
    """A byte as Go's decoder shows it (quoteChar)."""
    sign = chr(byte)
    return f"'{sign}'" if sign.isprintable() else f"'\\u{byte:04x}'"


class _Loader(yaml.SafeLoader):
    """YAML as JSON has it: timestamps stay text, and nothing refers to anything."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping, in which a key may be set once."""
        keys = [key.value for key, _ in node.value]
        for position, key in enumerate(keys):
            if key in keys[:position]:
                line = node.value[position][0].start_mark.line + 1
                raise yaml.YAMLError(
                    f'yaml: unmarshal errors:\n  line {line}: key "{key}" already set in map'
                )
        return super().construct_mapping(node, deep)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """One node; an alias could make a small body huge."""
        if self.check_event(yaml.AliasEvent):  # pyright: ignore[reportUnknownMemberType]
            raise yaml.YAMLError("yaml: aliases are not supported")
        return super().compose_node(parent, index)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_LOADER = _Loader


def to_yaml(body: Json) -> bytes:
    """An object as YAML."""
    return yaml.safe_dump(body, sort_keys=True, default_flow_style=False).encode()
