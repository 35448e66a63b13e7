"""Tokens that change in their file while requests go on."""

from __future__ import annotations

import os

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from poolwright.kube.asgi_transport import AsgiTransport
from poolwright.kube.client import Endpoint, HttpKube
from poolwright.kube.token_file import TokenFile, TokenFileTransport
from poolwright.model.errors import InvalidRequest, Transient
from poolwright.sim.loop import run


class Volume:
    """A projected volume as kubelet writes it: files behind a link to a folder, swapped whole."""

    def __init__(self, root):
        self.root = root
        self.token = root / "token"
        self._count = 0
        self.write("first")
        self.token.symlink_to("..data/token")

    def write(self, text):
        self._count += 1
        folder = self.root / f"..{self._count}"
        folder.mkdir()
        (folder / "token").write_text(text)
        os.utime(folder / "token", ns=(0, 0))  # a clock that stands still hides no change
        (self.root / "..data_tmp").symlink_to(folder.name)
        (self.root / "..data_tmp").replace(self.root / "..data")


@pytest.fixture
def volume(tmp_path):
    return Volume(tmp_path)


def test_a_new_token_is_seen_at_once(volume):
    token = TokenFile(volume.token)
    assert token.current() == "first"
    volume.write("second\n")
    assert token.current() == "second"


def test_a_token_written_in_place_is_seen(tmp_path):
    path = tmp_path / "token"
    path.write_text("first")
    token = TokenFile(path)
    path.write_text("other")
    os.utime(path, ns=(1, 1))
    assert token.current() == "other"


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff"])
def test_the_last_token_serves_while_the_file_has_none(tmp_path, content):
    path = tmp_path / "token"
    path.write_text("first")
    token = TokenFile(path)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert token.current() == "first"
    path.unlink(missing_ok=True)
    path.write_text("third")
    assert token.current() == "third"


def test_a_file_without_a_token_is_refused(tmp_path):
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(InvalidRequest, match="has no token"):
        TokenFile(tmp_path / "empty")
    with pytest.raises(InvalidRequest, match="No such file"):
        TokenFile(tmp_path / "absent")


def test_requests_go_on_over_a_rotation(volume):
    """The server forgets the first token; no request of ours is refused, and none needs a retry."""
    valid, seen = ["first"], []

    async def version(request):
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        seen.append(given)
        if given not in valid:
            return JSONResponse({"kind": "Status", "code": 401}, status_code=401)
        return JSONResponse({"gitVersion": "v1.36.0"})

    async def main():
        app = Starlette(routes=[Route("/version", version)])
        async with AsgiTransport(app) as server:
            transport: httpx.AsyncBaseTransport = TokenFileTransport(
                server, TokenFile(volume.token)
            )

            async def connect():
                return Endpoint(transport, "https://localhost:1", "")

            kube = HttpKube(connect)
            assert await kube.version() == "v1.36.0"
            volume.write("second")
            valid[:] = ["second"]
            assert await kube.version() == "v1.36.0"
            valid[:] = ["third"]
            with pytest.raises(Transient):  # revoked before it was renewed: tried again later
                await kube.version()
            volume.write("third")
            assert await kube.version() == "v1.36.0"

    run(main())
    assert seen == ["first", "second", "second", "third"]
