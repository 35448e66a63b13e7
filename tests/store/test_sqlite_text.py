"""SQLite's statements are those of SQLAlchemy Core, and a warm start does without SQLAlchemy."""

import subprocess
import sys

import pytest
from sqlalchemy.dialects import sqlite

from poolwright.store import sqlite_text, statement
from poolwright.store.columns import CHANGE_COLUMNS, OBJECT_KEY, ROW_COLUMNS
from poolwright.store.schema import changes, objects

DIALECT = sqlite.dialect(paramstyle="qmark")

STATEMENTS = [
    (sqlite_text.UPSERT_OBJECT, statement.upsert_object(DIALECT), ("scope", *ROW_COLUMNS)),
    (sqlite_text.DELETE_OBJECT, statement.delete_object(), OBJECT_KEY),
    (sqlite_text.INSERT_CHANGE, statement.insert_change(DIALECT), CHANGE_COLUMNS),
    (sqlite_text.UPSERT_SCOPE, statement.upsert_scope(DIALECT), ("scope", "revision")),
    (sqlite_text.COMPACT, statement.compact_changes(), ("scope", "floor")),
    (
        sqlite_text.UPSERT_LEASE,
        statement.upsert_lease(DIALECT),
        ("key", "holder", "epoch", "until"),
    ),
    (sqlite_text.DROP[0], statement.drop(objects), ("scope",)),
    (sqlite_text.DROP[1], statement.drop(changes), ("scope",)),
    (sqlite_text.READ_OBJECTS, statement.read_objects(), ("scope",)),
    (sqlite_text.READ_CHANGES, statement.read_changes(), ("scope", "after")),
    (sqlite_text.READ_SCOPES, statement.read_scopes(), ()),
    (sqlite_text.READ_OCCUPIED, statement.read_occupied(), ()),
    (sqlite_text.READ_LEASES, statement.read_leases(), ()),
]


@pytest.mark.parametrize(("text", "built", "parameters"), STATEMENTS)
def test_the_text_is_what_sqlalchemy_makes(text, built, parameters):
    compiled = built.compile(dialect=DIALECT)
    assert text == " ".join(str(compiled).split())
    assert tuple(compiled.positiontup or ()) == parameters


def test_a_server_on_a_warm_sqlite_store_loads_no_sqlalchemy(tmp_path):
    program = (
        "import sys; from pathlib import Path; import poolwright.app.server;"
        " from poolwright.store.sqlite_file import SqliteFile;"
        " SqliteFile(Path(sys.argv[1])).close();"
        " print([m for m in ('sqlalchemy', 'alembic', 'typer') if m in sys.modules])"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "state.db")]
    subprocess.run(command, check=True, capture_output=True)
    warm = subprocess.run(command, check=True, capture_output=True, text=True)
    assert warm.stdout.strip() == "[]"
