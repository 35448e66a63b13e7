"""From a template and its parameters to resources with dependencies, and to outputs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, cast

from poolwright.arm.template.functions import PURE_FUNCTIONS, duration, fail
from poolwright.arm.template.language import (
    Evaluator,
    Expression,
    Function,
    TemplateError,
    same_name,
)
from poolwright.model.json_value import Json, child

_COPY_MAX = 800  # resources of one copy loop; source: ARM template limits
_SECURE = {"securestring", "secureobject"}
_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "securestring": (str,),
    "int": (int,),
    "bool": (bool,),
    "object": (dict,),
    "secureobject": (dict,),
    "array": (list,),
}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a template may ask of the world.

    ``reference`` gives a deployed resource by id (whole body), or None while it is not there.
    """

    subscription: str
    tenant: str
    resource_group: Json
    deployment: str
    endpoint: str
    now: datetime
    new_guid: Callable[[], str]
    reference: Callable[[str], Json | None]


@dataclass(frozen=True, slots=True)
class TemplateResource:
    """One resource to deploy. ``depends_on`` holds ids; ``body`` is unevaluated until its
    dependencies are there, if it needs ``reference``.
    """

    id: str
    type: str
    name: str
    api_version: str
    depends_on: tuple[str, ...]
    raw: Json
    copy: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(slots=True)
class _Scope:
    """Where names are looked up while one template is evaluated."""

    parameters: dict[str, Any]
    raw_variables: Json
    surroundings: Surroundings
    variables: dict[str, Any] = field(default_factory=dict[str, Any])
    running: list[str] = field(default_factory=list[str])
    copy: Mapping[str, int] = field(default_factory=dict[str, int])
    references: list[str] = field(default_factory=list[str])
    identifiers: dict[str, str] = field(default_factory=dict[str, str])
    in_defaults: bool = False


def _arguments(evaluator: Evaluator, arguments: tuple[Expression, ...]) -> list[Any]:
    return [evaluator.run(argument) for argument in arguments]


def _parameters(evaluator: Evaluator, arguments: tuple[Expression, ...]) -> Any:
    scope = cast("_Scope", evaluator.scope)
    (name,) = _arguments(evaluator, arguments)
    found = same_name(scope.parameters, name)
    if found is None:
        raise TemplateError(
            f"The template parameter '{name}' is not found. Please see "
            "https://aka.ms/arm-syntax-parameters for usage details."
        )
    return scope.parameters[found]


def _variables(evaluator: Evaluator, arguments: tuple[Expression, ...]) -> Any:
    scope = cast("_Scope", evaluator.scope)
    (name,) = _arguments(evaluator, arguments)
    found = same_name(scope.raw_variables, name)
    if found is None:
        raise TemplateError(
            f"The template variable '{name}' is not found. Please see "
            "https://aka.ms/arm-syntax-variables for usage details."
        )
    if found not in scope.variables:
        if found in scope.running:
            raise TemplateError(f"Circular dependency detected on variable: '{name}'.")
        scope.running.append(found)
        scope.variables[found] = evaluator.value(scope.raw_variables[found])
        scope.running.pop()
    return scope.variables[found]


def _copy_index(evaluator: Evaluator, arguments: tuple[Expression, ...]) -> Any:
    scope = cast("_Scope", evaluator.scope)
    values = _arguments(evaluator, arguments)
    name = values[0] if values and isinstance(values[0], str) else ""
    offset = values[-1] if values and isinstance(values[-1], int) else 0
    if not scope.copy or (name and name not in scope.copy):
        raise fail("copyIndex", "it is used outside of its copy loop")
    return (scope.copy[name] if name else list(scope.copy.values())[-1]) + offset


def _resource_group(evaluator: Evaluator, arguments: tuple[Expression, ...]) -> Any:
    del arguments
    return dict(cast("_Scope", evaluator.scope).surroundings.resource_group)


def _subscription(evaluator: Evaluator, arguments: tuple[Expression, ...]) -> Any:
    del arguments
    here = cast("_Scope", evaluator.scope).surroundings
    return {
        "id": f"/subscriptions/{here.subscription}",
        "subscriptionId": here.subscription,
        "tenantId": here.tenant,
        "displayName": "",
    }


def _tenant(evaluator: Evaluator, arguments: tuple[Expression, ...]) -> Any:
    del arguments
    tenant = cast("_Scope", evaluator.scope).surroundings.tenant
    return {"tenantId": tenant, "displayName": "", "countryCode": ""}


