"""What the store holds once the server has gone, for this suite's story."""

from __future__ import annotations

from pathlib import Path

from story import OLD, SNAPSHOT
from user import GROUP

import ledger
from ledger import check_bills, check_books, check_machines, check_operations

__all__ = ["add_snapshot", "check_bills", "check_books", "check_machines", "check_operations"]


def add_snapshot(directory: Path, subscription: str, store: str = "") -> None:
    """The one that the story's pool is made from."""
    ledger.add_snapshot(directory, subscription, GROUP, SNAPSHOT, version=OLD, store=store)
