"""What only a process can give: the store it opened, its clock and entropy, its keys."""

from __future__ import annotations

import random
from dataclasses import dataclass

from poolwright.arm.tokens import TokenKeys
from poolwright.ports.clock import Clock, Identity
from poolwright.ports.store import Store


@dataclass(frozen=True, slots=True)
class Outside:
    """The outside world of one process."""

    store: Store
    clock: Clock
    identity: Identity
    rng: random.Random
    keys: TokenKeys
    ca_pem: bytes
    endpoint: str
    holder: str
