"""``tar`` as ``kubectl cp`` asks for it, on the files that commands left in a container."""

from __future__ import annotations

import io
import posixpath
import re
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from poolwright.providers.simulated.filter import to_bytes


@dataclass(frozen=True, slots=True)
class Packed:
    """What the program prints, says and ends with."""

    output: str = ""
    complaint: str = ""
    code: int = 0


def reads(args: Sequence[str]) -> bool:
    """Whether an archive is taken apart that comes by the standard input."""
    return _flags(args).endswith("xf") and "-" in args


def unpack(args: Sequence[str], archive: str, write: Callable[[str, str], None]) -> Packed:
    """``tar -xmf - [-C DIRECTORY]``.

    Raises:
        ValueError: there is no room for it.
    """
    where = args[args.index("-C") + 1] if "-C" in args[:-1] else "/"
    found = _members(to_bytes(archive))
    if found is None:
        return Packed(complaint="tar: This does not look like a tar archive\n", code=2)
    for name, content in found:
        if ".." not in name.split("/"):
            text = content.decode(errors="surrogateescape")
            write(posixpath.join("/", where, name.lstrip("/")), text)
    return Packed()


_BLOCK = 512
_MOST_MEMBERS = 1000
_SIZE = re.compile(rb"[0-7]{1,11}")
_LONG_NAME = re.compile(rb"(?:^|\n)\d+ path=([^\n]+)\n")


def _members(archive: bytes) -> list[tuple[str, bytes]] | None:
    """The names and contents of plain files; None if it is no archive. Strangers send it, and
    Python's own reader can be kept busy for ever (CVE-2025-8194).
    """
    found: list[tuple[str, bytes]] = []
    at, long_name = 0, b""
    while any(head := archive[at : at + _BLOCK]):
        size = _SIZE.fullmatch(head[124:136].strip(b"\0 "))
        signs = head[148:156].strip(b"\0 ")
        total = sum(head[:148]) + sum(b" " * 8) + sum(head[156:])
        if (
            len(found) > _MOST_MEMBERS
            or size is None
            or not _SIZE.fullmatch(signs)
            or int(signs, 8) != total
        ):
            return None
        start, length = at + _BLOCK, int(size[0], 8)
        content, at = archive[start : start + length], start + -(-length // _BLOCK) * _BLOCK
        match head[156:157]:
            case b"x":
                long_name = (_LONG_NAME.findall(content) or [b""])[-1]
                continue
            case b"L":
                long_name = content.rstrip(b"\0")
                continue
            case b"0" | b"\0":
                above = head[345:500] if head[257:263] == b"ustar\0" else b""
                parts = (above, head[:100])
                name = long_name or b"/".join(p for each in parts if (p := each.rstrip(b"\0")))
                found.append((name.decode(errors="surrogateescape"), content))
            case _:
                pass
        long_name = b""
    return found if archive else None


def pack(args: Sequence[str], files: Mapping[str, str], now: datetime) -> Packed | None:
    """``tar cf - PATH``; None if it is asked for something else."""
    if _flags(args) != "cf" or len(args) != 3 or args[1] != "-":
        return None
    path = posixpath.join("/", args[2]).rstrip("/")
    found = sorted(name for name in files if name == path or name.startswith(path + "/"))
    if not found:
        return Packed("", f"tar: {args[2]}: Cannot stat: No such file or directory\n", 2)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:") as packed:
        for name in found:
            member, content = tarfile.TarInfo(name.lstrip("/")), to_bytes(files[name])
            member.size, member.mtime = len(content), int(now.timestamp())
            packed.addfile(member, io.BytesIO(content))
    return Packed(archive.getvalue().decode(errors="surrogateescape"))


def listed(files: Mapping[str, str], path: str) -> list[str]:
    """What ``ls`` prints of a path: the file, or what is below it; nothing if neither is there."""
    if path in files:
        return [path]
    above = path.rstrip("/") + "/"
    below = (name.removeprefix(above) for name in files if name.startswith(above))
    return sorted({name.partition("/")[0] for name in below}) if above != "/" else []


def _flags(args: Sequence[str]) -> str:
    """The letters that say what to do, without those that change nothing here."""
    short = [arg for arg in args if not arg.startswith("--")]
    return short[0].lstrip("-").replace("m", "") if short else ""