def _deployment(evaluator: Evaluator, arguments: tuple[Expression, ...]) -> Any:
    del arguments
    here = cast("_Scope", evaluator.scope).surroundings
    return {"name": here.deployment, "properties": {"mode": "Incremental"}}


def _environment(evaluator: Evaluator, arguments: tuple[Expression, ...]) -> Any:
    del arguments
    endpoint = cast("_Scope", evaluator.scope).surroundings.endpoint
    return {"name": "Poolwright", "resourceManager": f"{endpoint}/"}


def _typed_id(root: str, values: list[Any], function: str) -> str:
    """``provider/type/sub``, names … → ``root/providers/provider/type/name/sub/subname``."""
    types = str(values[0]).split("/")
    names = [str(v) for v in values[1:]]
    if len(types) != len(names) + 1:
        raise fail(function, f"the type '{values[0]}' needs {len(types) - 1} name(s)")
    tail = "".join(f"/{t}/{n}" for t, n in zip(types[1:], names, strict=True))
    return f"{root}/providers/{types[0]}{tail}"


def _resource_id(evaluator: Evaluator, arguments: tuple[Expression, ...]) -> Any:
    here = cast("_Scope", evaluator.scope).surroundings
    values = _arguments(evaluator, arguments)
    subscription, group = here.subscription, str(here.resource_group["name"])
    before = [str(v) for v in values[: next((i for i, v in enumerate(values) if "/" in str(v)), 0)]]
    if len(before) == 1:
        group = before[0]
    elif len(before) == 2:
        subscription, group = before
    root = f"/subscriptions/{subscription}/resourceGroups/{group}"
    return _typed_id(root, values[len(before) :], "resourceId")


def _subscription_resource_id(evaluator: Evaluator, arguments: tuple[Expression, ...]) -> Any:
    here = cast("_Scope", evaluator.scope).surroundings
    values = _arguments(evaluator, arguments)
    subscription = here.subscription if "/" in str(values[0]) else str(values.pop(0))
    return _typed_id(f"/subscriptions/{subscription}", values, "subscriptionResourceId")


def _extension_resource_id(evaluator: Evaluator, arguments: tuple[Expression, ...]) -> Any:
    values = _arguments(evaluator, arguments)
    return _typed_id(str(values[0]), values[1:], "extensionResourceId")


def _reference(evaluator: Evaluator, arguments: tuple[Expression, ...]) -> Any:
    scope = cast("_Scope", evaluator.scope)
    values = _arguments(evaluator, arguments)
    wanted = str(values[0])
    identifier = wanted if wanted.startswith("/") else scope.identifiers.get(wanted.lower(), "")
    if not identifier:
        raise fail("reference", f"the resource '{wanted}' is not defined in the template")
    scope.references.append(identifier)
    body = scope.surroundings.reference(identifier)
    if body is None:
        raise TemplateError(
            f"The resource '{identifier}' is not defined in the template, and not deployed.",
            code="ResourceNotFound",
        )
    is_full = len(values) > 2 and str(values[2]).lower() == "full"
    return dict(body) if is_full else dict(child(body, "properties"))


def _only_in_defaults(name: str, value: Callable[[_Scope, list[Any]], Any]) -> Function:
    def run(evaluator: Evaluator, arguments: tuple[Expression, ...]) -> Any:
        scope = cast("_Scope", evaluator.scope)
        if not scope.in_defaults:
            raise fail(name, "it is only allowed in the default value of a parameter")
        return value(scope, _arguments(evaluator, arguments))

    return run


def _utc_now(scope: _Scope, values: list[Any]) -> str:
    style = values[0] if values else "yyyyMMddTHHmmssZ"
    for word, code in (
        ("yyyy", "%Y"), ("MM", "%m"), ("dd", "%d"), ("HH", "%H"), ("mm", "%M"), ("ss", "%S"),
    ):  # fmt: skip
        style = style.replace(word, code)
    return scope.surroundings.now.strftime(style)


def _date_time_add(evaluator: Evaluator, arguments: tuple[Expression, ...]) -> Any:
    values = _arguments(evaluator, arguments)
    try:
        moment = datetime.fromisoformat(str(values[0])) + duration(str(values[1]))
    except (ValueError, IndexError) as error:
        raise fail("dateTimeAdd", str(error)) from None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


