"""What a suite does without a client or a server that it needs."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))
import live_tools


def missing(what: str) -> None:
    """Skip with the reason, or fail where CI promises that it is there."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing, and CI must have it")
    pytest.skip(f"{what} is not installed here")


def live_binaries(*names: str) -> dict[str, Path]:
    """Tools of the real Kubernetes, by name; waits while they are being built.

    Without them the suite is skipped with the reason; in CI a missing Go is a failure, but what Go
    did not build in CI's time is not.
    """
    live_tools.await_build(*names)
    try:
        return live_tools.require(*names)
    except live_tools.ToolsMissing as error:
        if shutil.which("go") is None:
            missing(f"Go, which builds {', '.join(names)},")
        pytest.skip(str(error))
