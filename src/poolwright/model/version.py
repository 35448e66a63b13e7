"""Kubernetes versions: text form and order."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TEXT = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?")
_SERVER = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")


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

    @classmethod
    def of_server(cls, said: str) -> KubernetesVersion:
        """Read what a server says of itself, such as ``v1.36.1-gke.7`` or ``v1.36.1+k3s1``.

        Raises:
            ValueError: not a version.
        """
        match = _SERVER.match(said)
        if match is None:
            raise ValueError(f"{said!r} is not a Kubernetes version")
        return cls(int(match[1]), int(match[2]), int(match[3]))

    @property
    def minor_text(self) -> str:
        """``1.35``."""
        return f"{self.major}.{self.minor}"


OLDEST_ADOPTED = KubernetesVersion(1, 30, 0)
"""Of clusters that somebody else made. What is used of the API is older; older servers are not
tried out."""


def check_adoptable(said: str) -> KubernetesVersion:
    """The version that a server says it has.

    Raises:
        ValueError: it is too old, or none.
    """
    version = KubernetesVersion.of_server(said)
    if version < OLDEST_ADOPTED:
        raise ValueError(
            f"Kubernetes {said} is too old; {OLDEST_ADOPTED.minor_text} or newer is needed"
        )
    return version
