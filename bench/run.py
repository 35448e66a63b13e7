"""Run every benchmark, one after the other; each can also be run alone. `make bench`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PARTS: tuple[tuple[str, ...], ...] = (
    ("bench_api.py",),
    ("bench_scale.py",),
    ("bench_scheduler.py",),
    ("bench_store.py", "--out", str(HERE / "results" / "store.json")),
)
LIMIT_SECONDS = 3600


def succeeds(part: tuple[str, ...]) -> bool:
    print(f"== {part[0]}", flush=True)
    command = [sys.executable, str(HERE / part[0]), *part[1:]]
    try:
        return subprocess.run(command, check=False, timeout=LIMIT_SECONDS).returncode == 0
    except subprocess.TimeoutExpired:
        return False


if __name__ == "__main__":
    failed = [part[0] for part in PARTS if not succeeds(part)]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")
