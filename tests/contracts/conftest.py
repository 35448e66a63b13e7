"""Fixtures of the store's contract suite."""

from contracts.store_places import lasting, place, postgresql_url

__all__ = ["lasting", "place", "postgresql_url"]
