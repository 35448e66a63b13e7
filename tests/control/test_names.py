"""Control and plan know no adapter and no speed: whoever makes machines, the code is the same."""

import re
from pathlib import Path

import pytest

import poolwright

ROOMS = ("control", "plan")
BANNED = re.compile(r"simulat|kwok|cluster_api|capi\b|\bspeed\b|time[_ ]?factor", re.IGNORECASE)
ROOT = Path(poolwright.__file__).parent


@pytest.mark.parametrize("room", ROOMS)
def test_no_provider_and_no_speed_is_named(room):
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in files
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if BANNED.search(line)
    ]
    assert found == []
