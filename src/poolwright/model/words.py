"""Words that thousands of objects say."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=16_384)
def shared(word: str) -> str:
    """The same word as it was first read, so that it is kept once. Not ``sys.intern``: with some
    versions of Python what is interned stays for ever.
    """
    return word
