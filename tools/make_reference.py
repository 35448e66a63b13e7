"""Write docs/reference from the product's own tables. ``make docs`` (a test compares).

python tools/make_reference.py          # write
python tools/make_reference.py --check  # exit 1 and name the pages that would change
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
import sys
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeGuard

import kubernetes_differences
import typer.main

from poolwright.app.cli.main import app
from poolwright.app.settings import Settings
from poolwright.arm import routes, scarcity
from poolwright.arm.api_versions import CONTAINER_SERVICE, is_preview
from poolwright.arm.errors import FRONT_DOOR_CODES, STATUS_BY_CLASS, STATUS_BY_CODE
from poolwright.arm.properties import agent_pool, managed_cluster
from poolwright.arm.properties.table import NO_EFFECT, Property, Table, Wire
from poolwright.arm.routing import Access, Route
from poolwright.kubesim.api.discovery import _verbs_of as verbs_of
from poolwright.kubesim.api.review import REVIEWS
from poolwright.kubesim.cel_library import _ROWS
from poolwright.kubesim.version import VIEWS
from poolwright.providers.simulated.scarce import FAILURES
from poolwright.telemetry.gpu_metrics import _FIGURES

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src/poolwright"
FOLDER = ROOT / "docs/reference"
HEAD = "<!-- made by tools/make_reference.py; run `make docs` -->\n\n"

DEFAULT = "default_code"
"""What a class of errors calls the code that it has where no other is given."""

NOT_SETTABLE = {"arm.is_loopback", "kubernetes.server_url", "kubernetes.ca_pem"}
"""Fields of settings that the server works out itself."""

KUBERNETES = {
    "": "componentstatuses",
    "admissionregistration.k8s.io": "mutatingwebhookconfigurations validatingwebhookconfigurations",
    "apiregistration.k8s.io": "apiservices",
    "authentication.k8s.io": "selfsubjectreviews tokenreviews",
    "certificates.k8s.io": "certificatesigningrequests",
    "discovery.k8s.io": "endpointslices",
    "flowcontrol.apiserver.k8s.io": "flowschemas prioritylevelconfigurations",
    "networking.k8s.io": "ingressclasses ingresses ipaddresses networkpolicies servicecidrs",
    "policy": "poddisruptionbudgets",
    "storage.k8s.io": "csidrivers csinodes csistoragecapacities storageclasses volumeattachments",
}
"""Resources of a real cluster, by group, that somebody may look for here."""


def rows(head: Iterable[str], body: Iterable[Iterable[object]]) -> str:
    """A Markdown table."""
    titles = list(head)
    lines = [titles, ["---"] * len(titles), *([cell(each) for each in row] for row in body)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|").replace("``", "`")


def code(value: object) -> str:
    return "" if value is None or value == "" else f"`{value}`"


def sentence(documented: object) -> str:
    """The first paragraph of a docstring."""
    return " ".join((inspect.getdoc(documented) or "").split("\n\n")[0].split())


def first_and_last(versions: tuple[str, ...] | None) -> str:
    if versions is None:
        return "any date"
    if versions == CONTAINER_SERVICE:
        return "all"
    released = [each for each in versions if not is_preview(each)]
    previews = [each for each in versions if is_preview(each)]
    return ", ".join(f"from {each[0]}" for each in (released, previews) if each)


# --- ARM --------------------------------------------------------------------------------------


def operations() -> str:
    by_type: dict[str, list[Route]] = {}
    for route in routes.ROUTES:
        name = f"{route.namespace}/{route.resource_type}" if route.namespace else "resource manager"
        by_type.setdefault(name, []).append(route)
    text = (
        "# ARM operations\n\nEvery route of the ARM front. Paths ignore case. All but those marked "
        "*public* need a bearer token and an api-version; [properties](agent-pool.md) and "
        "[errors](errors.md) have pages of their own.\n\n"
        f"Api-versions of managedClusters and what is below it ({len(CONTAINER_SERVICE)}): "
        f"{', '.join(CONTAINER_SERVICE)}.\n"
    )
    for name in sorted(by_type):
        text += f"\n## {name}\n\n" + rows(
            ("method", "path", "", "api-versions"),
            (
                (
                    route.method,
                    code(route.template),
                    sentence(route.handler),
                    "*public*" if route.access is Access.PUBLIC else first_and_last(route.versions),
                )
                for route in by_type[name]
            ),
        )
    return text


def property_versions(row: Property) -> str:
    parts = [f"from {row.released}"] if row.released else ["previews only"]
    if row.previewed:
        parts.append(f"from {row.previewed}")
    if row.until:
        parts.append(f"until {row.until}")
    return ", ".join(parts)


def property_type(row: Property) -> str:
    if row.enum:
        many = "list of " if row.type is Wire.STRINGS else ""
        return many + ", ".join(code(str(each)) for each in row.enum)
    name = {Wire.PARENT: "object", Wire.INSTALL_DRIVER: "bool"}.get(row.type, row.type.value)
    return f"{name} {row.range[0]}-{row.range[1]}" if row.range else name


def properties(title: str, table: Table, note: str) -> str:
    effective = sum(row.effect != NO_EFFECT for row in table.rows)
    return (
        f"# Properties of {title}\n\nBelow `properties`, in the order that answers have them. "
        f"{note} {effective} of {len(table.rows)} rows have an effect; the others are checked, "
        f'kept and shown ("{NO_EFFECT}").\n\n'
        "*default* is what reads show where nothing was given; the defaults of rows with an effect "
        "are worked out from the size, the cluster and the api-version. *source*: SDK is "
        "azure-mgmt-containerservice, DOC the AKS documentation, CL its release notes, REC "
        "recorded answers, seed the specification of this product.\n\n"
    ) + rows(
        ("property", "type or values", "api-versions", "change", "default", "effect", "source"),
        (
            (
                code(row.path),
                property_type(row),
                property_versions(row),
                row.change.value,
                "" if row.default is None else code(json.dumps(row.default)),
                row.effect,
                row.source,
            )
            for row in table.rows
        ),
    )


def agent_pool_page() -> str:
    note = "Unknown names are refused from 2024-01-01 on."
    return properties("managedClusters/agentPools", agent_pool.TABLE, note)


def managed_cluster_page() -> str:
    note = "Every other name that the published models know is kept and shown as sent."
    return properties("managedClusters", managed_cluster.TABLE, note)


# --- errors -----------------------------------------------------------------------------------


def literals() -> Iterator[tuple[str, str, str]]:
    """Codes that the sources name: code, message (if it is a literal beside it), module."""
    for room in ("model", "plan", "arm", "control", "providers"):
        for path in sorted((SOURCE / room).rglob("*.py")):
            if path.stem == "kubelet_api":  # its errors are Kubernetes' own
                continue
            tree = ast.parse(path.read_text())
            where = path.relative_to(SOURCE).as_posix()
            for node in ast.walk(tree):
                if isinstance(node, ast.Call):
                    yield from ((*found, where) for found in _codes_of(node))
                elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == DEFAULT:
                    yield _text(node.value), "", where


def _codes_of(call: ast.Call) -> Iterator[tuple[str, str]]:
    name = ast.unparse(call.func).rpartition(".")[2]
    if name == "KnownError" and len(call.args) >= 3:
        yield _text(call.args[0]), _text(call.args[2])
        return
    for keyword in call.keywords:
        if keyword.arg == "code" and (found := _text(keyword.value)):
            yield found, _text(call.args[0]) if call.args else ""


def _text(node: ast.expr) -> str:
    """A literal's text; the values of an f-string are shown as dots."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(
            _text(part) if isinstance(part, ast.Constant) else "…" for part in node.values
        )
    return ""


