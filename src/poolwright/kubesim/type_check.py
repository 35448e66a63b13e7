"""Says in the status of every admission policy where its expressions do not fit the objects that
it matches.

Source: k8s.io/apiserver pkg/admission/plugin/policy/validating/typechecking.go (which types, which
expressions, wording), k8s.io/kubernetes pkg/controller/validatingadmissionpolicystatus.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from poolwright.kubesim import cel
from poolwright.kubesim.apply import applied_object
from poolwright.kubesim.catalog import Catalog
from poolwright.kubesim.cel_schema import composed, kept_of, policy_variables, type_of, type_of_kind
from poolwright.kubesim.cel_type import DYN, Type
from poolwright.kubesim.meta import WriteOptions
from poolwright.kubesim.registry import Registry
from poolwright.kubesim.schema import schema_name, shape_of
from poolwright.kubesim.status import StatusError
from poolwright.model.instant import wall_text
from poolwright.model.json_value import Json, child, children
from poolwright.model.kubernetes import ADMISSION_POLICIES, Resource

MANAGER = "validatingadmissionpolicy-status-controller"
TYPES_MAX = 10


async def keep_policies(registry: Registry) -> None:
    """Check every policy when it comes and when it changes; runs until cancelled."""
    async with registry.changes((ADMISSION_POLICIES,)) as queue:
        for entry in registry.list(ADMISSION_POLICIES):
            await _keep(registry, entry.object())
        while True:
            change = await queue.get()
            if change.type != "DELETED":
                await _keep(registry, change.new.object())


async def _keep(registry: Registry, policy: Json) -> None:
    generation = policy["metadata"].get("generation", 1)
    if generation <= int(child(policy, "status").get("observedGeneration") or 0):
        return
    warnings = list(expression_warnings(registry.catalog, policy))
    checked = {"expressionWarnings": warnings} if warnings else {}
    wanted = {
        "apiVersion": ADMISSION_POLICIES.api_version,
        "kind": ADMISSION_POLICIES.kind,
        "metadata": {"name": policy["metadata"]["name"]},
        "status": {"observedGeneration": generation, "typeChecking": checked},
    }
    time = wall_text(registry.clock.now().wall)

    def mutate(live: dict[str, Any]) -> dict[str, Any]:
        return applied_object(
            live,
            wanted,
            shape_of(ADMISSION_POLICIES),
            manager=MANAGER,
            force=True,
            subresource="status",
            time=time,
        )

    try:
        await registry.update(
            ADMISSION_POLICIES,
            policy["metadata"]["name"],
            mutate,
            subresource="status",
            options=WriteOptions(applied=True),
        )
    except StatusError as error:
        if error.reason not in {"Conflict", "Forbidden", "Invalid", "NotFound"}:
            raise


def expression_warnings(catalog: Catalog, policy: Json) -> Iterator[dict[str, str]]:
    """What does not fit, expression by expression."""
    matched = [
        (_shown(resource), found)
        for resource in _resources(catalog, policy)
        if (found := _type_of_resource(catalog, resource)) is not None
    ]
    known = [(shown, _known(catalog, policy, found)) for shown, found in matched]
    for position, validation in enumerate(children(policy, "spec", "validations")):
        for member in ("expression", "messageExpression"):
            text = str(validation.get(member) or "")
            problems = [
                f"{shown}: {problem}\n"
                for shown, variables in (known if text else ())
                if (problem := _problem(text, variables))
            ]
            if problems:
                where = f"spec.validations[{position}].{member}"
                yield {"fieldRef": where, "warning": "\n".join(problems)}


def _problem(text: str, known: Mapping[str, Type]) -> str:
    try:
        cel.check(text, known)
    except cel.CelError as error:
        return str(error)
    return ""


def _known(catalog: Catalog, policy: Json, object_: Type) -> dict[str, Type]:
    """The variables of a policy whose objects are of one type."""
    params = child(policy, "spec").get("paramKind")
    known = policy_variables(
        object_=object_, params=_type_of_params(catalog, params) if params else None
    )
    found: dict[str, Type] = {}
    known |= composed(found)
    for variable in children(policy, "spec", "variables"):
        try:
            result = kept_of(cel.check(str(variable.get("expression") or ""), known))
        except cel.CelError:
            result = DYN
        found[str(variable.get("name") or "")] = result
    return known


def _shown(resource: Resource) -> str:
    return f"{resource.group}/{resource.version}, Kind={resource.kind}"


def _resources(catalog: Catalog, policy: Json) -> Sequence[Resource]:
    """The kinds that rules without wildcards name, in order."""
    found: dict[tuple[str, str, str], Resource] = {}
    for rule in children(policy, "spec", "matchConstraints", "resourceRules"):
        groups, versions = (sorted(rule.get(name) or ()) for name in ("apiGroups", "apiVersions"))
        if any("*" in word for word in (*groups, *versions)):
            continue
        words = sorted(rule.get("resources") or ())
        plurals = [word for word in words if "*" not in word and "/" not in word]
        named = ((g, v, plural) for g in groups for v in versions for plural in plurals)
        views = [catalog.views[key] for key in named if key in catalog.views]
        for view in views[:TYPES_MAX]:
            resource = view.resource
            found[resource.group, resource.version, resource.kind] = resource
        if len(views) >= TYPES_MAX:
            break
    return [found[key] for key in sorted(found)]


def _type_of_resource(catalog: Catalog, resource: Resource) -> Type | None:
    view = catalog.views[resource.group, resource.version, resource.plural]
    if view.kind.declared is not None:
        return type_of(view.kind.declared.schema, resource.kind, is_root=True)
    name = schema_name(resource.group, resource.version, resource.kind)
    return type_of_kind(name, resource.kind) if name else None


def _type_of_params(catalog: Catalog, kind: Mapping[str, Any]) -> Type:
    group, _, version = str(kind.get("apiVersion") or "").rpartition("/")
    for view in catalog.views.values():
        resource = view.resource
        if (resource.group, resource.version, resource.kind) == (group, version, kind.get("kind")):
            return _type_of_resource(catalog, resource) or DYN
    return DYN
