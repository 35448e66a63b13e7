"""Identity from a seed."""

from __future__ import annotations

from random import Random

SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""Source: k8s.io/apimachinery pkg/util/rand; no vowels, so that no words are spelled."""


class SeededIdentity:
    """``ports.Identity`` that draws from a passed-in generator."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def uid(self) -> str:
        """A version 4 GUID in lower case."""
        bits = self._rng.getrandbits(128)
        bits = bits & ~(0xF << 76) | 0x4 << 76  # version
        bits = bits & ~(0x3 << 62) | 0x2 << 62  # variant
        text = f"{bits:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def suffix(self, length: int) -> str:
        """Random characters of `SUFFIX_ALPHABET`."""
        return "".join(self._rng.choice(SUFFIX_ALPHABET) for _ in range(length))
