"""What every tracked resource has: a location and tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from poolwright.arm.errors import INVALID_CONTENT, LOCATION_REQUIRED, KnownError
from poolwright.arm.region import is_region, normal_region
from poolwright.model import catalog
from poolwright.model.errors import InvalidRequest
from poolwright.plan.admission_tag import check_tag_limits

_LOCATION_NOT_AVAILABLE = KnownError(
    "LocationNotAvailableForResourceType",
    InvalidRequest,
    "The provided location '{location}' is not available for resource type '{type}'. List of "
    "available regions for the resource type is '{regions}'.",
    "location",
)


def check_region(sent: str, resource_type: str) -> str:
    """A region's name, normalised.

    Raises:
        InvalidRequest: it cannot be one.
    """
    region = normal_region(sent)
    if not is_region(region):
        raise _LOCATION_NOT_AVAILABLE(
            location=sent, type=resource_type, regions=",".join(catalog.regions())
        )
    return region


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
    return check_region(sent, resource_type)


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
    for name, value in tags.items():
        if not isinstance(value, str):
            raise INVALID_CONTENT(detail=f"tags.{name}: expected a string")
    check_tag_limits(tags)
    return tags
