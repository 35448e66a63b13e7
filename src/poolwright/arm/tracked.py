"""What every tracked resource has: a location and tags, with ARM's limits.

Source: facts aks-api §5.7 (tag limits); texts known, not re-verified.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from poolwright.arm.errors import INVALID_CONTENT, LOCATION_REQUIRED, KnownError
from poolwright.arm.region import is_region, normal_region
from poolwright.model import catalog
from poolwright.model.errors import InvalidRequest

TAGS_MAX = 50
TAG_NAME_LENGTH_MAX = 512
TAG_VALUE_LENGTH_MAX = 256
_TAG_NAME_FORBIDDEN = frozenset("<>%&\\?/")

_TOO_MANY_TAGS = KnownError(
    "TooManyTags",
    InvalidRequest,
    "Too many tags on the resource/resource group. Requested tag count - '{count}'. Supported "
    "number of tags - '{limit}'.",
    "tags",
)
_TAG_NAME_LENGTH = KnownError(
    "InvalidTagNameLength",
    InvalidRequest,
    "Tag name must have between 1 and {limit} characters: '{name}'.",
    "tags",
)
_TAG_NAME_CHARACTERS = KnownError(
    "InvalidTagNameCharacters",
    InvalidRequest,
    "The tag names '{name}' have reserved characters '<,>,%,&,\\,?,/' or control characters.",
    "tags",
)
_TAG_VALUE_LENGTH = KnownError(
    "InvalidTagValueLength",
    InvalidRequest,
    "Tag value too large. Following tag value '{value}' exceeded the maximum length. Maximum "
    "allowed length for tag value - '{limit}' characters.",
    "tags",
)
_LOCATION_NOT_AVAILABLE = KnownError(
    "LocationNotAvailableForResourceType",
    InvalidRequest,
    "The provided location '{location}' is not available for resource type '{type}'. List of "
    "available regions for the resource type is '{regions}'.",
    "location",
)


def read_location(body: Mapping[str, Any], resource_type: str) -> str:
    """``location`` of a request, normalised.

    Raises:
        InvalidRequest: missing (``LocationRequired``), no string, or no region's name.
    """
    sent = body.get("location")
    if sent is None or sent == "":
        raise LOCATION_REQUIRED()
    if not isinstance(sent, str):
        raise INVALID_CONTENT(detail="location: expected a string")
    region = normal_region(sent)
    if not is_region(region):
        raise _LOCATION_NOT_AVAILABLE(
            location=sent, type=resource_type, regions=",".join(catalog.regions())
        )
    return region


def read_tags(body: Mapping[str, Any]) -> dict[str, str]:
    """``tags`` of a request; empty if absent or null.

    Raises:
        InvalidRequest: not a map of strings, or beyond ARM's limits.
    """
    sent: Any = body.get("tags")
    if sent is None:
        return {}
    if not isinstance(sent, dict):
        raise INVALID_CONTENT(detail="tags: expected an object of strings")
    tags = cast("dict[str, Any]", sent)
    if len(tags) > TAGS_MAX:
        raise _TOO_MANY_TAGS(count=len(tags), limit=TAGS_MAX)
    for name, value in tags.items():
        if not isinstance(value, str):
            raise INVALID_CONTENT(detail=f"tags.{name}: expected a string")
        if not 1 <= len(name) <= TAG_NAME_LENGTH_MAX:
            raise _TAG_NAME_LENGTH(name=name, limit=TAG_NAME_LENGTH_MAX)
        if any(c in _TAG_NAME_FORBIDDEN or not c.isprintable() for c in name):
            raise _TAG_NAME_CHARACTERS(name=name)
        if len(value) > TAG_VALUE_LENGTH_MAX:
            raise _TAG_VALUE_LENGTH(value=value, limit=TAG_VALUE_LENGTH_MAX)
    return tags
