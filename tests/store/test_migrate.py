"""`poolwright store migrate` and `check` on PostgreSQL, and what a server does that only checks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from poolwright.app.real_clock import RealClock
from poolwright.model.errors import Conflict
from poolwright.store import SqlStore
from poolwright.store.columns import HEAD

sys.path.insert(0, str(Path(__file__).parents[1]))
from postgresql_server import postgresql_server, require_binaries

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def url():
    require_binaries()
    with postgresql_server() as url:
        yield url


def store(verb, url):
    command = [sys.executable, "-m", "poolwright", "store", verb, "--store", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def test_tables_are_made_by_the_command_alone(url):
    with pytest.raises(Conflict, match="poolwright store migrate"):
        SqlStore.open(url, clock=RealClock(), migrates=False)
    code, _, said = store("check", url)
    assert code == 1
    assert said.count("\n") == 1
    assert store("migrate", url) == (0, f"the store is at revision {HEAD}\n", "")
    assert store("migrate", url)[0] == 0
    assert store("check", url)[0] == 0
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Conflict, match="9999"):
        SqlStore.open(url, clock=RealClock(), migrates=False)


def test_a_database_that_is_not_there_is_one_line(tmp_path):
    code, _, said = store("migrate", f"postgresql://x@/postgres?host={tmp_path}")
    assert code == 1
    assert said.startswith("poolwright: the database did not answer: ")
    assert said.count("\n") == 1
