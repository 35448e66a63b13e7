"""Keeps records: guarded transactions in scopes, their changes, and leases.

Knows `ports.Store` and SQL. One implementation on SQLite (embedded, owned by one process) and on
PostgreSQL (several replicas), with one behaviour; contract: ``docs/contracts/store.md``, read and
write path: ``docs/adr/0001-store-write-and-read-path.md``. Refuses to know what a record means.
"""

from poolwright.store.scoped_store import ScopedStore
from poolwright.store.sql_store import SqlStore

__all__ = ["ScopedStore", "SqlStore"]
