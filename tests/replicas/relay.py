"""A TCP relay that tests can stall or cut: the network between a server and what it needs."""

from __future__ import annotations

import contextlib
import socket
import threading

OPEN, STALLED, CUT = "open", "stalled", "cut"


class Relay:
    """Listens on a port of loopback and passes everything on to ``target``: a TCP address, or the
    path of a Unix socket. ``stalled``: connections stay, and nothing arrives. ``cut``: connections
    break, and new ones do at once.
    """

    def __init__(self, target: tuple[str, int] | str) -> None:
        self._target = target
        self._state = OPEN
        self._changed = threading.Condition()
        self._ends: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def set(self, state: str) -> None:
        """Change what happens to what is sent."""
        with self._changed:
            self._state = state
            self._changed.notify_all()
        if state == CUT:
            self._break_all()

    def close(self) -> None:
        self.set(CUT)
        self._listener.close()

    def _break_all(self) -> None:
        for end in tuple(self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=(near,), daemon=True).start()

    def _connect(self, near: socket.socket) -> None:
        if self._waits() == CUT:
            near.close()
            return
        far = self._reach()
        if far is None:
            near.close()
            return
        self._ends |= {near, far}
        back = threading.Thread(target=self._pump, args=(far, near), daemon=True)
        back.start()
        self._pump(near, far)
        back.join()
        self._ends -= {near, far}
        near.close()
        far.close()

    def _reach(self) -> socket.socket | None:
        """A connection to the target, if there is one to be had."""
        far = socket.socket(socket.AF_UNIX if isinstance(self._target, str) else socket.AF_INET)
        try:
            far.connect(self._target)
        except OSError:
            far.close()
            return None
        return far

    def _waits(self) -> str:
        """Wait while it is stalled; the state then."""
        with self._changed:
            self._changed.wait_for(lambda: self._state != STALLED)
            return self._state

    def _receive(self, source: socket.socket) -> bytes:
        return source.recv(65536)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := self._receive(source):
                if self._waits() == CUT:
                    break
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
