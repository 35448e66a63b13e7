"""The cloud's metadata document, in the two shapes that clients ask for.

``az cloud register`` and azurerm ask with 2022-09-01 and want one object; api-versions up to
2019-05-01 (``ARM_CLOUD_METADATA_URL``) want a list of clouds. Source: real-clients §3.3.
"""

from __future__ import annotations

from typing import Any

from poolwright.arm.context import ArmContext
from poolwright.arm.request import ArmRequest
from poolwright.arm.response import ArmResponse
from poolwright.arm.routing import Access, Route

_FIRST_OBJECT_VERSION = "2020-06-01"


def _cloud(context: ArmContext, base_url: str) -> dict[str, Any]:
    host = base_url.partition("://")[2].partition(":")[0]
    return {
        "portal": base_url,
        "authentication": {
            # An ADFS-style authority spares every client the instance discovery at
            # login.microsoftonline.com (real-clients §0).
            "loginEndpoint": f"{base_url}/adfs",
            "audiences": [f"{base_url}/", base_url],
            "tenant": "adfs",
            "identityProvider": "ADFS",
        },
        "media": base_url,
        "graphAudience": f"{base_url}/graph/",
        "graph": f"{base_url}/graph/",
        "name": context.settings.cloud_name,
        "suffixes": {
            "storage": f"storage.{host}",
            "acrLoginServer": f"azurecr.{host}",
            "keyVaultDns": f"vault.{host}",
            "sqlServerHostname": f"sql.{host}",
            "mysqlServerEndpoint": f"mysql.{host}",
            "postgresqlServerEndpoint": f"postgres.{host}",
        },
        "batch": base_url,
        "resourceManager": f"{base_url}/",
        "vmImageAliasDoc": f"{base_url}/vm.json",
        "sqlManagement": base_url,
        "microsoftGraphResourceId": f"{base_url}/graph/",
        "appInsightsResourceId": base_url,
        "logAnalyticsResourceId": base_url,
        "gallery": base_url,
        "activeDirectoryDataLake": base_url,
    }


async def get_metadata(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET ``/metadata/endpoints``."""
    cloud = _cloud(context, request.base_url)
    version = request.query.get("api-version", _FIRST_OBJECT_VERSION)
    return ArmResponse(200, cloud if version >= _FIRST_OBJECT_VERSION else [cloud])


async def get_image_aliases(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET ``/vm.json``: the document of image aliases, which is empty here."""
    return ArmResponse(200, {"outputs": {"aliases": {"value": {}}}})


ROUTES: tuple[Route, ...] = (
    Route("GET", "/metadata/endpoints", get_metadata, access=Access.PUBLIC),
    Route("GET", "/vm.json", get_image_aliases, access=Access.PUBLIC),
)
