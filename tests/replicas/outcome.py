"""What befell servers in a whole run, for ``bench/results/kills.json`` (`make replicas`)."""

from __future__ import annotations

import os
from collections import Counter
from datetime import datetime

import whole_run

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
    found = {
        "servers": size,
        "befallen": dict(sorted(Counter(befallen).items())),
        "operations_acknowledged_and_ended": operations,
        "lost_or_doubled": 0,
        "requests_repeated": dict(troubles.most_common()),
    }
    command = f"make replicas KILLS={len(befallen)} SEED={seed}"
    whole_run.keep(RESULT, "kills", command, began, found)
