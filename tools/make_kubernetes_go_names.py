"""Write the names that Go has for the fields of Kubernetes' types, as its decoder says them.

    go mod download k8s.io/api@v0.36.3 k8s.io/apimachinery@v0.36.3 k8s.io/apiextensions-apiserver@v0.36.3
    python tools/make_kubernetes_go_names.py <folder k8s.io of the module cache> v0.36.3

A wrong type is told as ``json: cannot unmarshal number into Go struct field Probe.livenessProbe.
ProbeHandler.httpGet of type v1.HTTPGetAction``: with embedded structs in the path, and named types.
Neither stands in the published OpenAPI document. Only what our schemas have is kept.
"""  # noqa: E501

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOM = Path(__file__).parent.parent / "src/poolwright/kubesim"
PACKAGES = ("api/*/v1", "api/autoscaling/v2", "apimachinery/pkg/apis/meta/v1",
            "apiextensions-apiserver/pkg/apis/apiextensions/v1")  # fmt: skip
_IMPORT = re.compile(r'^\s+(\w+ )?"(k8s\.io/[^"]+)"$', re.MULTILINE)
_NAMED = re.compile(r"^type (\w+) (?:string|int\d*|bool|\[\]byte)$", re.MULTILINE)
_STRUCT = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r'^\t(?:(\w+)[ \t]+)?([*\[\]\w.]+)[ \t]+`[^`]*\bjson:"(\w*)(,inline)?[^`]*`',
                    re.MULTILINE)  # fmt: skip


def packages(root: Path, version: str) -> Iterator[tuple[str, str]]:
    """Every package by its path below ``k8s.io``, with its source."""
    for pattern in PACKAGES:
        module, _, inner = pattern.partition("/")
        home = root / f"{module}@{version}"
        for folder in sorted(home.glob(inner)):
            source = "\n".join(path.read_text() for path in sorted(folder.glob("*types*.go")))
            yield f"{module}/{folder.relative_to(home)}", source


def field_names(source: str, package: str, named: set[str]) -> Iterator[tuple[str, str, str]]:
    """Struct, member, and what Go says of it: its named type, or ``Struct.`` that it is in."""
    imports = {alias.strip() or path.rpartition("/")[2]: path for alias, path in
               _IMPORT.findall(source)}  # fmt: skip
    here = package.rpartition("/")[2]
    structs = {name: _FIELD.findall(body) for name, body in _STRUCT.findall(source)}
    for struct, fields in structs.items():
        for field, type_, member, inline in fields:
            plain = type_.lstrip("*[]")
            if inline and (member == "" and field in {"", plain.rpartition(".")[2]}):
                for *_, inner, _ in structs.get(plain, ()):
                    yield struct, inner, f"{plain}."
                continue
            alias, _, name = plain.rpartition(".")
            path = imports.get(alias, "").removeprefix("k8s.io/") if alias else package
            said = f"{path.rpartition('/')[2] or here}.{name}"
            if f"{path}.{name}" in named or said.startswith("types."):
                yield struct, member, said


def main() -> None:
    """Write the file."""
    root, version = Path(sys.argv[1]), sys.argv[2]
    found = dict(packages(root, version))
    named = {f"{path}.{name}" for path, source in found.items() for name in _NAMED.findall(source)}
    schemas = json.loads((ROOM / "schemas.json").read_text())
    names: dict[str, dict[str, str]] = {}
    for path, source in found.items():
        for struct, member, said in field_names(source, path, named):
            schema = f"io.k8s.{path.replace('/', '.')}.{struct}"
            if member in schemas.get(schema, {}).get("properties", {}):
                names.setdefault(schema, {})[member] = said
    text = json.dumps(dict(sorted(names.items())), separators=(",", ":"), sort_keys=True)
    (ROOM / "go_names.json").write_text(text.replace("},", "},\n") + "\n")


if __name__ == "__main__":
    main()
