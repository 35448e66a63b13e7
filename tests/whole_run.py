"""The result of a suite's long form, kept in ``bench/results`` by its make target."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def keep(file: str, name: str, command: str, began: datetime, found: dict[str, Any]) -> None:
    """Write what a run found, under where, when and how it was run; an empty ``file`` is none."""
    if not file:
        return
    now = datetime.now(UTC)
    asked = ("git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD")
    commit = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    head = {
        "name": name,
        "date": now.isoformat(timespec="seconds"),
        "command": command,
        "commit": commit,
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
        "seconds": round((now - began).total_seconds()),
    }
    Path(file).write_text(json.dumps(head | found, indent=1) + "\n")
