"""What is left after a process was killed, and who may open the file."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from types import NoneType
from typing import Any

import pytest

from poolwright.model.errors import Conflict, InvalidRequest
from poolwright.model.record import Kind
from poolwright.store import SqlStore

BLOB = Kind("Blob", bytes, NoneType)
WRITER = Path(__file__).with_name("writing_process.py")


class NoClock:
    def monotonic(self) -> float:
        return 0.0


def open_store(path: Path) -> Any:
    return SqlStore.open(path, clock=NoClock(), kinds=[BLOB])  # type: ignore[arg-type]


def start_writer(path: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, WRITER, path], stdout=subprocess.PIPE)


@pytest.mark.parametrize("lines_before_death", [1, 200, 1500])
def test_s5_what_was_acknowledged_survives_kill_9(tmp_path: Path, lines_before_death: int) -> None:
    path = tmp_path / "store.db"
    with start_writer(path) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(lines_before_death)]
        writer.kill()
        lines += writer.stdout.readlines()
    acknowledged = [line.decode().split() for line in lines if line.endswith(b"\n")]
    assert len(acknowledged) >= lines_before_death

    async def check() -> None:
        store = open_store(path)
        for scope in ("arm/c", "cloud/r", "kube/c"):
            records, revision = await store.list(scope, BLOB)
            names = {record.name: record for record in records}
            # Transactions are whole, and revisions have no gap.
            assert len(names) == revision
            assert all(name[:-1] + "a" in names and name[:-1] + "b" in names for name in names)
            assert sorted(r.revision for r in records) == list(range(1, revision + 1))
            for found_scope, at, *pair in acknowledged:
                if found_scope == scope:
                    assert names[pair[1]].revision == int(at)
                    assert names[pair[0]].spec == pair[0].encode()
        # The log of an ARM scope is as whole as the records.
        watch = store.watch("arm/c", 0)
        for number in range(1, await store.revision("arm/c") + 1):
            assert (await anext(watch)).revision == number
        await watch.aclose()
        await store.close()

    asyncio.run(check())


def test_s12_a_file_has_one_owner(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with start_writer(path) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        with pytest.raises(Conflict, match=rf"in use by another process \(pid {writer.pid}\)"):
            open_store(path)
        writer.kill()
    store = open_store(path)
    with pytest.raises(Conflict):
        open_store(path)
    asyncio.run(store.close())
    asyncio.run(open_store(path).close())


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"my thesis" * 1000)
    with pytest.raises(InvalidRequest, match="cannot be used as a database"):
        open_store(path)
    assert path.read_bytes() == b"my thesis" * 1000
