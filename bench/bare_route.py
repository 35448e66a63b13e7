"""A bare Starlette JSON route: the ceiling of what our stack can answer. PORT CERTIFICATE KEY."""

from __future__ import annotations

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

PATH = "/subscriptions/{s}/resourceGroups/{g}/pools/{p}"


async def show(request: Request) -> JSONResponse:
    return JSONResponse({"id": request.url.path, **request.path_params})


if __name__ == "__main__":
    uvicorn.run(
        Starlette(routes=[Route(PATH, show)]),
        host="localhost",
        port=int(sys.argv[1]),
        http="httptools",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        ssl_certfile=sys.argv[2],
        ssl_keyfile=sys.argv[3],
    )
