"""``poolwright store …``: the tables that servers keep their state in."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

store = typer.Typer(help="Look after the store.", no_args_is_help=True)

_TARGET = Annotated[
    str | None, typer.Option("--store", help="postgresql://…; otherwise as the settings say.")
]
_CONFIG = Annotated[Path | None, typer.Option("--config", help="A TOML file of settings.")]


@store.command("migrate")
def migrate(target: _TARGET = None, config: _CONFIG = None) -> None:
    """Bring the store's tables up to date, once for all servers that share it."""
    _open(target, config, migrates=True)


@store.command("check")
def check(target: _TARGET = None, config: _CONFIG = None) -> None:
    """Say whether PostgreSQL's tables are those of this version; change nothing."""
    _open(target, config, migrates=False)


def _open(target: str | None, config: Path | None, *, migrates: bool) -> None:
    from poolwright.app.data_directory import DataDirectory  # noqa: PLC0415 - loads the store
    from poolwright.app.real_clock import RealClock  # noqa: PLC0415 - as above
    from poolwright.app.refusal import refusal  # noqa: PLC0415 - as above
    from poolwright.app.settings import SettingsError, load_settings  # noqa: PLC0415 - as above
    from poolwright.model.errors import PoolwrightError  # noqa: PLC0415 - as above
    from poolwright.store import SqlStore  # noqa: PLC0415 - as above
    from poolwright.store.columns import HEAD  # noqa: PLC0415 - as above

    async def whole() -> None:
        settings = load_settings(config, os.environ, {"server.store": target}).server
        if not settings.store and not migrates:
            raise SettingsError(
                "server.store: names no PostgreSQL; a server migrates SQLite itself"
            )
        place = settings.store or DataDirectory.open(Path(settings.data_dir)).store
        await SqlStore.open(place, clock=RealClock(), migrates=migrates).close()

    try:
        asyncio.run(whole())
    except (SettingsError, PoolwrightError, OSError) as error:
        sys.stderr.write(f"poolwright: {refusal(error)}\n")
        raise typer.Exit(1) from error
    typer.echo(f"the store is at revision {HEAD}")
