"""What befell servers in a whole run, for ``bench/results/kills.json`` (`make replicas`)."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

RESULT = os.environ.get("POOLWRIGHT_TEST_KILL_RESULT", "")
"""The file to write; empty: none."""


def keep(
    befallen: list[str],
    *,
    size: int,
    seed: int,
    operations: int,
    troubles: Counter,
    began: datetime,
) -> None:
    """Write what happened in a run in which nothing was lost or doubled."""
    if not RESULT:
        return
    now = datetime.now(UTC)
    command = ("git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD")
    commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    document = {
        "name": "kills",
        "date": now.isoformat(timespec="seconds"),
        "command": f"make replicas KILLS={len(befallen)} SEED={seed}",
        "commit": commit,
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
        "seconds": round((now - began).total_seconds()),
        "servers": size,
        "befallen": dict(sorted(Counter(befallen).items())),
        "operations_acknowledged_and_ended": operations,
        "lost_or_doubled": 0,
        "requests_repeated": dict(troubles.most_common()),
    }
    Path(RESULT).write_text(json.dumps(document, indent=1) + "\n")
