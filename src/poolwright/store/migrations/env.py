"""Alembic's entry: migrate on the connection that `migrate` hands over."""

from __future__ import annotations

from alembic import context

from poolwright.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
