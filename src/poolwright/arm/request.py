"""A request after parsing, as handlers get it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from poolwright.arm.errors import INVALID_CONTENT, UNSUPPORTED_MEDIA_TYPE
from poolwright.arm.response import ArmResponse
from poolwright.model.cluster_key import ClusterKey

_DECODER = msgspec.json.Decoder()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, by the claims of the access token."""

    tenant: str
    object_id: str
    app_id: str = ""


@dataclass(frozen=True, slots=True)
class ArmRequest:
    """One request.

    ``path`` is decoded, as sent; ``query`` and ``headers`` have names in lower case; ``names``
    are the values of the route's template in the casing they were sent in. ``base_url`` is where
    the client reaches us (``https://host:port``, from its Host header). ``send`` lets a handler
    ask for another path of this server as the same caller: method, path, body.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    names: Mapping[str, str]
    api_version: str
    base_url: str
    caller: Caller
    request_id: str
    raw_body: bytes
    send: Callable[[str, str, Any], Awaitable[ArmResponse]]

    @property
    def subscription(self) -> str:
        """The subscription as sent."""
        return self.names["subscription"]

    @property
    def resource_group(self) -> str:
        """The resource group as sent."""
        return self.names["resource_group"]

    @property
    def cluster_key(self) -> ClusterKey:
        """The managed cluster that the path is of or below."""
        return ClusterKey.of(self.subscription, self.resource_group, self.names["cluster"])

    @property
    def if_match(self) -> str:
        """``If-Match`` without quotes; empty if not sent."""
        return _unquoted(self.headers.get("if-match", ""))

    @property
    def if_none_match(self) -> str:
        """``If-None-Match`` without quotes; empty if not sent."""
        return _unquoted(self.headers.get("if-none-match", ""))

    def json(self) -> Any:
        """The body.

        Raises:
            InvalidRequest: no JSON (``InvalidRequestContent``), or a content type that is not
                JSON (``UnsupportedMediaType``).
        """
        sent_type = self.headers.get("content-type", "application/json")
        media_type = sent_type.partition(";")[0].strip().lower()
        if not media_type.endswith("json"):
            raise UNSUPPORTED_MEDIA_TYPE(type=media_type)
        try:
            return _DECODER.decode(self.raw_body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise INVALID_CONTENT(detail=str(error)) from None

    def json_object(self) -> dict[str, Any]:
        """The body, which must be an object.

        Raises:
            InvalidRequest: as `json`, and for JSON that is not an object.
        """
        body = self.json()
        if not isinstance(body, dict):
            raise INVALID_CONTENT(detail="expected a JSON object")
        return cast("dict[str, Any]", body)


def _unquoted(value: str) -> str:
    value = value.strip().removeprefix("W/")
    return value[1:-1] if len(value) >= 2 and value[0] == value[-1] == '"' else value
