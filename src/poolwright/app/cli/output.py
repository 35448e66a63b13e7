"""Printing results as az does: ``-o json|table|tsv|yaml|none`` and ``--query`` in JMESPath."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, cast

import jmespath
import jmespath.exceptions
import yaml

from poolwright.app.cli.arm_client import CliError

TABLES: Mapping[str, str] = {
    # Column names and paths as az's own table transformers.
    # Source: azure-cli 2.91, acs/_format.py.
    "nodepool": "{Name: name, OsType: osType, KubernetesVersion: orchestratorVersion, "
    "VmSize: vmSize, OsDiskSizeGB: osDiskSizeGB, Count: count, MaxPods: maxPods, "
    "ProvisioningState: provisioningState, Mode: mode}",
    "cluster": "{Name: name, Location: location, ResourceGroup: resourceGroup, "
    "KubernetesVersion: kubernetesVersion, CurrentKubernetesVersion: currentKubernetesVersion, "
    "ProvisioningState: provisioningState, Fqdn: fqdn}",
    "machine": "{Name: name, Ip: network.ipAddresses[0].ip, Family: network.ipAddresses[0].family}",
    "account": "{Name: name, SubscriptionId: id, TenantId: tenantId, State: state, "
    "IsDefault: isDefault}",
    "location": "{DisplayName: displayName, Name: name, RegionalDisplayName: regionalDisplayName}",
    "provider": "{Namespace: namespace, RegistrationPolicy: registrationPolicy, "
    "RegistrationState: registrationState}",
    "version": "{KubernetesVersion: version, Upgrades: upgrades, SupportPlan: supportPlan}",
    "group": "{Name: name, Location: location, Status: properties.provisioningState}",
    "feature": "{Name: name, RegistrationState: properties.state}",
    "usage": "{Name: name.localizedValue, CurrentValue: currentValue, Limit: limit}",
    "sku": "{ResourceType: resourceType, Locations: locations[0], Name: name, "
    "Restrictions: restrictions[0].reasonCode}",
    "upgrades": "{Name: name, ResourceGroup: resourceGroup, "
    "MasterVersion: controlPlaneProfile.kubernetesVersion, "
    "Upgrades: controlPlaneProfile.upgrades[].kubernetesVersion | join(', ', @ || `[]`)}",
    "deployment": "{Name: name, State: properties.provisioningState, "
    "Timestamp: properties.timestamp, Mode: properties.mode}",
}


def flatten(resource: Any) -> Any:
    """A resource as az shows it: ``properties`` lifted, and ``resourceGroup`` from the id."""
    if isinstance(resource, list):
        return [flatten(item) for item in cast("list[Any]", resource)]
    if not isinstance(resource, dict):
        return resource
    body = cast("dict[str, Any]", resource)
    lifted = {k: v for k, v in body.items() if k != "properties"}
    lifted.update(body.get("properties") or {})
    parts = str(body.get("id", "")).split("/")
    if len(parts) > 4 and parts[3].lower() == "resourcegroups":
        lifted["resourceGroup"] = parts[4]
    return dict(sorted(lifted.items()))


def _scalars(row: Any) -> dict[str, Any]:
    if not isinstance(row, Mapping):
        return {"Result": row}
    items = cast("Mapping[str, Any]", row).items()
    return {
        key[:1].upper() + key[1:]: value
        for key, value in items
        if not isinstance(value, dict | list) and value is not None and key not in {"id", "type"}
    }


def _cell(value: object) -> str:
    return "" if value is None else str(value)


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    columns: list[str] = []
    for row in rows:
        columns += [c for c in row if c not in columns]
    # az leaves out columns that are empty in every row
    columns = [c for c in columns if any(row.get(c) is not None for row in rows)]
    # and pads each header by two
    widths = {c: max([len(c) + 2, *(len(_cell(r.get(c))) for r in rows)]) for c in columns}
    lines = [
        "  ".join(c.ljust(widths[c]) for c in columns).rstrip(),
        "  ".join("-" * widths[c] for c in columns),
    ]
    lines += ["  ".join(_cell(r.get(c)).ljust(widths[c]) for c in columns).rstrip() for r in rows]
    return "\n".join(lines)


def _tsv(value: Any) -> str:
    def line(row: Any) -> str:
        if isinstance(row, Mapping):
            row = list(cast("Mapping[str, Any]", row).values())
        if isinstance(row, list):
            return "\t".join(_plain(item) for item in cast("list[Any]", row))
        return _plain(row)

    rows = cast("list[Any]", value) if isinstance(value, list) else [value]
    return "\n".join(line(row) for row in rows)


def _plain(value: Any) -> str:
    if value is None:
        return "None"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if not isinstance(value, dict | list) else ""


def show(result: Any, *, output: str, query: str, table: str = "") -> None:
    """Print a result. ``table`` names the columns of `TABLES` that hold without ``--query``.

    Raises:
        CliError: the query is no JMESPath.
    """
    if result is None or output == "none":
        return
    if query:
        try:
            result = jmespath.search(query, result)
        except jmespath.exceptions.JMESPathError as error:
            raise CliError(f"argument --query: {error}", exit_code=2) from error
    if output in {"json", "jsonc"}:
        text = json.dumps(result, indent=2)
    elif output in {"yaml", "yamlc"}:
        text = yaml.safe_dump(result, default_flow_style=False).removesuffix("\n")
    elif output == "tsv":
        text = _tsv(result)
    else:
        rows = cast("list[Any]", result) if isinstance(result, list) else [result]
        if table and not query:
            rows = [jmespath.search(TABLES[table], row) for row in rows]
        else:
            rows = [_scalars(row) for row in rows]
        text = _table(rows) if rows else ""
    if text:
        sys.stdout.write(text + "\n")
