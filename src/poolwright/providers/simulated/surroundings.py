"""What the parts of the simulated cloud share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from poolwright.ports.clock import Clock
from poolwright.ports.kube import Clusters
from poolwright.ports.store import Store
from poolwright.providers.simulated.agenda import Agenda
from poolwright.providers.simulated.books import Books
from poolwright.providers.simulated.settings import SimulatedCloudSettings


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Made once by the cloud, read by all. ``seed`` starts every child generator."""

    store: Store
    clusters: Clusters
    clock: Clock
    books: Books
    agenda: Agenda
    seed: int
    settings: SimulatedCloudSettings
    refresh: Callable[[], Awaitable[None]]
    """Brings the books up with the ledger."""