FUNCTIONS: Mapping[str, Function] = {
    **PURE_FUNCTIONS,
    "parameters": _parameters,
    "variables": _variables,
    "copyindex": _copy_index,
    "resourcegroup": _resource_group,
    "subscription": _subscription,
    "tenant": _tenant,
    "deployment": _deployment,
    "environment": _environment,
    "resourceid": _resource_id,
    "subscriptionresourceid": _subscription_resource_id,
    "extensionresourceid": _extension_resource_id,
    "reference": _reference,
    "newguid": _only_in_defaults("newGuid", lambda scope, _: scope.surroundings.new_guid()),
    "utcnow": _only_in_defaults("utcNow", _utc_now),
    "datetimeadd": _date_time_add,
}


class Template:
    """One template with its parameters, checked and ready to be evaluated.

    Raises:
        TemplateError: the template or a parameter is not valid.
    """

    def __init__(self, template: Json, given: Json, surroundings: Surroundings) -> None:
        if "resources" not in template or "contentVersion" not in template:
            missing = "resources" if "resources" not in template else "contentVersion"
            raise TemplateError(
                f"Required property '{missing}' not found in JSON. Path '', line 1, position 1."
            )
        self._raw = template
        variables, copied = _without_copy(child(template, "variables"))
        self._scope = _Scope({}, variables, surroundings)
        self._evaluator = Evaluator({**FUNCTIONS, **self._own_functions()}, self._scope)
        self._read_parameters(given)
        self._expand_variable_copies(copied)
        self.resources = self._expand()
        self._check_cycles()

    def _own_functions(self) -> dict[str, Function]:
        result: dict[str, Function] = {}
        for group in cast("list[Json]", self._raw.get("functions") or []):
            for name, definition in child(group, "members").items():
                result[f"{group.get('namespace')}.{name}".lower()] = self._own(definition)
        return result

    def _own(self, definition: Json) -> Function:
        names = [str(p["name"]) for p in definition.get("parameters") or ()]

        def run(evaluator: Evaluator, arguments: tuple[Expression, ...]) -> Any:
            values = _arguments(evaluator, arguments)
            inner = _Scope(dict(zip(names, values, strict=False)), {}, self._scope.surroundings)
            return Evaluator(FUNCTIONS, inner).value(child(definition, "output").get("value"))

        return run

    def _read_parameters(self, given: Json) -> None:
        declared = child(self._raw, "parameters")
        for name in given:
            if same_name(declared, name) is None:
                raise TemplateError(
                    f"Deployment template validation failed: 'The template parameters '{name}' in "
                    "the parameters file are not valid; they are not present in the original "
                    "template and can therefore not be provided at deployment time. The only "
                    f"supported parameters for this template are '{', '.join(declared)}'. Please "
                    "see https://aka.ms/arm-pass-parameter-values for usage details.'."
                )
        for name, definition in declared.items():
            sent = same_name(given, name)
            if sent is not None and isinstance(given[sent], Mapping) and "value" in given[sent]:
                value = given[sent]["value"]
            elif "defaultValue" in definition:
                self._scope.in_defaults = True
                value = self._evaluator.value(definition["defaultValue"])
                self._scope.in_defaults = False
            elif definition.get("nullable"):
                value = None
            else:
                raise TemplateError(
                    f"Deployment template validation failed: 'The value for the template parameter "
                    f"'{name}' at line '1' and column '1' is not provided. Please see "
                    "https://aka.ms/arm-create-parameter-file for usage details.'."
                )
            self._scope.parameters[name] = _checked(name, value, definition)

    def _expand_variable_copies(self, copies: list[Json]) -> None:
        for loop in copies:
            name = str(loop.get("name"))
            make = partial(self._evaluator.value, loop.get("input"))
            self._scope.variables[name] = self._loop(loop, make)
            self._scope.raw_variables = {**self._scope.raw_variables, name: None}

    def _loop(self, loop: Json, make: Callable[[], Any]) -> list[Any]:
        count = self._evaluator.value(loop.get("count"))
        name = str(loop.get("name"))
        if not isinstance(count, int) or not 0 <= count <= _COPY_MAX:
            raise TemplateError(
                f"The copy '{name}' has count '{count}'. It must be between 0 and {_COPY_MAX}."
            )
        outer = self._scope.copy
        result: list[Any] = []
        for index in range(count):
            self._scope.copy = {**outer, name: index}
            result.append(make())
        self._scope.copy = outer
        return result

    def _expand(self) -> tuple[TemplateResource, ...]:
        resources = self._raw["resources"]
        if isinstance(resources, Mapping):
            listed = [{"_symbol": s, **r} for s, r in cast("Mapping[str, Any]", resources).items()]
        else:
            listed = cast("list[Json]", resources)
        result: list[TemplateResource] = []
        groups: dict[str, list[str]] = {}
        for raw in listed:
            self._add(raw, None, result, groups)
        seen: dict[str, TemplateResource] = {}
        for resource in result:
            if resource.id.lower() in seen:
                raise TemplateError(
                    f"Deployment template validation failed: 'The resource '{resource.type}/"
                    f"{resource.name}' at line '1' and column '1' is defined multiple times in a "
                    "template. Please see https://aka.ms/arm-syntax-resources for usage details.'."
                )
            seen[resource.id.lower()] = resource
        return tuple(self._with_dependencies(resource, groups) for resource in result)

    def _add(
        self,
        raw: Json,
        parent: TemplateResource | None,
        result: list[TemplateResource],
        groups: dict[str, list[str]],
    ) -> None:
        loop = raw.get("copy")
        if isinstance(loop, Mapping):
            loop_json = cast("Json", loop)
            found = self._loop(loop_json, lambda: self._one(raw, parent, result, groups))
            groups[str(loop_json.get("name")).lower()] = [r.id for r in found if r is not None]
        else:
            self._one(raw, parent, result, groups)

    def _one(
        self,
        raw: Json,
        parent: TemplateResource | None,
        result: list[TemplateResource],
        groups: dict[str, list[str]],
    ) -> TemplateResource | None:
        evaluate = self._evaluator.value
        for member in ("type", "name", "apiVersion"):
            if member not in raw:
                raise TemplateError(
                    "Deployment template validation failed: 'Required property "
                    f"'{member}' not found in JSON. Path 'resources', line 1, position 1.'."
                )
        if evaluate(raw.get("condition", True)) is False:
            return None
        kind, name = str(evaluate(raw["type"])), str(evaluate(raw["name"]))
        if parent is not None:
            kind, name = f"{parent.type}/{kind}", f"{parent.name}/{name}"
        parts = kind.split("/")
        names = name.split("/")
        if len(parts) != len(names) + 1:
            raise TemplateError(
                f"Deployment template validation failed: 'The template resource '{name}' for type "
                f"'{kind}' at line '1' and column '1' has incorrect segment lengths. A nested "
                "resource type must have identical number of segments as its resource name. A root "
                "resource type must have segment length one greater than its resource name. Please "
                "see https://aka.ms/arm-syntax-resources for usage details.'."
            )
        here = self._scope.surroundings
        group = f"/subscriptions/{here.subscription}/resourceGroups/{here.resource_group['name']}"
        resource = TemplateResource(
            id=_typed_id(group, [kind, *names], "resourceId"),
            type=kind,
            name=name,
            api_version=str(evaluate(raw["apiVersion"])),
            depends_on=(),
            raw=raw,
            copy=dict(self._scope.copy),
        )
        result.append(resource)
        for key in (name, str(raw.get("_symbol", name))):
            self._scope.identifiers[key.lower()] = resource.id
            groups.setdefault(key.lower(), []).append(resource.id)
        for nested in cast("list[Json]", raw.get("resources") or []):
            self._add(nested, resource, result, groups)
        return resource

    def _with_dependencies(
        self, resource: TemplateResource, groups: Mapping[str, list[str]]
    ) -> TemplateResource:
        self._scope.copy = resource.copy
        wanted = [str(d) for d in self._evaluator.value(resource.raw.get("dependsOn") or [])]
        self._scope.copy = {}
        result: list[str] = []
        known = {i.lower(): i for i in self._scope.identifiers.values()}
        for text in wanted:
            if text.startswith("/"):
                result += [known[text.lower()]] if text.lower() in known else []
                continue
            name = text.partition("/")[2] if "." in text.partition("/")[0] else text
            plain = "/".join(name.split("/")[1::2]) if name != text else text
            found = groups.get(text.lower()) or groups.get(plain.lower())
            if not found:
                raise TemplateError(
                    f"Deployment template validation failed: 'The resource '{text}' is not defined "
                    "in the template. Please see https://aka.ms/arm-syntax for usage details.'."
                )
            result += found
        # A reference() by name to a resource of this template is a dependency too.
        for mentioned in re.findall(r"reference\('([^']+)'", str(resource.raw)):
            identifier = self._scope.identifiers.get(mentioned.lower())
            if identifier and identifier != resource.id:
                result.append(identifier)
        return TemplateResource(
            resource.id,
            resource.type,
            resource.name,
            resource.api_version,
            tuple(dict.fromkeys(result)),
            resource.raw,
            resource.copy,
        )

    def _check_cycles(self) -> None:
        waiting = {resource.id: set(resource.depends_on) for resource in self.resources}
        while waiting:
            free = [name for name, needs in waiting.items() if not needs & waiting.keys()]
            if not free:
                raise TemplateError(
                    "Deployment template validation failed: 'Circular dependency detected on "
                    f"resource: '{next(iter(waiting))}'. Please see "
                    "https://aka.ms/arm-syntax-resources for usage details.'."
                )
            for name in free:
                del waiting[name]

    def body(self, resource: TemplateResource) -> dict[str, Any]:
        """What to PUT for a resource, evaluated now.

        Raises:
            TemplateError: an expression is wrong, or needs a resource that is not there.
        """
        left_out = {"type", "name", "apiVersion", "dependsOn", "condition", "copy", "resources",
                    "comments", "scope", "_symbol"}  # fmt: skip
        self._scope.copy = resource.copy
        try:
            kept = {k: v for k, v in resource.raw.items() if k not in left_out}
            return cast("dict[str, Any]", self._evaluator.value(kept))
        finally:
            self._scope.copy = {}

    def outputs(self) -> dict[str, Any]:
        """``outputs`` as a finished deployment shows them; secure values are left out."""
        result: dict[str, Any] = {}
        for name, output in child(self._raw, "outputs").items():
            if self._evaluator.value(output.get("condition", True)) is False:
                continue
            kind = str(output.get("type"))
            entry: dict[str, Any] = {"type": kind[:1].upper() + kind[1:]}
            if kind.lower() not in _SECURE:
                entry["value"] = self._evaluator.value(output.get("value"))
            result[name] = entry
        return result

    def parameters(self) -> dict[str, Any]:
        """The parameters as a deployment shows them; secure values are left out."""
        result: dict[str, Any] = {}
        for name, definition in child(self._raw, "parameters").items():
            kind = str(definition.get("type"))
            entry: dict[str, Any] = {"type": kind[:1].upper() + kind[1:]}
            if kind.lower() not in _SECURE:
                entry["value"] = self._scope.parameters[name]
            result[name] = entry
        return result


