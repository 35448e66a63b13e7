"""Options that many commands share, in az's spelling, and what they become in a body."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, cast

import typer

from poolwright.app.cli.arm_client import ArmClient, CliError
from poolwright.app.cli.output import flatten, show


class Output(StrEnum):
    """``-o``."""

    JSON = "json"
    JSONC = "jsonc"
    TABLE = "table"
    TSV = "tsv"
    YAML = "yaml"
    YAMLC = "yamlc"
    NONE = "none"


OutputOption = Annotated[
    Output, typer.Option("--output", "-o", case_sensitive=False, help="Output format.")
]
QueryOption = Annotated[str, typer.Option("--query", help="JMESPath query string.")]
GroupOption = Annotated[str, typer.Option("--resource-group", "-g", help="Resource group.")]
ClusterOption = Annotated[str, typer.Option("--cluster-name", help="Managed cluster.")]
NameOption = Annotated[str, typer.Option("--name", "-n", help="Name.")]
PoolOption = Annotated[str, typer.Option("--name", "-n", "--nodepool-name", help="Node pool.")]
IfMatchOption = Annotated[str, typer.Option("--if-match", help="Only if the eTag is this one.")]
NoWaitOption = Annotated[bool, typer.Option("--no-wait", help="Do not wait for the end.")]
LabelsOption = Annotated[
    list[str] | None, typer.Option("--labels", help="Node labels, key=value …; '' clears.")
]
TagsOption = Annotated[list[str] | None, typer.Option("--tags", help="Tags, key=value …")]
TaintsOption = Annotated[
    str | None, typer.Option("--node-taints", help="Comma-separated key=value:Effect; '' clears.")
]
HeadersOption = Annotated[
    str, typer.Option("--aks-custom-headers", help="Comma-separated key=value HTTP headers.")
]


@dataclass(frozen=True, slots=True)
class Printer:
    """How this command prints: format, query and the columns of its table."""

    output: str
    query: str
    table: str = ""

    def __call__(self, result: Any, *, lift: bool = True) -> None:
        """Print a result, with ``properties`` lifted as az does unless told otherwise."""
        show(
            flatten(result) if lift else result,
            output=self.output,
            query=self.query,
            table=self.table,
        )


def pairs(texts: list[str] | None, flag: str) -> dict[str, str] | None:
    """``["a=b", "c=d e=f"]`` as a map; None stays None, an empty text clears.

    Raises:
        CliError: an entry has no ``=``.
    """
    if texts is None:
        return None
    result: dict[str, str] = {}
    for entry in " ".join(texts).split():
        key, separator, value = entry.partition("=")
        if not separator:
            raise CliError(f"argument {flag}: {entry!r} is not key=value", exit_code=2)
        result[key] = value
    return result


def taints(text: str | None) -> list[str] | None:
    """``a=b:NoSchedule,c=d:NoExecute`` as a list; None stays None, an empty text clears."""
    return None if text is None else [t.strip() for t in text.split(",") if t.strip()]


def custom_headers(text: str, if_match: str = "") -> dict[str, str]:
    """``--aks-custom-headers`` and ``--if-match`` as HTTP headers."""
    headers = dict(entry.split("=", 1) for entry in text.split(",") if "=" in entry)
    return {**headers, "If-Match": f'"{if_match}"'} if if_match else headers


def group_path(client: ArmClient, group: str) -> str:
    """The ARM path of a resource group."""
    return f"/subscriptions/{client.subscription}/resourceGroups/{group}"


def cluster_path(client: ArmClient, group: str, cluster: str) -> str:
    """The ARM path of a managed cluster."""
    provider = f"{group_path(client, group)}/providers/Microsoft.ContainerService"
    return f"{provider}/managedClusters/{cluster}"


def pool_path(client: ArmClient, group: str, cluster: str, pool: str) -> str:
    """The ARM path of an agent pool."""
    return f"{cluster_path(client, group, cluster)}/agentPools/{pool}"


def prune(value: Any) -> Any:
    """Without members that are None, at any depth; empty lists and maps stay."""
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        return {k: prune(v) for k, v in members.items() if v is not None}
    return value


_WIDE_HYPHEN = re.compile("[\u2010-\u2015\u2212]")


def refuse_wide_hyphens(arguments: list[str]) -> None:
    """Say so when an option was pasted with a typographic hyphen, as documents have them.

    Raises:
        CliError: an argument that looks like an option has one.
    """
    for argument in arguments:
        if argument.startswith(("-", "\u2010", "\u2011", "\u2012", "\u2013", "\u2014", "\u2212")):
            found = _WIDE_HYPHEN.search(argument.split("=")[0])
            if found:
                right = _WIDE_HYPHEN.sub("-", argument)
                raise CliError(
                    f"{argument!r}: that is a typographic hyphen (U+{ord(found[0]):04X}), as "
                    f"copied from a document. Write {right!r}.",
                    exit_code=2,
                )
