"""Churn: ``make churn MINUTES=30 KILLS=50``.

First so many minutes with one restart in the middle, then so many kills with some seconds between
them. What everybody saw is judged at the end; the outcome goes to ``bench/results/churn.json``.
``make churn-bugs`` does it shortly with each bug that can be planted: the judge must see them all.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from churn.arena import HERE, Arena, ClientMissing, Program, go_client, now, python_client
from churn.bugs import BUGS
from churn.journal import Item, Line, read
from churn.judge import Verdict, judge

RESULT = HERE.parent.parent / "bench/results/churn.json"


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, how often, how much. Seconds lie between a start and the next kill."""

    seconds: float
    kills: int
    rate: float = 40.0
    between: tuple[float, float] = (2.0, 5.0)
    seed: int = 1
    bug: str = ""
    restarts: int = 1
    late: float = 60.0


class Churn:
    """One run in a folder."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._plan = plan
        self._random = random.Random(plan.seed)
        self._arena = Arena(folder, bug=plan.bug)
        self._folder = folder
        self._journal = folder / "server.jsonl"
        self._programs: list[Program] = []
        self.starts: list[float] = []

    def run(self) -> Verdict:
        """Raises:
        ClientMissing: a client cannot be had.
        """
        commands = {
            "go": [str(go_client()), "-nodes", "{nodes}"],
            "python": [str(python_client()), str(HERE / "python_client.py"), "--node", "{node}"],
        }
        try:
            self._arena.start()
            for (name, command), share in zip(commands.items(), (0.7, 0.3), strict=True):
                self._programs.append(self._program(name, command, share))
            self._disturb()
            self._finish()
        finally:
            for program in self._programs:
                program.close()
            self._arena.close()
            self._stop()
        return judge(read(*sorted(self._folder.glob("*.jsonl"))))

    def _program(self, name: str, command: list[str], share: float) -> Program:
        names = self._arena.names
        nodes = {"{nodes}": ",".join(names), "{node}": names[0]}
        options = {
            "kubeconfig": self._arena.kubeconfig,
            "journal": self._folder / f"{name}.jsonl",
            "rate": self._plan.rate * share,
            "seed": self._plan.seed * 100,
            "late": f"{self._plan.late:g}" + "s" * (name == "go"),
        }
        words = [nodes.get(word, word) for word in command]
        words += [word for option, value in options.items() for word in (f"--{option}", str(value))]
        return Program(name, words, self._folder / f"{name}.log")

    def _disturb(self) -> None:
        parts = self._plan.restarts + 1
        for part in range(parts):
            self._wait(self._plan.seconds / parts)
            if part + 1 < parts:
                self._note("restart")
                self._stop()
                self._begin()
        for _ in range(self._plan.kills):
            self._wait(self._random.uniform(*self._plan.between))
            self._note("kill")
            self._arena.server.kill()
            self._begin()
        if self._plan.kills:
            self._wait(self._plan.between[1])

    def _stop(self) -> None:
        """SIGTERM; one who is too slow for a busy machine is killed, and it is counted."""
        try:
            self._arena.stop()
        except subprocess.TimeoutExpired:
            self._note("killed while it stopped")

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            time.sleep(min(0.25, max(0.0, deadline - time.monotonic())))
            assert not self._arena.server.is_dead(), self._arena.server.log()[-4000:]
            for program in self._programs:
                assert program.is_running(), f"{program.name} ended"

    def _begin(self) -> None:
        self._arena.server.start()
        self.starts.append(self._arena.server.ready_seconds)
        self._look("start")

    def _finish(self) -> None:
        for program in self._programs:
            program.tell("quiet", "quiet")
        time.sleep(1)
        self._look("final")
        self._arena.say_the_end()
        for program in self._programs:
            program.tell("finish", "finished")

    def _look(self, when: str) -> None:
        """Write down what is there."""
        for resource in ("configmaps", "nodes", "pods"):
            began = now()
            answer = self._arena.ask("GET", f"api/v1/{resource}")
            items = [_item(resource, found) for found in answer["items"]]
            version = int(answer["metadata"]["resourceVersion"])
            self._write(
                Line(
                    what="list",
                    watch=f"{when} {resource}",
                    rv=version,
                    items=items,
                    began=began,
                    ended=now(),
                )
            )

    def _note(self, verb: str) -> None:
        self._write(Line(what="server", verb=verb, ended=now()))

    def _write(self, line: Line) -> None:
        with self._journal.open("ab") as file:
            file.write(msgspec.json.encode(line) + b"\n")


def _item(resource: str, found: Any) -> Item:
    about = found["metadata"]
    return (
        f"{resource}/{about.get('namespace', '')}/{about['name']}",
        about["resourceVersion"],
        about.get("annotations", {}).get("churn/mark", ""),
        about.get("labels", {}).get("color", ""),
        found.get("spec", {}).get("nodeName", ""),
    )


def outcome(verdict: Verdict, churn: Churn, plan: Plan) -> dict:
    """What is kept of a run."""
    sys.path.insert(0, str(HERE.parent.parent / "bench"))
    import measured

    counts = Counter(verdict.counts)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python -m churn.run", *sys.argv[1:]]),
        "machine": measured.machine(),
        "seconds": plan.seconds,
        "writes_per_second": plan.rate,
        "kills": plan.kills,
        "counts": dict(sorted(counts.items())),
        "slowest_start_seconds": round(max(churn.starts, default=0.0), 2),
        "faults": dict(verdict.faults),
    }


def keep(part: str, kept: dict) -> None:
    """Put a part into the stored results; the others stay."""
    whole = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    whole[part] = kept
    RESULT.write_text(json.dumps(dict(sorted(whole.items())), indent=1) + "\n")


def plant_all(rate: float) -> dict:
    """Run shortly with each planted bug; what the judge found of it."""
    found = {}
    for bug in BUGS:
        folder = Path(tempfile.mkdtemp(prefix="churn-"))
        plan = Plan(6, 1, rate, (2.0, 3.0), bug=bug, restarts=0, late=15)
        found[bug] = dict(Churn(folder, plan).run().faults)
        print(f"{bug}: {found[bug] or 'NOT CAUGHT'}", flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="make churn")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--restarts", type=int, default=1)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--rate", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bugs", action="store_true", help="plant each bug instead")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--keep", default="", help="keep the outcome under this name")
    options = parser.parse_args()
    try:
        if options.bugs:
            kept = plant_all(options.rate)
            is_good = all(kept.values())
        else:
            kept = run_one(options)
            is_good = not kept["faults"]
    except ClientMissing as absence:
        print(f"missing: {absence}")
        return 2
    if options.keep:
        keep(options.keep, kept)
    return 0 if is_good else 1


def run_one(options: argparse.Namespace) -> dict:
    """One run as the command line asks for it; what is kept of it."""
    plan = Plan(
        options.minutes * 60,
        options.kills,
        options.rate,
        seed=options.seed,
        restarts=options.restarts,
    )
    folder = options.folder or Path(tempfile.mkdtemp(prefix="churn-"))
    folder.mkdir(parents=True, exist_ok=True)
    churn = Churn(folder, plan)
    verdict = churn.run()
    kept = outcome(verdict, churn, plan)
    print(json.dumps(kept, indent=1))
    print(verdict)
    print(f"journals: {folder}")
    return kept


if __name__ == "__main__":
    sys.exit(main())