def _without_copy(variables: Json) -> tuple[dict[str, Any], list[Json]]:
    plain = {name: value for name, value in variables.items() if name.lower() != "copy"}
    copied = variables.get("copy")
    return plain, cast("list[Json]", copied) if isinstance(copied, list) else []


def _checked(name: str, value: Any, definition: Json) -> Any:
    kind = str(definition.get("type", "")).lower()
    wanted = _TYPES.get(kind)
    if wanted is None:
        raise TemplateError(
            f"Deployment template validation failed: 'The template parameter '{name}' has the "
            f"type '{definition.get('type')}', which is not valid.'."
        )
    fits = isinstance(value, wanted) and not (kind == "int" and isinstance(value, bool))
    if value is None:
        fits = bool(definition.get("nullable"))
    if not fits:
        raise TemplateError(
            "Deployment template validation failed: 'Template parameter JToken type is not "
            f"valid. Expected '{definition.get('type')}'. Actual '{type(value).__name__}'. "
            "Please see https://aka.ms/arm-create-parameter-file for usage details.'."
        )
    allowed = definition.get("allowedValues")
    if isinstance(allowed, list) and value not in allowed:
        shown = ",".join(str(a) for a in cast("list[Any]", allowed))
        raise TemplateError(
            "Deployment template validation failed: 'The provided value for the template "
            f"parameter '{name}' is not valid. The value '{value}' is not part of the allowed "
            f"value(s): '{shown}'.'."
        )
    size: Any = len(cast("list[Any]", value)) if isinstance(value, str | list) else value
    for least, most in (("minLength", "maxLength"), ("minValue", "maxValue")):
        if least in definition and size < definition[least]:
            raise TemplateError(_out_of_range(name, value, least, definition[least]))
        if most in definition and size > definition[most]:
            raise TemplateError(_out_of_range(name, value, most, definition[most]))
    return cast("Any", value)


def _out_of_range(name: str, value: Any, rule: str, bound: Any) -> str:
    return (
        f"Deployment template validation failed: 'The provided value for the template parameter "
        f"'{name}' is not valid: '{value}' violates {rule} '{bound}'.'."
    )
