"""``tar`` in a simulated container, on archives as others write them."""

import io
import tarfile
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolwright.providers.simulated.archive import listed, pack, reads, unpack

NAMES = ["a", "d/" + "q" * 90 + "é", "l" * 99 + "/é/" + "z" * 60]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def archive(form, names=NAMES, content=b"123456" * 100):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:", format=form) as packed:
        packed.addfile(tarfile.TarInfo("folder"))
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    return made.getvalue().decode(errors="surrogateescape")


def unpacked(text, args=("-xmf", "-", "-C", "/to")):
    files = {}
    return unpack(args, text, files.__setitem__), files


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_each_form_is_read(form):
    done, files = unpacked(archive(form))
    assert done.code == 0
    assert files == {f"/to/{name}": "123456" * 100 for name in ("folder", *NAMES)} | {
        "/to/folder": ""
    }


def test_nothing_is_written_above_and_what_is_packed_comes_back():
    _, files = unpacked(archive(tarfile.PAX_FORMAT, ["../up", "/root", "a/../b"]))
    assert sorted(files) == ["/to/folder", "/to/root"]
    packed = pack(["cf", "-", "/to"], files, NOW)
    assert unpacked(packed.output, ["xf", "-"])[1] == files
    assert listed(files, "/to/") == ["folder", "root"]
    assert pack(["cf", "-", "/none"], files, NOW).code == 2
    assert pack(["tf", "-", "/to"], files, NOW) is None


def test_what_is_read_is_known():
    assert reads(["--no-same-owner", "-xmf", "-"])
    assert reads(["xf", "-", "-C", "/"])
    assert not reads(["cf", "-", "/"])
    assert not reads(["xf", "file"])


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_archive_breaks_it(data):
    bent = bytearray(archive(tarfile.PAX_FORMAT).encode(errors="surrogateescape")[:6000])
    for _ in range(data.draw(st.integers(1, 5))):
        bent[data.draw(st.integers(0, len(bent) - 1))] = data.draw(st.integers(0, 255))
    text = bytes(bent[: data.draw(st.integers(0, len(bent)))]).decode(errors="surrogateescape")
    assert unpacked(text)[0].code in (0, 2)
