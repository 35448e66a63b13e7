"""The tables, the same on SQLite and PostgreSQL.

Times are microseconds since the Unix epoch, UTC. ``spec`` and ``status`` are bytes: JSON of a
typed half, the caller's own bytes of an opaque one, NULL of an absent one.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
)

metadata = MetaData()


def _text(name: str) -> Column[str]:
    # PostgreSQL must order names as Python and SQLite do: by code point.
    return Column(name, Text().with_variant(Text(collation="C"), "postgresql"), nullable=False)


scopes = Table(
    "scopes",
    metadata,
    _text("scope"),
    Column("revision", BigInteger, nullable=False),
    PrimaryKeyConstraint("scope", name="scopes_pkey"),
)
"""The revision counter of each scope; stays when the scope is dropped."""

objects = Table(
    "objects",
    metadata,
    _text("scope"),
    _text("kind"),
    _text("name"),
    Column("uid", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("spec", LargeBinary),
    Column("status", LargeBinary),
    Column("created_at", BigInteger, nullable=False),
    Column("deleted_at", BigInteger),
    PrimaryKeyConstraint("scope", "kind", "name", name="objects_pkey"),
)

changes = Table(
    "changes",
    metadata,
    _text("scope"),
    Column("revision", BigInteger, nullable=False),
    _text("kind"),
    _text("name"),
    Column("deleted", Boolean, nullable=False),
    Column("uid", Text, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("spec", LargeBinary),
    Column("status", LargeBinary),
    Column("created_at", BigInteger, nullable=False),
    Column("deleted_at", BigInteger),
    PrimaryKeyConstraint("scope", "revision", name="changes_pkey"),
)
"""One row per change, with the whole record: what a watch reads back."""

leases = Table(
    "leases",
    metadata,
    _text("key"),
    Column("holder", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("until", Double, nullable=False),
    PrimaryKeyConstraint("key", name="leases_pkey"),
)
"""``until`` is in seconds of the database's clock (PostgreSQL) or of the owning process."""
