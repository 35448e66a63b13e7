"""Real entropy."""

from __future__ import annotations

import uuid

from poolwright.app.real_identity import RealIdentity


def test_uids_are_random_guids_of_version_4():
    made = {RealIdentity().uid() for _ in range(1000)}

    assert len(made) == 1000
    parsed = [uuid.UUID(each) for each in made]
    assert {each.version for each in parsed} == {4}
    assert {each.variant for each in parsed} == {uuid.RFC_4122}
    assert {str(each) for each in parsed} == made
    ones = [sum(each.int >> bit & 1 for each in parsed) for bit in range(128)]
    fixed = {62, 63, 76, 77, 78, 79}
    assert all(350 < count < 650 for bit, count in enumerate(ones) if bit not in fixed)
