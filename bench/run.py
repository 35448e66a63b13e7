"""Run every benchmark, one after the other, in less than half an hour. `make bench`.

Each can be run alone. A part that fails or is not done in its time is named at the end; the others
still run, and ``bench/results/run.json`` says how long each took.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from measured import machine, write_result

HERE = Path(__file__).parent
PARTS: tuple[tuple[str, int], ...] = (
    ("bench_api.py", 300),
    ("bench_scheduler.py", 120),
    ("bench_store.py", 180),
    ("bench_replicas.py", 300),
    ("bench_scale.py", 540),
    ("bench_real.py", 240),
)
"""The programs, with the seconds that each may take."""


def run(program: str, limit: int) -> str:
    """How one program ended. It is given up with all processes that it started."""
    print(f"== {program}", flush=True)
    command = [sys.executable, str(HERE / program)]
    with subprocess.Popen(command, start_new_session=True) as one:
        try:
            code = one.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(one.pid, signal.SIGKILL)
            return f"not done after {limit} s"
        except KeyboardInterrupt:
            os.killpg(one.pid, signal.SIGKILL)
            raise
    return "done" if code == 0 else f"failed with exit code {code}"


def main() -> None:
    began, ends = machine(), {}
    for program, limit in PARTS:
        start = time.monotonic()
        ended = run(program, limit)
        ends[program] = {"ended": ended, "seconds": round(time.monotonic() - start)}
    write_result("run", began, {"programs": ends})
    if any(each["ended"] != "done" for each in ends.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