def errors() -> str:
    found: dict[str, dict[str, None]] = {}
    places: dict[str, dict[str, None]] = {}
    for name, message, where in literals():
        if name.isidentifier() and name[0].isupper():
            found.setdefault(name, {})
            if message:
                found[name][message] = None
            places.setdefault(name, {})[where] = None
    by_class = rows(
        ("error", "status"),
        ((code(kind.__name__), status) for kind, status in STATUS_BY_CLASS.items()),
    )
    by_code = rows(("code", "status"), ((code(k), v) for k, v in STATUS_BY_CODE.items()))
    return (
        '# Errors\n\nThe ARM front door wraps its errors (`{"error": {"code", "message"}}`); '
        'the AKS provider\'s are flat (`{"code", "details", "message", "subcode"}`). The '
        "status follows from the kind of error, but for a few codes.\n\n"
        f"{by_class}\n{by_code}\n## Codes\n\nMessages as the sources have them: names in braces "
        "and dots are filled in; where it is put together from parts, none is shown.\n\n"
    ) + rows(
        ("code", "wrapped", "messages", "raised in"),
        (
            (
                code(name),
                "yes" if name in FRONT_DOOR_CODES else "",
                "<br>".join(found[name]),
                ", ".join(code(each) for each in places[name]),
            )
            for name in sorted(found)
        ),
    )


