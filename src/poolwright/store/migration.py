"""Bringing a database to the newest migration when it is opened."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from poolwright.model.errors import Conflict
from poolwright.store.columns import HEAD


def migrate(connection: Connection) -> None:
    """Create or upgrade the tables; costs one query if there is nothing to do."""
    if _version(connection) == HEAD:
        return
    from alembic import command, config  # noqa: PLC0415 - 0.2 s that a warm start need not pay

    settings = config.Config()
    settings.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    settings.set_main_option("path_separator", "os")
    settings.attributes["connection"] = connection
    command.upgrade(settings, "head")


def require_head(connection: Connection) -> None:
    """Change nothing, and refuse tables that are not those of this version.

    Raises:
        Conflict: they are older, newer, or not there.
    """
    version = _version(connection)
    if version == HEAD:
        return
    if version is None or version < HEAD:
        raise Conflict(
            f"the store is at revision {version or 'none'} and this version needs {HEAD}: run "
            "`poolwright store migrate`"
        )
    raise Conflict(f"the store is at revision {version}, and this version knows {HEAD} at most")


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
