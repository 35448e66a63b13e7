"""``… wait``: ask again until a resource is as wanted, in the words of az's wait commands."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated, Any

import jmespath
import jmespath.exceptions
import typer

from poolwright.app.cli.arm_client import AKS_API_VERSION, ArmClient, CliError
from poolwright.app.cli.output import flatten
from poolwright.model.json_value import child

CreatedOption = Annotated[bool, typer.Option("--created", help="Until it is there and done.")]
UpdatedOption = Annotated[bool, typer.Option("--updated", help="Until its change is done.")]
DeletedOption = Annotated[bool, typer.Option("--deleted", help="Until it is gone.")]
ExistsOption = Annotated[bool, typer.Option("--exists", help="Until it is there.")]
CustomOption = Annotated[str, typer.Option("--custom", help="Until a JMESPath query holds.")]
IntervalOption = Annotated[
    int, typer.Option("--interval", min=1, help="Seconds between two questions (az: 30).")
]
TimeoutOption = Annotated[int, typer.Option("--timeout", min=1, help="Seconds to wait at most.")]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a wait command waits for."""

    created: bool
    updated: bool
    deleted: bool
    exists: bool
    custom: str
    interval: int
    timeout: int

    def __post_init__(self) -> None:
        asked = [self.created, self.updated, self.deleted, self.exists, bool(self.custom)]
        if sum(asked) != 1:
            raise CliError(
                "incorrect usage: --created | --updated | --deleted | --exists | --custom JMESPATH",
                exit_code=2,
            )

    def holds(self, body: Any) -> bool:
        """Whether a resource that is there is as wanted.

        Raises:
            CliError: it failed, so that it never will be, or the query is no JMESPath.
        """
        state = child(body, "properties").get("provisioningState", "Succeeded")
        if self.custom:
            try:
                return bool(jmespath.search(self.custom, flatten(body)))
            except jmespath.exceptions.JMESPathError as error:
                raise CliError(f"argument --custom: {error}", exit_code=2) from error
        if (self.created or self.updated) and state == "Failed":
            raise CliError("The operation failed")
        return self.exists or ((self.created or self.updated) and state == "Succeeded")


def wait_for(
    client: ArmClient, path: str, wanted: Wanted, *, api_version: str = AKS_API_VERSION
) -> None:
    """Return once the resource is as wanted.

    Raises:
        CliError: it is not there, it failed, or the time is over.
    """
    deadline = time.monotonic() + wanted.timeout
    while True:
        try:
            body = client.get(path, api_version=api_version)
        except CliError as error:
            if error.exit_code != 3 or not (wanted.deleted or wanted.exists):
                raise
            if wanted.deleted:
                return
        else:
            if wanted.holds(body):
                return
        if time.monotonic() > deadline:
            raise CliError(f"Wait operation timed-out after {wanted.timeout} seconds")
        time.sleep(wanted.interval)
