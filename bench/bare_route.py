"""A bare Starlette route that returns given bytes: the ceiling of what our stack can answer.

Run: python bench/bare_route.py PORT CERTIFICATE KEY BODY_FILE
uvicorn as it is, one worker, the same TLS files; no routing beside this one path, no tokens, no
headers but the content's own.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

PATH = "/subscriptions/{s}/resourceGroups/{g}/pools/{p}"


def main() -> None:
    body = Path(sys.argv[4]).read_bytes()

    async def show(request: Request) -> Response:
        return Response(body, media_type="application/json")

    # IPPROTO_TCP: without it asyncio leaves Nagle's algorithm on, and every answer waits 40 ms.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", int(sys.argv[1])))
    config = uvicorn.Config(
        Starlette(routes=[Route(PATH, show)]),
        http="httptools",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        ssl_certfile=sys.argv[2],
        ssl_keyfile=sys.argv[3],
    )
    asyncio.run(uvicorn.Server(config).serve([listening]))


if __name__ == "__main__":
    main()
