"""A PostgreSQL server of our own for tests: temporary, on a Unix socket only, ended afterwards."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from absent import missing


def binary(name: str) -> str | None:
    """A server program from Debian's place, or from PATH."""
    packaged = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(packaged[-1]) if packaged else shutil.which(name)


def require_binaries() -> None:
    """Skip without PostgreSQL, but not in CI."""
    if binary("postgres") is None or binary("initdb") is None:
        missing("a PostgreSQL server (Debian: apt-get install postgresql)")


def _user() -> str:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return getpass.getuser()
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@contextmanager
def postgresql_server(**settings: str) -> Iterator[str]:
    """Run a server; yields the URL of its database. It forgets its disk, unless told ``fsync``."""
    user = _user()
    # Not pytest's temporary folder: a socket's path has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="poolwright-pg-", ignore_cleanup_errors=True) as home:
        as_user = {"cwd": home, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        if os.geteuid() == 0:
            shutil.chown(home, user)
            as_user["user"] = user
            as_user["group"] = pwd.getpwnam(user).pw_gid
            as_user["extra_groups"] = []
        data = f"{home}/data"
        subprocess.run(
            [binary("initdb"), "-D", data, "-A", "trust", "-U", "poolwright", "-E", "UTF8", "-N"],
            check=True,
            **as_user,
        )
        settings = {"fsync": "off"} | settings
        settings |= {"listen_addresses": "", "unix_socket_directories": home}
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        as_user["stderr"] = subprocess.DEVNULL
        with subprocess.Popen([binary("postgres"), "-D", data, *options], **as_user) as server:
            try:
                url = f"postgresql://poolwright@/postgres?host={home}"
                _wait_until_up(url, server)
                yield url
            finally:
                server.send_signal(signal.SIGINT)
                server.wait(30)


def _wait_until_up(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            assert server.poll() is None, "PostgreSQL did not start"
            try:
                server.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
        else:
            return
    raise AssertionError("PostgreSQL did not come up")