# --- settings and limits ----------------------------------------------------------------------


def attribute_docs(kind: type) -> dict[str, str]:
    """The docstrings below the fields of a dataclass."""
    body = ast.parse(inspect.cleandoc("\n" + inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    return dict(documented(body.body))


def documented(statements: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    """Assigned names and the string below them; one string is for all lines right above it."""
    waiting: list[tuple[str, int]] = []
    for node in statements:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if waiting and node.lineno != waiting[-1][1] + 1:
            yield from ((name, "") for name, _ in waiting)
            waiting = []
        if isinstance(target, ast.Name):
            waiting.append((target.id, node.end_lineno or node.lineno))
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            text = " ".join(str(node.value.value).split())
            yield from ((name, text) for name, _ in waiting)
            waiting = []
    yield from ((name, "") for name, _ in waiting)


def duration(value: timedelta) -> str:
    """A length of time as a setting takes it: ISO 8601."""
    seconds = value.total_seconds()
    for size, letter in ((3600, "H"), (60, "M")):
        if seconds and seconds % size == 0:
            return f"PT{seconds / size:g}{letter}"
    return f"PT{seconds:g}S"


def shown(value: Any) -> str:
    if isinstance(value, timedelta):
        return duration(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | Mapping) and not value:
        return "empty"
    if dataclasses.is_dataclass(value) or isinstance(value, tuple):
        return "see below" if isinstance(value, tuple) else "see the type"
    return "none" if value is None else repr(value).replace("'", '"')


def type_name(hint: Any) -> str:
    text = hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint)
    return re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Za-z])", "", text)


def setting_rows(kind: type, value: Any, path: str) -> Iterator[tuple[str, ...]]:
    hints, docs = typing.get_type_hints(kind), attribute_docs(kind)
    for each in dataclasses.fields(kind):
        here, inner = f"{path}.{each.name}", getattr(value, each.name)
        if here in NOT_SETTABLE or each.name == "raise_bugs":
            continue
        if dataclasses.is_dataclass(inner) and each.name != "scarcity":
            yield from setting_rows(type(inner), inner, here)
            continue
        variable = "POOLWRIGHT_" + here.replace(".", "__").upper()
        yield (
            code(here), code(type_name(hints[each.name])), code(shown(inner)),
            docs.get(each.name, ""), code(variable),
        )  # fmt: skip


def settings() -> str:
    tree = Settings()
    text = (
        "# Settings\n\n`poolwright up --config FILE` reads TOML; every setting can be given as an "
        "environment variable too (JSON, or text where it is no JSON). A later one wins: defaults, "
        'file, environment, options. Times are ISO 8601 (`"PT90S"`). An unknown name is an '
        "error.\n"
    )
    for part in dataclasses.fields(Settings):
        inner = getattr(tree, part.name)
        text += f"\n## [{part.name}]\n\n{sentence(type(inner))}\n\n" + rows(
            ("setting", "type", "default", "", "variable"),
            setting_rows(type(inner), inner, part.name),
        )
    scarce = type(tree.cloud.scarcity)
    text += "\n## Types\n\n"
    kinds = (
        scarce,
        *_element_types(scarce),
        *_element_types(type(tree.arm)),
        *_element_types(type(tree.adopt)),
    )
    for kind in kinds:
        names = ", ".join(code(each.name) for each in dataclasses.fields(kind))
        text += f"- `{kind.__name__}`: {names}. {sentence(kind)}\n"
    return text


