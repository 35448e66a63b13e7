"""Api-versions: which exist, their order, and what a request with another one is told.

Microsoft.ContainerService has a list, none of it retired; ARM's own types accept any well-formed
date. Sources: facts aks-api §1; the models of azure-mgmt-containerservice 30.0.0 (all versions
until 2024-02) and the releases after it.
"""

from __future__ import annotations

import re

from poolwright.arm.errors import (
    INVALID_API_VERSION,
    MISSING_API_VERSION,
    NO_REGISTERED_PROVIDER,
)
from poolwright.arm.request import ArmRequest
from poolwright.model import catalog
from poolwright.model.errors import Refused

_WELL_FORMED = re.compile(r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])(?:-[a-z0-9]+)?")

_RELEASED = {
    # year: months of the GA version (-01)
    2019: (2, 4, 6, 8, 10, 11),
    2020: (1, 2, 3, 4, 6, 7, 9, 11, 12),
    2021: (2, 3, 5, 7, 8, 9, 10),
    2022: (1, 2, 3, 4, 6, 7, 9, 11),
    2023: (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11),
    2024: (1, 2, 5, 6, 7, 8, 9, 10),
    2025: (1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
    2026: (1, 2, 3, 4, 5, 6, 7, 8),
}
_PREVIEWED = {
    # year: months of the preview version (-02-preview)
    2022: (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11),
    2023: (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11),
    2024: (1, 2, 3, 4, 5, 6, 7, 9, 10),
    2025: (1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
    2026: (1, 2, 3, 4, 5, 6, 7, 8),
}

CONTAINER_SERVICE: tuple[str, ...] = tuple(
    sorted(
        {f"{year}-{month:02}-01" for year, months in _RELEASED.items() for month in months}
        | {
            f"{year}-{month:02}-02-preview"
            for year, months in _PREVIEWED.items()
            for month in months
        }
        | {"2019-10-27-preview", "2021-11-01-preview", "2022-08-03-preview"}
    )
)
"""Every version of managedClusters and what is below it, oldest first (text order is time)."""


def is_preview(version: str) -> bool:
    """Whether a version is a preview."""
    return version.endswith("-preview")


def since(first_preview: str, first_released: str | None = None) -> tuple[str, ...]:
    """Versions with something that came with ``first_preview`` and ``first_released`` (None:
    never): previews from the one on, released ones from the other on.
    """
    return tuple(
        version
        for version in CONTAINER_SERVICE
        if (is_preview(version) and version >= first_preview)
        or (not is_preview(version) and first_released is not None and version >= first_released)
    )


def check_api_version(
    request_version: str | None,
    supported: tuple[str, ...] | None,
    *,
    resource_type: str,
    location: str = "",
) -> str:
    """The api-version of a request, if the route has it (``supported`` None: any date).

    Raises:
        InvalidRequest: missing, malformed or not served.
    """
    if not request_version:
        raise MISSING_API_VERSION()
    version = request_version.lower()
    if supported is None:
        if _WELL_FORMED.fullmatch(version) is None:
            raise INVALID_API_VERSION(version=request_version, supported=", ".join(ARM_VERSIONS))
        return version
    if version not in supported:
        raise unsupported_version(
            request_version, supported, resource_type=resource_type, location=location
        )
    return version


def unsupported_version(
    version: str, supported: tuple[str, ...], *, resource_type: str, location: str = ""
) -> Refused:
    """400 ``NoRegisteredProviderFound`` with our versions and regions."""
    return NO_REGISTERED_PROVIDER(
        location=location or next(iter(catalog.regions())),
        version=version,
        type=resource_type,
        supported=", ".join(supported),
        locations=", ".join(catalog.regions()),
    )


ARM_VERSIONS: tuple[str, ...] = (
    "2016-02-01",
    "2018-05-01",
    "2019-04-01",
    "2019-05-01",
    "2020-10-01",
    "2021-04-01",
    "2021-07-01",
    "2022-09-01",
    "2022-12-01",
    "2023-07-01",
    "2024-11-01",
    "2025-04-01",
)
"""What a malformed version is answered with for ARM's own types, and what provider lists show."""


def has_version(request: ArmRequest, first_preview: str, first_released: str | None) -> bool:
    """Whether the request's version has something (as `since`)."""
    version = request.api_version
    first = first_preview if is_preview(version) else first_released
    return first is not None and version >= first
