"""One real Kubernetes for the suite; without its tools the suite is skipped, saying so once."""

from __future__ import annotations

import pytest

from absent import live_binaries
from live_stack import COMPONENTS, LiveStack


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    live_binaries(*COMPONENTS, "kubectl")
    stack = LiveStack(tmp_path_factory.mktemp("live"))
    stack.start()
    yield stack
    pids = stack.pids()
    stack.stop()
    for name, pid in pids.items():
        assert not _is_running(pid), f"{name} still runs"


def _is_running(pid: int) -> bool:
    from pathlib import Path

    return Path(f"/proc/{pid}").exists()