def _element_types(kind: type) -> list[type]:
    hints = typing.get_type_hints(kind).values()
    inner = (each for hint in hints for each in typing.get_args(hint))
    return [each for each in inner if dataclasses.is_dataclass(each) and isinstance(each, type)]


def limits() -> str:
    tree = ast.parse((SOURCE / "model/limits.py").read_text())
    values = {name: text for name, text in documented(tree.body) if name.isupper()}
    sources = {
        node.targets[0].id: ast.unparse(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    return "# Limits\n\nConstants of the product (`model/limits.py`); no settings.\n\n" + rows(
        ("limit", "value", ""),
        ((code(name), code(sources[name]), values[name]) for name in values),
    )


# --- command line, Kubernetes, metrics, scarcity ----------------------------------------------


def commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    if hasattr(command, "commands"):
        for name in command.commands:
            yield from commands(command.commands[name], f"{path} {name}")
    else:
        yield path, command


def command_line() -> str:
    text = (
        "# Command line\n\nIn az's grammar. `poolwright up`, `demo`, `store` and `version` need "
        "nothing; the others talk to the server that `env.sh` names.\n"
    )
    for path, command in commands(typer.main.get_command(app), "poolwright"):
        help_text = " ".join((command.help or "").split("\n\n")[0].split())
        text += f"\n## {path}\n\n{help_text}\n"
        options = [each for each in command.params if "--help" not in each.opts]
        if options:
            text += "\n" + rows(
                ("option", ""),
                (
                    (
                        ", ".join(code(o) for o in [*each.opts, *each.secondary_opts]),
                        (getattr(each, "help", "") or "") + (" Required." if each.required else ""),
                    )
                    for each in options
                ),
            )
    return text


def kubernetes() -> str:
    offered = {(group, plural) for group, _, plural in [*VIEWS, *REVIEWS]}
    missing = [
        (group, plural)
        for group, names in KUBERNETES.items()
        for plural in names.split()
        if (group, plural) not in offered
    ]
    return (
        "# Embedded Kubernetes\n\nWhat every managed cluster serves. Beyond it a path answers 404, "
        "as on a cluster without that API; kinds that a CustomResourceDefinition declares are "
        "served too.\n\n"
        + rows(
            ("group", "version", "resource", "kind", "verbs", "subresources"),
            (
                (
                    group or "core",
                    version,
                    code(plural),
                    view.resource.kind,
                    ", ".join(verbs_of(view)),
                    ", ".join(view.kind.subresources),
                )
                for (group, version, plural), view in sorted(VIEWS.items())
            ),
        )
        + "\nOnly to be posted: "
        + ", ".join(code(review.kind) for _, review in sorted(REVIEWS.items()))
        + ".\n\n## Not offered; use a real cluster\n\n"
        + rows(("group", "resource"), ((group or "core", code(name)) for group, name in missing))
        + "\nWhy: [SCOPE.md](../../SCOPE.md).\n\n## CEL\n\nAdmission policies, rules of custom "
        "resources and selectors of device classes are evaluated by the CEL project's runtime, "
        "with its strings and optional functions and Kubernetes' own: "
        + ", ".join(code(name) for name in sorted({name for name, *_ in _ROWS}))
        + ".\n\nPolicies have `authorizer`, too. What cannot be is refused when a policy or a "
        "definition is made, with an API server's words; `status.typeChecking` of a policy says "
        "what does not fit the kinds that it matches. Not there: macros over two variables, and "
        "`sortBy`. Loops end after 10,000 steps, sooner than an API server ends them "
        "([ADR 8](../adr/0008-cel.md)).\n"
    )


def metric_rows() -> Iterator[tuple[str, ...]]:
    """The metrics that the telemetry's sources declare, in the order of its files."""
    for path in sorted((SOURCE / "telemetry").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            name = node.func.id if _is_named_call(node) else ""
            if name in {"Counter", "Gauge", "Histogram"}:
                title, text, *rest = (ast.literal_eval(each) for each in node.args[:3])
                labels: tuple[str, ...] = rest[0] if rest else ()
                total = "_total" if name == "Counter" else ""
                yield code(f"{title}{total}"), name.lower(), ", ".join(labels), text
    for title, text, _ in _FIGURES:
        yield code(title), "gauge", "cluster, agent_pool", text


def _is_named_call(node: ast.AST) -> TypeGuard[Any]:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name)


def metrics() -> str:
    return (
        "# Metrics\n\n`GET /metrics` in Prometheus' text format; how it is read, and the metrics "
        "of single GPUs: [guide](../guides/metrics.md). `process_…` and `python_info` are the "
        "client library's own.\n\n"
    ) + rows(("metric", "type", "labels", ""), metric_rows())


def scarcity_page() -> str:
    document = inspect.getdoc(scarcity) or ""
    verbs = [
        (code(path), " ".join((command.help or "").split("\n\n")[0].split()))
        for path, command in commands(typer.main.get_command(app), "poolwright")
        if path.startswith("poolwright scarcity")
    ]
    title, _, rest = document.partition("\n\n")
    return f"# Scarcity and faults on demand\n\n{title}\n\n```text\n{rest}\n```\n\n" + "\n".join(
        (
            rows(("command", ""), verbs),
            "## Failures that can be asked for\n",
            rows(
                ("code", "when", "message"),
                (
                    (
                        code(name),
                        f"at step {code(row.step)}" if row.step else "at once",
                        row.message,
                    )
                    for name, row in FAILURES.items()
                ),
            ),
        )
    )


PAGES: Mapping[str, tuple[str, Callable[[], str]]] = {
    "arm.md": ("ARM operations and api-versions", operations),
    "agent-pool.md": ("properties of agent pools", agent_pool_page),
    "managed-cluster.md": ("properties of managed clusters", managed_cluster_page),
    "errors.md": ("error codes, statuses and messages", errors),
    "scarcity.md": ("scarcity and faults: the endpoint and its commands", scarcity_page),
    "settings.md": ("settings, in TOML and as variables", settings),
    "limits.md": ("limits of the product", limits),
    "cli.md": ("the command line", command_line),
    "kubernetes.md": ("kinds of the embedded Kubernetes", kubernetes),
    "kubernetes-differences.md": (
        "the embedded Kubernetes beside the real one",
        kubernetes_differences.page,
    ),
    "metrics.md": ("metrics of the control plane", metrics),
}


def pages() -> dict[str, str]:
    """Every page by its file name."""
    index = "".join(f"- [{title}]({name})\n" for name, (title, _) in PAGES.items())
    made = {name: HEAD + make() for name, (_, make) in PAGES.items()}
    return {"README.md": f"{HEAD}# Reference\n\nMade from the code.\n\n{index}", **made}


def stale() -> list[str]:
    """Names of pages that are not what `pages` makes."""
    made = pages()
    there = {path.name: path.read_text() for path in FOLDER.glob("*.md")}
    return sorted(name for name in made.keys() | there.keys() if made.get(name) != there.get(name))


def main() -> None:
    found = stale()
    if "--check" in sys.argv:
        sys.exit(f"run `make docs`: {', '.join(found)}" if found else 0)
    FOLDER.mkdir(parents=True, exist_ok=True)
    made = pages()
    for name in found:
        if name in made:
            (FOLDER / name).write_text(made[name])
        else:
            (FOLDER / name).unlink()


if __name__ == "__main__":
    main()
