"""A bearer token that somebody else keeps renewing in a file, as kubelet does in pods.

Source: client-go reads such a file again after a minute (transport/token_source.go); a look at the
file's times costs microseconds and is not late.
"""

from __future__ import annotations

from pathlib import Path

import httpx

from poolwright.model.errors import InvalidRequest


class TokenFile:
    """The token that is in a file now.

    Raises:
        InvalidRequest: the file cannot be read, or is empty.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._stamp = self._look()
            self._token = self._read()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise InvalidRequest(f"{path} cannot be read: {reason}") from error
        if not self._token:
            raise InvalidRequest(f"{path} has no token")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TokenFile) and self._path == other._path

    def __hash__(self) -> int:
        return hash(self._path)

    def current(self) -> str:
        """The token; the last good one while the file is away, empty or torn."""
        try:
            stamp = self._look()
            if stamp != self._stamp:
                self._token = self._read() or self._token
                self._stamp = stamp
        except (OSError, UnicodeDecodeError):
            pass
        return self._token

    def _look(self) -> tuple[int, int, int]:
        found = self._path.stat()  # through kubelet's links, which change at once
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _read(self) -> str:
        return self._path.read_text("ascii").strip()


class TokenFileTransport(httpx.AsyncBaseTransport):
    """Comes with the token that is in the file when a request is sent."""

    def __init__(self, transport: httpx.AsyncBaseTransport, token: TokenFile) -> None:
        self._transport = transport
        self._token = token

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it with the token."""
        request.headers["Authorization"] = f"Bearer {self._token.current()}"
        return await self._transport.handle_async_request(request)

    async def aclose(self) -> None:
        """Close what is beneath."""
        await self._transport.aclose()
