"""uvicorn's WebSocket protocol, for which an answer in HTTP ends a handshake as well.

Whoever may not exec into a pod is told so by a ``Status``, before any WebSocket is there. uvicorn
sends that (the ASGI extension ``websocket.http.response``), and then logs an error because the
handshake was not completed.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


class RefusableWebSocketProtocol(WebSocketsSansIOProtocol):
    """Takes a whole answer in HTTP for the end of a handshake."""

    async def send(self, message: Any) -> None:
        """Send what the application says."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True
