"""``poolwright group|feature|provider|vm|deployment|scarcity …``: what AKS needs around it."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from poolwright.app.cli.arm_client import (
    COMPUTE_API_VERSION,
    FEATURES_API_VERSION,
    RESOURCES_API_VERSION,
    ArmClient,
    CliError,
)
from poolwright.app.cli.options import (
    GroupOption,
    NameOption,
    NoWaitOption,
    Output,
    OutputOption,
    Printer,
    QueryOption,
    TagsOption,
    group_path,
    pairs,
    prune,
)
from poolwright.app.cli.wait import (
    CreatedOption,
    CustomOption,
    DeletedOption,
    ExistsOption,
    IntervalOption,
    TimeoutOption,
    UpdatedOption,
    Wanted,
    wait_for,
)
from poolwright.arm.template.text import TextError, read_text

group = typer.Typer(help="Manage resource groups.", no_args_is_help=True)
feature = typer.Typer(help="Manage preview features.", no_args_is_help=True)
provider = typer.Typer(help="Manage resource providers.", no_args_is_help=True)
vm = typer.Typer(help="VM sizes and quota.", no_args_is_help=True)
deployment = typer.Typer(help="Manage template deployments.", no_args_is_help=True)
deployment_group = typer.Typer(help="Deployments at a resource group.", no_args_is_help=True)
deployment.add_typer(deployment_group, name="group")
scarcity = typer.Typer(help="What the cloud refuses: quota, sizes, failures.", no_args_is_help=True)

LocationOption = Annotated[str, typer.Option("--location", "-l")]
GroupNameOption = Annotated[str, typer.Option("--name", "-n", "--resource-group", "-g")]


@group.command("create")
def create_group(
    name: GroupNameOption,
    location: LocationOption,
    tags: TagsOption = None,
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """Create a resource group."""
    client = ArmClient()
    body = prune({"location": location, "tags": pairs(tags, "--tags")})
    answer = client.send(
        "PUT", group_path(client, name), api_version=RESOURCES_API_VERSION, body=body
    )
    Printer(output, query, "group")(answer.json(), lift=False)


@group.command("show")
def show_group(
    name: GroupNameOption,
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """Show a resource group."""
    client = ArmClient()
    body = client.get(group_path(client, name), api_version=RESOURCES_API_VERSION)
    Printer(output, query, "group")(body, lift=False)


@group.command("list")
def list_groups(output: OutputOption = Output.JSON, query: QueryOption = "") -> None:
    """List resource groups."""
    client = ArmClient()
    path = f"/subscriptions/{client.subscription}/resourcegroups"
    Printer(output, query, "group")(
        client.pages(path, api_version=RESOURCES_API_VERSION), lift=False
    )


@group.command("delete")
def delete_group(
    name: GroupNameOption,
    yes: Annotated[bool, typer.Option("--yes", "-y")] = False,
    no_wait: NoWaitOption = False,
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """Delete a resource group with everything in it."""
    del output, query  # nothing is printed
    if not yes:
        typer.confirm("Are you sure you want to perform this operation?", abort=True, err=True)
    client = ArmClient()
    client.operate(
        "DELETE", group_path(client, name), api_version=RESOURCES_API_VERSION, wait=not no_wait
    )


@group.command("exists")
def group_exists(
    name: GroupNameOption, output: OutputOption = Output.JSON, query: QueryOption = ""
) -> None:
    """Print whether a resource group exists."""
    client = ArmClient()
    try:
        client.get(group_path(client, name), api_version=RESOURCES_API_VERSION)
    except CliError as error:
        if error.exit_code != 3:
            raise
        exists = False
    else:
        exists = True
    Printer(output, query)(exists, lift=False)


@group.command("update")
def update_group(
    name: GroupNameOption,
    tags: TagsOption = None,
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """Change the tags of a resource group."""
    client = ArmClient()
    body = prune({"tags": pairs(tags, "--tags")})
    answer = client.send(
        "PATCH", group_path(client, name), api_version=RESOURCES_API_VERSION, body=body
    )
    Printer(output, query, "group")(answer.json(), lift=False)


@group.command("wait")
def wait_group(
    name: GroupNameOption,
    created: CreatedOption = False,
    updated: UpdatedOption = False,
    deleted: DeletedOption = False,
    exists: ExistsOption = False,
    custom: CustomOption = "",
    interval: IntervalOption = 1,
    timeout: TimeoutOption = 3600,
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """Wait until a resource group is as wanted."""
    del output, query  # nothing is printed
    client = ArmClient()
    wanted = Wanted(created, updated, deleted, exists, custom, interval, timeout)
    wait_for(client, group_path(client, name), wanted, api_version=RESOURCES_API_VERSION)


def _feature_path(client: ArmClient, namespace: str) -> str:
    root = f"/subscriptions/{client.subscription}/providers/Microsoft.Features"
    return f"{root}/providers/{namespace}/features" if namespace else f"{root}/features"


def _add_feature_command(verb: str, method: str, action: str, description: str) -> None:
    """A verb on one preview feature, which shows the feature afterwards."""

    def command(
        namespace: Annotated[str, typer.Option("--namespace")],
        name: NameOption,
        output: OutputOption = Output.JSON,
        query: QueryOption = "",
    ) -> None:
        client = ArmClient()
        path = f"{_feature_path(client, namespace)}/{name}{action}"
        answer = client.send(method, path, api_version=FEATURES_API_VERSION)
        if verb == "register":
            typer.echo(_PROPAGATE.format(name=name, namespace=namespace), err=True)
        Printer(output, query, "feature")(answer.json(), lift=False)

    feature.command(verb, help=description)(command)


_PROPAGATE = (
    "Once the feature '{name}' is registered, invoking 'poolwright provider register -n "
    "{namespace}' is required to get the change propagated"
)

for _row in (
    # (verb, method, action, what it is for)
    ("register", "POST", "/register", "Register a preview feature."),
    ("unregister", "POST", "/unregister", "Give a preview feature back."),
    ("show", "GET", "", "Show a preview feature."),
):
    _add_feature_command(*_row)


@feature.command("list")
def list_features(
    namespace: Annotated[str, typer.Option("--namespace")] = "",
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """List preview features."""
    client = ArmClient()
    items = client.pages(_feature_path(client, namespace), api_version=FEATURES_API_VERSION)
    Printer(output, query, "feature")(items, lift=False)


@provider.command("register")
def register_provider(
    namespace: Annotated[str, typer.Option("--namespace", "-n")],
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """Register a resource provider."""
    del output, query  # nothing is printed
    client = ArmClient()
    path = f"/subscriptions/{client.subscription}/providers/{namespace}/register"
    client.send("POST", path, api_version=RESOURCES_API_VERSION)


@provider.command("show")
def show_provider(
    namespace: Annotated[str, typer.Option("--namespace", "-n")],
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """Show a resource provider."""
    client = ArmClient()
    path = f"/subscriptions/{client.subscription}/providers/{namespace}"
    Printer(output, query, "provider")(
        client.get(path, api_version=RESOURCES_API_VERSION), lift=False
    )


@provider.command("list")
def list_providers(output: OutputOption = Output.JSON, query: QueryOption = "") -> None:
    """List resource providers."""
    client = ArmClient()
    path = f"/subscriptions/{client.subscription}/providers"
    rows = client.pages(path, api_version=RESOURCES_API_VERSION)
    Printer(output, query, "provider")(rows, lift=False)


@vm.command("list-skus")
def list_skus(
    location: LocationOption,
    size: Annotated[str, typer.Option("--size", "-s", help="Part of the name.")] = "",
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """List VM sizes with their restrictions."""
    client = ArmClient()
    path = f"/subscriptions/{client.subscription}/providers/Microsoft.Compute/skus"
    answer = client.get(path, api_version="2019-04-01", **{"$filter": f"location eq '{location}'"})
    rows = [r for r in answer["value"] if size.lower() in r["name"].lower()]
    Printer(output, query, "sku")(rows, lift=False)


@vm.command("list-usage")
def list_usage(
    location: LocationOption, output: OutputOption = Output.JSON, query: QueryOption = ""
) -> None:
    """List vCPU usage and quota."""
    client = ArmClient()
    compute = f"/subscriptions/{client.subscription}/providers/Microsoft.Compute"
    path = f"{compute}/locations/{location}/usages"
    Printer(output, query, "usage")(client.pages(path, api_version=COMPUTE_API_VERSION), lift=False)


def _parameters(texts: list[str]) -> dict[str, Any]:
    """``--parameters``: a file (``@f.json`` or ``f.json``), inline JSON, or KEY=VALUE."""
    result: dict[str, Any] = {}
    for text in texts:
        stripped = text.removeprefix("@")
        if text.startswith("{") or Path(stripped).is_file():
            body = json.loads(text if text.startswith("{") else Path(stripped).read_text())
            result |= body.get("parameters", body)
        else:
            key, separator, value = text.partition("=")
            if not separator:
                raise CliError(f"argument --parameters: {text!r} is not KEY=VALUE", exit_code=2)
            result[key] = {"value": _literal(value)}
    return result


def _literal(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


ParametersOption = Annotated[list[str] | None, typer.Option("--parameters", "-p")]


def _deploy(
    verb: str,
    resource_group: str,
    name: str,
    template_file: Path,
    parameters: list[str],
    *,
    wait: bool,
) -> Any:
    client = ArmClient()
    path = (
        f"/subscriptions/{client.subscription}/resourcegroups/{resource_group}/providers/"
        f"Microsoft.Resources/deployments/{name}"
    )
    try:
        template = template_file.read_text()
    except OSError as error:
        raise CliError(f"cannot read the template: {error}") from error
    try:
        parsed = read_text(template)  # comments and trailing commas are allowed, as by az
    except TextError as error:
        raise CliError(f"{template_file}: {error}") from error
    body = {
        "properties": {
            "mode": "Incremental",
            "template": parsed,
            "parameters": _parameters(parameters),
        }
    }
    client.operate("POST", f"{path}/validate", body=body, api_version=RESOURCES_API_VERSION)
    if verb == "validate":
        return None
    return client.operate("PUT", path, body=body, api_version=RESOURCES_API_VERSION, wait=wait)


@deployment_group.command("create")
def create_deployment(
    resource_group: GroupOption,
    template_file: Annotated[Path, typer.Option("--template-file", "-f")],
    name: NameOption = "",
    parameters: ParametersOption = None,
    no_wait: NoWaitOption = False,
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """Deploy a template to a resource group."""
    result = _deploy(
        "create",
        resource_group,
        name or template_file.stem,
        template_file,
        parameters or [],
        wait=not no_wait,
    )
    Printer(output, query, "deployment")(result, lift=False)


@deployment_group.command("validate")
def validate_deployment(
    resource_group: GroupOption,
    template_file: Annotated[Path, typer.Option("--template-file", "-f")],
    name: NameOption = "",
    parameters: ParametersOption = None,
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """Check a template without deploying it."""
    del output, query  # nothing is printed
    _deploy(
        "validate",
        resource_group,
        name or template_file.stem,
        template_file,
        parameters or [],
        wait=True,
    )


@deployment_group.command("show")
def show_deployment(
    resource_group: GroupOption,
    name: NameOption,
    output: OutputOption = Output.JSON,
    query: QueryOption = "",
) -> None:
    """Show a deployment."""
    client = ArmClient()
    path = f"{group_path(client, resource_group)}/providers/Microsoft.Resources/deployments/{name}"
    Printer(output, query, "deployment")(
        client.get(path, api_version=RESOURCES_API_VERSION), lift=False
    )


def _scarcity_path(client: ArmClient, location: str) -> str:
    cloud = f"/subscriptions/{client.subscription}/providers/Poolwright.Cloud"
    return f"{cloud}/locations/{location}/scarcity"


@scarcity.command("show")
def show_scarcity(
    location: LocationOption, output: OutputOption = Output.JSON, query: QueryOption = ""
) -> None:
    """What a region refuses now."""
    client = ArmClient()
    Printer(output, query)(client.get(_scarcity_path(client, location)), lift=False)


@contextmanager
def _edit(location: str) -> Generator[dict[str, Any]]:
    """Read what a region refuses, let the caller change it, and write it back."""
    client = ArmClient()
    path = _scarcity_path(client, location)
    properties: dict[str, Any] = client.get(path)["properties"]
    yield properties
    client.send("PUT", path, api_version="2026-08-01", body={"properties": properties})


@scarcity.command("quota")
def set_quota(
    location: LocationOption,
    family: Annotated[str, typer.Option("--family", help="A family of `vm list-usage`.")],
    limit: Annotated[int, typer.Option("--limit", min=0, help="vCPUs.")],
) -> None:
    """Set the vCPU quota of a family in a region."""
    with _edit(location) as body:
        body["quotas"][f"{location}/{family}".lower()] = limit


@scarcity.command("restrict")
def restrict(
    location: LocationOption,
    size: Annotated[str, typer.Option("--size", "-s")],
    zone: Annotated[list[str] | None, typer.Option("--zone", "-z")] = None,
) -> None:
    """Take a size out of a region, or out of some of its zones."""
    entry = {"vmSize": size, "region": location, "zones": zone or []}
    with _edit(location) as body:
        body["restrictions"].append(entry)


@scarcity.command("fail")
def fail(
    location: LocationOption,
    code: Annotated[str, typer.Option("--code", help="Such as AllocationFailed.")],
    times: Annotated[
        int, typer.Option("--times", min=0, help="How many creates; 0 is no end.")
    ] = 1,
    every: Annotated[int, typer.Option("--every", help="Only each n-th create.")] = 1,
    size: Annotated[str, typer.Option("--size", "-s")] = "",
    pool: Annotated[str, typer.Option("--nodepool-name")] = "",
    name: Annotated[str, typer.Option("--name", "-n")] = "",
) -> None:
    """Let the next creates fail, or every n-th one."""
    entry = {
        "name": name or f"{code}-{pool or size or 'any'}",
        "code": code,
        "times": times or None,
        "every": every,
        "vmSize": size,
        "region": location,
        "pool": pool,
    }
    with _edit(location) as body:
        body["failures"].append(entry)


@scarcity.command("clear")
def clear(location: LocationOption) -> None:
    """Back to plenty: no restrictions, no failures, the default quota."""
    client = ArmClient()
    client.send("DELETE", _scarcity_path(client, location), api_version="2026-08-01")
