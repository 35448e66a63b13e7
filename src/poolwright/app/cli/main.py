"""The command tree and its entry point."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from poolwright.app.cli.account import account
from poolwright.app.cli.arm_client import CliError
from poolwright.app.cli.cluster import aks
from poolwright.app.cli.options import refuse_wide_hyphens
from poolwright.app.cli.resource import deployment, feature, group, provider, scarcity, vm
from poolwright.app.cli.store import store

app = typer.Typer(
    name="poolwright",
    help="A control plane for Kubernetes node pools with a fully managed GPU experience.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
AZ_GROUPS = {
    # of the name, the commands and the global options that az has
    "account": account,
    "aks": aks,
    "group": group,
    "feature": feature,
    "provider": provider,
    "vm": vm,
    "deployment": deployment,
}
for _name, _commands in {**AZ_GROUPS, "scarcity": scarcity, "store": store}.items():
    app.add_typer(_commands, name=_name)


@app.command("up")
def up(
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="Where state is kept.")
    ] = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port; 0 picks a free one.")] = None,
    speed: Annotated[
        float | None, typer.Option("--speed", help="World seconds per second, 1 to 100000.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="A TOML file of settings.")
    ] = None,
    kubeconfig: Annotated[
        Path | None,
        typer.Option("--kubeconfig", help="Manage this Kubernetes, and make no clusters."),
    ] = None,
    context: Annotated[
        str | None, typer.Option("--context", help="A context of it, not its current one.")
    ] = None,
    cluster_name: Annotated[
        str | None, typer.Option("--cluster-name", help="Its name as a managed cluster.")
    ] = None,
    resource_group: Annotated[
        str | None, typer.Option("--resource-group", help="Its resource group.")
    ] = None,
    location: Annotated[str | None, typer.Option("--location", help="Its location.")] = None,
) -> None:
    """Serve the ARM API and the clusters it makes, or ones that are given, until Ctrl-C."""
    from poolwright.app.server import serve  # noqa: PLC0415 - the server's imports cost a second

    serve(
        config,
        {
            "server.data_dir": str(data_dir) if data_dir else None,
            "server.host": host,
            "server.port": port,
            "world.speed": speed,
            "adopt.kubeconfig": str(kubeconfig) if kubeconfig else None,
            "adopt.context": context,
            "adopt.cluster_name": cluster_name,
            "adopt.resource_group": resource_group,
            "adopt.location": location,
        },
    )


@app.command("demo")
def demo() -> None:
    """Show the main job on a server of its own: GPU pool, job, scale, upgrade, delete."""
    from poolwright.app.cli.demo import run_demo  # noqa: PLC0415 - as above

    run_demo()


@app.command("version")
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as installed  # noqa: PLC0415 - as above

    typer.echo(installed("poolwright"))


# Flags that take several words in az (nargs); click takes one, so the words are joined.
_MANY = {"--labels", "--tags", "--zones", "-z", "--machine-names", "--nodepool-labels",
         "--nodepool-tags", "--cluster-autoscaler-profile", "--ca-profile"}  # fmt: skip
# Flags that az reads as three-state: --flag, --flag true, --flag=false.
_SWITCHES = {
    "--enable-managed-gpu": "--disable-managed-gpu",
    "--enable-managed-gpu-experience": "--disable-managed-gpu-experience",
    "--managed-gpu": "--no-managed-gpu",
}
# az's global flags that say nothing to us.
_IGNORED = {"--only-show-errors", "--verbose", "--debug"}
_REPEATED = {"--parameters", "-p"}


def take_subscription(arguments: list[str]) -> tuple[str, list[str]]:
    """az's global ``--subscription ID`` in a command that az has, and the words without it.

    Raises:
        CliError: it is the last word.
    """
    given, rest = "", list[str]()
    words = iter(arguments)
    for word in words:
        flag, separator, value = word.partition("=")
        if flag != "--subscription" or arguments[0] not in AZ_GROUPS:
            rest.append(word)
            continue
        given = value if separator else next(words, "")
        if not given:
            raise CliError("argument --subscription: expected one argument", exit_code=2)
    return given, rest


def az_words(arguments: list[str]) -> list[str]:
    """az's argument forms in click's: several words after a flag, and three-state switches."""
    result: list[str] = []
    index = 0
    while index < len(arguments):
        word = arguments[index]
        index += 1
        flag, _, value = word.partition("=")
        if word in _IGNORED:
            continue
        if flag in _SWITCHES:
            if (
                not value
                and index < len(arguments)
                and arguments[index].lower() in {"true", "false"}
            ):
                value = arguments[index]
                index += 1
            result.append(_SWITCHES[flag] if value.lower() == "false" else flag)
            continue
        if word in _MANY | _REPEATED:
            words: list[str] = []
            while index < len(arguments) and not arguments[index].startswith("-"):
                words.append(arguments[index])
                index += 1
            if word in _MANY:
                result += [word, " ".join(words)]
            else:
                result += [part for each in words for part in (word, each)]
            continue
        result.append(word)
    return result


def main() -> None:
    """Run the command line; errors are one line on stderr, exit codes are az's."""
    try:
        arguments = sys.argv[1:]
        refuse_wide_hyphens(arguments)
        subscription, arguments = take_subscription(arguments)
        if subscription:
            os.environ["AZURE_SUBSCRIPTION_ID"] = subscription  # where every client looks
        app(az_words(arguments))  # usage errors are typer's to tell, with exit code 2
    except CliError as error:
        sys.stderr.write(f"ERROR: {error}\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
