"""The statements of `statement` as SQLite's driver runs them; parameters come in the order of the
columns. Written out because compiling them takes SQLAlchemy, a third of a second that a start on a
warm data directory need not pay. A test compares them with what SQLAlchemy makes.
"""

from __future__ import annotations

UPSERT_OBJECT = (
    "INSERT INTO objects"
    " (scope, kind, name, uid, revision, generation, spec, status, created_at, deleted_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (scope, kind, name) DO UPDATE SET"
    " uid = excluded.uid, revision = excluded.revision, generation = excluded.generation,"
    " spec = excluded.spec, status = excluded.status, created_at = excluded.created_at,"
    " deleted_at = excluded.deleted_at"
)
DELETE_OBJECT = (
    "DELETE FROM objects WHERE objects.scope = ? AND objects.kind = ? AND objects.name = ?"
)
INSERT_CHANGE = (
    "INSERT INTO changes"
    " (scope, revision, kind, name, deleted, uid, generation, spec, status, created_at, deleted_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
UPSERT_SCOPE = (
    "INSERT INTO scopes (scope, revision) VALUES (?, ?)"
    " ON CONFLICT (scope) DO UPDATE SET revision = excluded.revision"
)
COMPACT = "DELETE FROM changes WHERE changes.scope = ? AND changes.revision <= ?"
UPSERT_LEASE = (
    'INSERT INTO leases ("key", holder, epoch, until) VALUES (?, ?, ?, ?)'
    ' ON CONFLICT ("key") DO UPDATE SET'
    " holder = excluded.holder, epoch = excluded.epoch, until = excluded.until"
)
DROP = (
    "DELETE FROM objects WHERE objects.scope = ?",
    "DELETE FROM changes WHERE changes.scope = ?",
)
READ_OBJECTS = (
    "SELECT objects.kind, objects.name, objects.uid, objects.revision, objects.generation,"
    " objects.spec, objects.status, objects.created_at, objects.deleted_at FROM objects"
    " WHERE objects.scope = ? ORDER BY objects.kind, objects.name"
)
READ_CHANGES = (
    "SELECT changes.kind, changes.name, changes.uid, changes.revision, changes.generation,"
    " changes.spec, changes.status, changes.created_at, changes.deleted_at, changes.deleted"
    " FROM changes WHERE changes.scope = ? AND changes.revision > ? ORDER BY changes.revision"
)
READ_SCOPES = "SELECT scopes.scope, scopes.revision FROM scopes"
READ_OCCUPIED = "SELECT DISTINCT objects.scope FROM objects"
READ_LEASES = 'SELECT leases."key", leases.holder, leases.epoch FROM leases'
