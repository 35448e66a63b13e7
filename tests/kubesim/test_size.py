"""SCOPE.md says how large the embedded Kubernetes is, and is held to it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLACES = ("src/poolwright/kubesim", "src/poolwright/plan/kubernetes")


def number(text):
    return int(text.replace(",", ""))


def test_the_size_that_is_told_is_the_size():
    scope = (ROOT / "SCOPE.md").read_text()
    told = number(re.search(r"it has grown to about ([\d,]+),", scope)[1])
    files = (file for place in PLACES for file in (ROOT / place).rglob("*.py"))
    lines = sum(len(file.read_text().splitlines()) for file in files)
    assert abs(lines - told) <= lines / 20, f"SCOPE.md: about {round(lines, -2):,}"
    table = scope.partition("| part | lines |")[2].partition("\n\n")[0]
    parts = [number(found) for found in re.findall(r"\| ([\d,]+) \|", table)]
    assert sum(parts) == told
