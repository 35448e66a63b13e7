"""Telling followers of a view which pools changed, coalesced."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from poolwright.ports.kube import ViewChange


class ChangeFeed:
    """What a follower has not read yet is one entry per pool; a slow follower costs nothing."""

    def __init__(self) -> None:
        self._followers: dict[int, tuple[dict[str, None], asyncio.Event]] = {}
        self._next = 0

    def publish(self, pool: str) -> None:
        """Something of the pool changed."""
        for unread, news in self._followers.values():
            unread[pool] = None
            news.set()

    def follow(self) -> AsyncIterator[ViewChange]:
        """Changes from this call on."""
        number, self._next = self._next, self._next + 1
        unread: dict[str, None] = {}
        news = asyncio.Event()
        self._followers[number] = (unread, news)
        return self._drain(number, unread, news)

    async def _drain(
        self, number: int, unread: dict[str, None], news: asyncio.Event
    ) -> AsyncIterator[ViewChange]:
        try:
            while True:
                while unread:
                    pool = next(iter(unread))
                    del unread[pool]
                    yield ViewChange(pool)
                news.clear()
                await news.wait()
        finally:
            self._followers.pop(number, None)
