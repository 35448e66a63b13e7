"""uvicorn's HTTP protocol, with a deadline for the head of a request.

uvicorn waits for ever for a client that says nothing, or says its headers a byte at a time: enough
of those take every file descriptor of the server. The body has a deadline of its own, in ``arm``;
a connection that is kept open between requests is closed by uvicorn's ``timeout_keep_alive``.
"""

from __future__ import annotations

import asyncio

from poolwright.app.joined_writes import JoinedHttpProtocol

HEAD_SECONDS = 30.0
"""Real time that the head of a request may take, from connecting or from its first byte. Chosen:
the same as the body's default; browsers and proxies use 20 to 60 s."""
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class TimelyHttpProtocol(JoinedHttpProtocol):
    """Closes connections on which the head of a request takes too long."""

    _deadline: asyncio.TimerHandle | None = None
    _has_begun = False

    def connection_made(  # type: ignore[override]  # as the base, which narrows it too
        self, transport: asyncio.Transport
    ) -> None:
        """Start to speak HTTP, and to wait for a first request."""
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone; nobody is waited for."""
        self._forget()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._has_begun = True
        if self._deadline is None:
            self._expect()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._forget()
        self._has_begun = False
        super().on_headers_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """No line in the log: where WebSocket was refused, kubectl asks for SPDY, and the answer to
        that is the same refusal, in HTTP.
        """

    def _expect(self) -> None:
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if self.transport.is_closing():
            return
        if self._has_begun:
            self.transport.write(_TOO_SLOW)
        self.transport.close()
