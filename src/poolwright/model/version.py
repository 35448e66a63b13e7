"""Kubernetes versions: text form and order."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TEXT = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?")


@dataclass(frozen=True, slots=True, order=True)
class KubernetesVersion:
    """``major.minor.patch``."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> KubernetesVersion:
        """Read ``1.35.4`` or ``v1.35.4``; a missing patch is 0.

        Raises:
            ValueError: not a version.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not a Kubernetes version")
        return cls(int(match[1]), int(match[2]), int(match[3] or 0))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def minor_text(self) -> str:
        """``1.35``."""
        return f"{self.major}.{self.minor}"
