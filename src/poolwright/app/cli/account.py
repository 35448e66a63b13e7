"""``poolwright account …``: the subscription that commands go to."""

from __future__ import annotations

from typing import Any

import typer

from poolwright.app.cli.arm_client import ArmClient
from poolwright.app.cli.options import Output, OutputOption, Printer, QueryOption

account = typer.Typer(help="Look at the subscription.", no_args_is_help=True)

_API_VERSION = "2022-12-01"


def _account(client: ArmClient, wire: dict[str, Any]) -> dict[str, Any]:
    """A subscription in the shape of ``az account show``."""
    return {
        "id": wire["subscriptionId"],
        "isDefault": wire["subscriptionId"] == client.subscription,
        "name": wire["displayName"],
        "state": wire["state"],
        "tenantId": wire["tenantId"],
    }


@account.command("show")
def show_account(output: OutputOption = Output.JSON, query: QueryOption = "") -> None:
    """Show the subscription that commands go to."""
    client = ArmClient()
    wire = client.get(f"/subscriptions/{client.subscription}", api_version=_API_VERSION)
    Printer(output, query, "account")(_account(client, wire), lift=False)


@account.command("list")
def list_accounts(output: OutputOption = Output.JSON, query: QueryOption = "") -> None:
    """List the subscriptions of the server."""
    client = ArmClient()
    rows = client.pages("/subscriptions", api_version=_API_VERSION)
    Printer(output, query, "account")([_account(client, row) for row in rows], lift=False)


@account.command("list-locations")
def list_locations(output: OutputOption = Output.JSON, query: QueryOption = "") -> None:
    """List the regions."""
    client = ArmClient()
    path = f"/subscriptions/{client.subscription}/locations"
    rows = client.pages(path, api_version=_API_VERSION)
    Printer(output, query, "location")(rows, lift=False)
