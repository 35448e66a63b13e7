"""What every tracked resource has: a location and tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from poolwright.arm.context import ArmContext
from poolwright.arm.errors import INVALID_CONTENT, LOCATION_REQUIRED, KnownError
from poolwright.arm.region import normal_region, regions
from poolwright.model.errors import InvalidRequest
from poolwright.plan.admission_tag import check_tag_limits

_LOCATION_NOT_AVAILABLE = KnownError(
    "LocationNotAvailableForResourceType",
    InvalidRequest,
    "The provided location '{location}' is not available for resource type '{type}'. List of "
    "available regions for the resource type is '{regions}'.",
    "location",
)


_GROUP_LOCATION_NOT_AVAILABLE = KnownError(
    "LocationNotAvailableForResourceGroup",
    InvalidRequest,
    "The provided location '{location}' is not available for resource group. List of available "
    "regions is '{regions}'.",
)


def check_region(context: ArmContext, sent: str, resource_type: str = "") -> str:
    """A region's name, normalised; without a type it is that of a resource group.

    Raises:
        InvalidRequest: there is no such region.
    """
    region, known = normal_region(sent), regions(context)
    if region in known:
        return region
    if not resource_type:
        raise _GROUP_LOCATION_NOT_AVAILABLE(location=sent, regions=",".join(known))
    raise _LOCATION_NOT_AVAILABLE(location=sent, type=resource_type, regions=",".join(known))


def read_location(context: ArmContext, body: Mapping[str, Any], resource_type: str = "") -> str:
    """``location`` of a request, normalised; without a type it is that of a resource group.

    Raises:
        InvalidRequest: missing (``LocationRequired``), no string, or no region's name.
    """
    sent = body.get("location")
    if sent is None or sent == "":
        raise LOCATION_REQUIRED()
    if not isinstance(sent, str):
        raise INVALID_CONTENT(detail="location: expected a string")
    return check_region(context, sent, resource_type)


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
