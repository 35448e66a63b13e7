"""Tenants, subscriptions and their locations: what clients look up right after logging in.

Source: real-clients §3.3; facts aks-api §5.7.
"""

from __future__ import annotations

from typing import Any

from poolwright.arm.context import ArmContext
from poolwright.arm.region import display_name, regions
from poolwright.arm.request import ArmRequest
from poolwright.arm.response import ArmResponse, listing
from poolwright.arm.routing import Route
from poolwright.arm.settings import Subscription


def find_subscription(context: ArmContext, subscription: str) -> Subscription:
    """A subscription that is known to exist, by GUID in any casing."""
    lower = subscription.lower()
    return next(own for own in context.settings.subscriptions if own.id.lower() == lower)


def wire_subscription(context: ArmContext, subscription: Subscription) -> dict[str, Any]:
    """A subscription's document."""
    return {
        "id": f"/subscriptions/{subscription.id}",
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "subscriptionId": subscription.id,
        "tenantId": context.settings.tenant,
        "displayName": subscription.display_name,
        "state": "Enabled",
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01",
            "quotaId": "PayAsYouGo_2014-09-01",
            "spendingLimit": "Off",
        },
    }


async def list_tenants(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET ``/tenants``."""
    tenant = context.settings.tenant
    return listing(
        [
            {
                "id": f"/tenants/{tenant}",
                "tenantId": tenant,
                "displayName": context.settings.cloud_name,
                "defaultDomain": "localhost",
                "countryCode": "US",
                "domains": ["localhost"],
                "tenantCategory": "Home",
                "tenantType": "AAD",
            }
        ]
    )


async def list_subscriptions(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET ``/subscriptions``."""
    own = [wire_subscription(context, each) for each in context.settings.subscriptions]
    return listing(own, count={"type": "Total", "value": len(own)})


async def get_subscription(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET ``/subscriptions/{subscription}``."""
    own = find_subscription(context, request.subscription)
    return ArmResponse(200, wire_subscription(context, own))


async def list_locations(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET ``/subscriptions/{subscription}/locations``."""
    return listing(
        [
            {
                "id": f"/subscriptions/{request.subscription}/locations/{region}",
                "name": region,
                "type": "Region",
                "displayName": display_name(region),
                "regionalDisplayName": display_name(region),
                "metadata": {
                    "regionType": "Physical",
                    "regionCategory": "Recommended",
                    "geographyGroup": "",
                },
                "availabilityZoneMappings": [
                    {"logicalZone": zone, "physicalZone": f"{region}-az{zone}"}
                    for zone in ("1", "2", "3")
                ],
            }
            for region in regions(context)
        ]
    )


ROUTES: tuple[Route, ...] = (
    Route("GET", "/tenants", list_tenants),
    Route("GET", "/subscriptions", list_subscriptions),
    Route("GET", "/subscriptions/{subscription}", get_subscription),
    Route("GET", "/subscriptions/{subscription}/locations", list_locations),
)
