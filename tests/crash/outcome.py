"""What a whole run of the suite found, for ``bench/results/crash.json``: `make crash` keeps it."""

from __future__ import annotations

import os
from datetime import datetime

from lives import Lives

import whole_run

RESULT = os.environ.get("POOLWRIGHT_TEST_CRASH_RESULT", "")
"""The file to write; empty: none."""


def keep(stories: dict[str, Lives], *, crashes: int, seed: int, began: datetime) -> None:
    """Write what happened in these stories, none of which lost anything."""
    found = {
        "seed": seed,
        "kills": sum(lives.kills.total() for lives in stories.values()),
        "lost": 0,
        "stories": {name: lives.summary() for name, lives in stories.items()},
    }
    whole_run.keep(RESULT, "crash", f"make crash CRASHES={crashes}", began, found)
