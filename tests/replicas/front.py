"""One address for several servers: what stands before them where people reach them by one name."""

from __future__ import annotations

import itertools
import socket

from replicas.relay import Relay


class Front(Relay):
    """A balancer that passes TLS through. Connections go to the servers by turns; one that takes
    none is left out.
    """

    def __init__(self, ports: list[int]) -> None:
        self._ports = ports
        self._turns = itertools.count()
        self.heard = 0
        """How often clients sent something."""
        super().__init__(("127.0.0.1", 0))

    @property
    def endpoint(self) -> str:
        return f"https://localhost:{self.port}"

    def lead_to(self, *ports: int) -> None:
        """From now on only to these; what is open is cut."""
        self._ports = list(ports)
        self._break_all()

    def _reach(self) -> socket.socket | None:
        ports = self._ports
        turn = next(self._turns)
        for number in range(len(ports)):
            try:
                return socket.create_connection(("127.0.0.1", ports[(turn + number) % len(ports)]))
            except OSError:
                continue
        return None

    def _receive(self, source: socket.socket) -> bytes:
        data = super()._receive(source)
        if data and source.getsockname()[1] == self.port:
            self.heard += 1
        return data
