"""Scopes, objects, changes and leases."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the first tables."""
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    record = (
        ("uid", sa.Text, False),
        ("generation", sa.BigInteger, False),
        ("spec", sa.LargeBinary, True),
        ("status", sa.LargeBinary, True),
        ("created_at", sa.BigInteger, False),
        ("deleted_at", sa.BigInteger, True),
    )
    op.create_table(
        "scopes",
        sa.Column("scope", text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("scope", name="scopes_pkey"),
    )
    op.create_table(
        "objects",
        sa.Column("scope", text, nullable=False),
        sa.Column("kind", text, nullable=False),
        sa.Column("name", text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        *(sa.Column(name, type_, nullable=null) for name, type_, null in record),
        sa.PrimaryKeyConstraint("scope", "kind", "name", name="objects_pkey"),
    )
    op.create_table(
        "changes",
        sa.Column("scope", text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("kind", text, nullable=False),
        sa.Column("name", text, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False),
        *(sa.Column(name, type_, nullable=null) for name, type_, null in record),
        sa.PrimaryKeyConstraint("scope", "revision", name="changes_pkey"),
    )
    op.create_table(
        "leases",
        sa.Column("key", text, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("until", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("key", name="leases_pkey"),
    )
