"""What a whole run of the suite found, for ``bench/results/crash.json``: `make crash` keeps it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lives import Lives

RESULT = os.environ.get("POOLWRIGHT_TEST_CRASH_RESULT", "")
"""The file to write; empty: none."""


def keep(stories: dict[str, Lives], *, crashes: int, seed: int, began: datetime) -> None:
    """Write what happened in these stories, none of which lost anything."""
    if not RESULT:
        return
    now = datetime.now(UTC)
    command = ("git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD")
    commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    document: dict[str, Any] = {
        "name": "crash",
        "date": now.isoformat(timespec="seconds"),
        "command": f"make crash CRASHES={crashes}",
        "commit": commit,
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
        "seconds": round((now - began).total_seconds()),
        "seed": seed,
        "kills": sum(lives.kills.total() for lives in stories.values()),
        "lost": 0,
        "stories": {name: lives.summary() for name, lives in stories.items()},
    }
    Path(RESULT).write_text(json.dumps(document, indent=1) + "\n")
