"""Real entropy, for GUIDs and for the suffixes of generated names."""

from __future__ import annotations

import secrets
import uuid

# Kubernetes' alphabet for generated names: no vowels, no easily confused characters.
# Source: k8s.io/apimachinery pkg/util/rand.
ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


class RealIdentity:
    """A `ports.Identity` on the operating system's entropy."""

    def uid(self) -> str:
        """A fresh random GUID."""
        return str(uuid.uuid4())

    def suffix(self, length: int) -> str:
        """Random characters of the alphabet of generated names."""
        return "".join(secrets.choice(ALPHABET) for _ in range(length))
