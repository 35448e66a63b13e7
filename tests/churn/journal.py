"""What the clients write down, line by line, and how it is read.

A key is ``resource/namespace/name``. An item is key, resourceVersion, mark, color, node. The mark
is an annotation that names the write that made a state; color is a label, node a field: watches
select by them. Times are nanoseconds of the machine's clock; began and ended enclose a call.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

Item = tuple[str, str, str, str, str]


class Line(msgspec.Struct, omit_defaults=True):
    """One line. ``what`` is:

    ``list``: what a watcher found at a resourceVersion (``verb``: how it asked);
    ``watch``: it goes on from one; ``event``, ``bookmark``: what it was told;
    ``gone``: it was told that it must list again; ``store``: what an informer holds;
    ``write``: a call of a writer and how it ended (``out``: ok, conflict, missing, exists, refused,
    or doubt if there was no answer);
    ``refused``: an answer that nobody should get; ``late``: the end was not seen in time;
    ``server``: what was done to the server (``verb``).
    """

    what: str = msgspec.field(name="is")
    watch: str = ""
    type: str = ""
    key: str = ""
    rv: int = 0
    uid: str = ""
    mark: str = ""
    color: str = ""
    node: str = ""
    by: str = ""
    verb: str = ""
    out: str = ""
    text: str = ""
    began: int = 0
    ended: int = 0
    items: list[Item] = []


@dataclass(frozen=True, slots=True)
class Scope:
    """What a watch selects."""

    resource: str
    namespace: str = ""
    color: str = ""
    node: str = ""

    def reaches(self, key: str) -> bool:
        """Whether an object of that key can be selected."""
        if not self.namespace:
            return True
        return key.split("/", 2)[1] == self.namespace

    def selects(self, color: str, node: str) -> bool:
        return self.color in {"", color} and self.node in {"", node}

    @property
    def is_plain(self) -> bool:
        """Whether an object is selected for all its life."""
        return not self.color and not self.node


def scope_of(watch: str) -> Scope:
    """What the name of a watch says: ``go red configmaps in churn-b``, ``go pods on node-0``."""
    words = watch.split(",", maxsplit=1)[0].split()[1:]
    color = "red" if words[0] == "red" else ""
    resource, *rest = words[1:] if color else words
    where = dict(zip(rest[::2], rest[1::2], strict=True))
    return Scope(resource, where.get("in", ""), color, where.get("on", ""))


def read(*paths: Path) -> Iterator[Line]:
    """The lines of journals; a last line that was cut off is an error."""
    decoder = msgspec.json.Decoder(Line)
    for path in paths:
        with path.open("rb") as file:
            for text in file:
                yield decoder.decode(text)
