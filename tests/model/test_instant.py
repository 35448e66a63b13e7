"""How moments are written."""

from __future__ import annotations

from datetime import UTC, datetime

from poolwright.model.instant import wall_text, wall_text_micro


def test_years_have_four_digits():
    assert wall_text(datetime(1, 1, 1, tzinfo=UTC)) == "0001-01-01T00:00:00Z"
    assert wall_text_micro(datetime(1, 1, 1, 0, 0, 2, tzinfo=UTC)) == "0001-01-01T00:00:02.000000Z"
    assert wall_text(datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)) == "2026-01-02T03:04:05Z"
