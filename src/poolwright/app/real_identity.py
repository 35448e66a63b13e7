"""Real entropy, for GUIDs and for the suffixes of generated names."""

from __future__ import annotations

import os
import secrets

# Kubernetes' alphabet for generated names: no vowels, no easily confused characters.
# Source: k8s.io/apimachinery pkg/util/rand.
ALPHABET = "bcdfghjklmnpqrstvwxz2456789"

# RFC 9562 §5.4: four bits of version, two of variant, the others random.
_UUID_MASK = ~(0xF << 76 | 0x3 << 62)
_UUID_4 = 0x4 << 76 | 0x2 << 62


class RealIdentity:
    """A `ports.Identity` on the operating system's entropy."""

    def uid(self) -> str:
        """A fresh random GUID of version 4. Every request has one: `uuid.uuid4` takes twice as
        long to make the same text.
        """
        number = int.from_bytes(os.urandom(16)) & _UUID_MASK | _UUID_4
        text = f"{number:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def suffix(self, length: int) -> str:
        """Random characters of the alphabet of generated names."""
        return "".join(secrets.choice(ALPHABET) for _ in range(length))
