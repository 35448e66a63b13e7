"""Admission policies: which of them a request meets, and whether it may pass.

Source of matching, variables and wording: k8s.io/apiserver pkg/admission/plugin/policy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from poolwright.kubesim import cel, status
from poolwright.kubesim.access import permission
from poolwright.kubesim.cel_authorizer import Authorizer
from poolwright.kubesim.cel_tree import descendants, qualified_name
from poolwright.kubesim.kinds.kind import ObjectKind
from poolwright.kubesim.objects import Objects
from poolwright.kubesim.quota import forbidden
from poolwright.kubesim.selector import matches
from poolwright.kubesim.user import Attempt
from poolwright.model import kubernetes as names
from poolwright.model.json_value import Json, child, children
from poolwright.model.label_selector import LabelSelector

_SENT = {
    "scale": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
    "eviction": {"group": "policy", "version": "v1", "kind": "Eviction"},
    "exec": {"group": "", "version": "v1", "kind": "PodExecOptions"},
    "attach": {"group": "", "version": "v1", "kind": "PodAttachOptions"},
}
"""Subresources whose requests carry an object of a kind of their own."""
_CODES = {"Unauthorized": 401, "Forbidden": 403, "RequestEntityTooLarge": 413, "Invalid": 422}


@dataclass(frozen=True, slots=True)
class Request:
    """A write that asks to be let in; ``new`` is None for a deletion, ``old`` for a creation."""

    kind: ObjectKind
    operation: str
    new: Json | None
    old: Json | None
    user: Json
    subresource: str = ""
    dry_run: bool = False

    @property
    def body(self) -> Json:
        """The object that the request is about."""
        found = self.new if self.new is not None else self.old
        assert found is not None
        return found

    def wire(self) -> dict[str, Any]:
        """The variable ``request``."""
        resource, metadata = self.kind.resource, self.body["metadata"]
        own = {"group": resource.group, "version": resource.version, "kind": resource.kind}
        gvk = _SENT.get(self.subresource, own)
        gvr = {"group": resource.group, "version": resource.version, "resource": resource.plural}
        return {
            "kind": gvk,
            "resource": gvr,
            "subResource": self.subresource,
            "requestKind": gvk,
            "requestResource": gvr,
            "requestSubResource": self.subresource,
            "name": metadata.get("name", ""),
            "namespace": metadata.get("namespace", ""),
            "operation": self.operation,
            "userInfo": dict(self.user),
            "dryRun": self.dry_run,
        }


def is_watched(registry: Objects) -> bool:
    """Whether any policy is bound; a cluster without one pays nothing."""
    return bool(len(registry.cache(names.ADMISSION_POLICY_BINDINGS)))


def review(registry: Objects, request: Request) -> list[str]:
    """The warnings for a request that may pass.

    Raises:
        StatusError: a policy denies it.
    """
    told: list[str] = []
    for entry in registry.list(names.ADMISSION_POLICY_BINDINGS):
        binding = entry.object()
        name = str(child(binding, "spec").get("policyName") or "")
        policy = registry.get(names.ADMISSION_POLICIES, name)
        if policy is None or not _concerns(registry, policy, binding, request):
            continue
        actions = child(binding, "spec").get("validationActions") or ()
        for reason, message in _problems(registry, policy, binding, request):
            which = f"ValidatingAdmissionPolicy '{name}' with binding '{entry.name}'"
            if "Deny" in actions:
                raise _denied(request, reason, f"{which} denied request: {message}")
            if "Warn" in actions:
                told.append(f"Validation failed for {which}: {message}")
    return told


def _denied(request: Request, reason: str, text: str) -> status.StatusError:
    error = forbidden(request.kind, request.body, text)
    details = {**error.status_details, "causes": [{"message": text}]}
    return status.StatusError(_CODES.get(reason, 422), reason, error.message, details=details)


# Matching


def _concerns(registry: Objects, policy: Json, binding: Json, request: Request) -> bool:
    constraints = child(policy, "spec", "matchConstraints")
    narrowed = child(binding, "spec", "matchResources")
    return _matches(registry, constraints, request) and (
        not narrowed or _matches(registry, narrowed, request, may_be_any=True)
    )


def _matches(
    registry: Objects, constraints: Json, request: Request, *, may_be_any: bool = False
) -> bool:
    rules = children(constraints, "resourceRules")
    if not (may_be_any and not rules) and not any(_rule(rule, request) for rule in rules):
        return False
    if any(_rule(rule, request) for rule in children(constraints, "excludeResourceRules")):
        return False
    objects = constraints.get("objectSelector")
    if objects and not any(
        matches(objects, child(body, "metadata", "labels"))
        for body in (request.new, request.old)
        if body is not None
    ):
        return False
    wanted = constraints.get("namespaceSelector")
    namespace = str(request.body["metadata"].get("namespace") or "")
    if not wanted or not namespace:
        return True
    found = registry.entry(names.NAMESPACES, namespace)
    return found is not None and matches(wanted, found.labels)


def _rule(rule: Json, request: Request) -> bool:
    resource, metadata = request.kind.resource, request.body["metadata"]
    scope = rule.get("scope") or "*"
    if scope != "*" and (scope == "Namespaced") != resource.namespaced:
        return False
    named: Sequence[Any] = rule.get("resourceNames") or ()
    return (
        _has(rule.get("operations"), request.operation)
        and _has(rule.get("apiGroups"), resource.group)
        and _has(rule.get("apiVersions"), resource.version)
        and any(_names_resource(str(word), request) for word in rule.get("resources") or ())
        and (not named or metadata.get("name") in named)
    )


def _has(words: Any, wanted: str) -> bool:
    return "*" in (words or ()) or wanted in (words or ())


def _names_resource(word: str, request: Request) -> bool:
    plural, separator, subresource = word.partition("/")
    if plural not in {"*", request.kind.resource.plural}:
        return False
    return subresource in {"*", request.subresource} if separator else not request.subresource


# Evaluation


def _params(registry: Objects, policy: Json, binding: Json, request: Request) -> list[Any]:
    """What the policy is parameterised with; [None] for a policy without parameters.

    Raises:
        CelError: they are missing and the binding says that this denies.
    """
    kind = child(policy, "spec", "paramKind")
    reference = child(binding, "spec", "paramRef")
    if not kind or not reference:
        return [None]
    group, _, version = str(kind.get("apiVersion", "")).rpartition("/")
    found = next(
        (
            view
            for (g, v, _), view in registry.catalog.views.items()
            if (g, v, view.resource.kind) == (group, version, kind.get("kind"))
        ),
        None,
    )
    if found is None:
        raise cel.CelError(f"failed to configure policy: failed to find resource for {kind}")
    namespace = ""
    if found.resource.namespaced:
        sent = request.body["metadata"].get("namespace")
        namespace = str(reference.get("namespace") or sent or "")
    name = reference.get("name")
    if name:
        entry = registry.entry(found.kind, str(name), namespace)
        entries = [entry] if entry is not None else []
    else:
        wanted = LabelSelector.from_object(child(reference, "selector"))
        has_selector = reference.get("selector") is not None  # a missing one selects nothing
        listed = registry.list(found.kind, namespace) if has_selector else ()
        entries = [entry for entry in listed if wanted.matches(entry.labels)]
    if not entries and reference.get("parameterNotFoundAction") != "Allow":
        raise cel.CelError(
            "failed to configure binding: no params found for policy binding with `Deny`"
            " parameterNotFoundAction"
        )
    return [found.to_wire(entry.object()) for entry in entries]


def _problems(
    registry: Objects, policy: Json, binding: Json, request: Request
) -> Iterator[tuple[str, str]]:
    """(reason, message) of every validation that fails."""
    spec = child(policy, "spec")
    fails = spec.get("failurePolicy") != "Ignore"
    try:
        for params in _params(registry, policy, binding, request):
            evaluation = _Evaluation(registry, spec, request, params)
            if evaluation.is_met():
                yield from list(_validations(evaluation, spec, fails=fails))
    except cel.CelError as error:
        if fails:
            yield "Invalid", str(error)


def _validations(evaluation: _Evaluation, spec: Json, *, fails: bool) -> Iterator[tuple[str, str]]:
    for validation in children(spec, "validations"):
        expression = str(validation["expression"])
        try:
            if evaluation.value(expression) is True:
                continue
        except cel.OutOfBudget:
            raise
        except cel.CelError as error:
            if fails:
                yield "Invalid", str(error)
            continue
        reason = str(validation.get("reason") or "Invalid")
        yield reason, _message(evaluation, validation, expression.strip())


def _message(evaluation: _Evaluation, validation: Json, expression: str) -> str:
    dynamic = validation.get("messageExpression")
    if dynamic:
        try:
            found = evaluation.of_messages().value(str(dynamic))
        except cel.CelError:
            found = None
        text = found.strip() if isinstance(found, str) else ""
        if text and "\n" not in text and len(text) <= _MESSAGE_MAX:
            return text
    return str(validation.get("message") or f"failed expression: {expression}").strip()


class _Evaluation:
    """One policy before one request, with what its variables are.

    A variable is evaluated where an expression names it; one without a value is an error there.
    Messages cannot ask the authorizer, nor can variables for them.
    """

    def __init__(
        self,
        registry: Objects,
        spec: Json,
        request: Request,
        params: Any,
        *,
        budget: cel.Budget | None = None,
    ) -> None:
        self._budget = budget or cel.Budget()
        self._spec = spec
        self._about = (registry, spec, request, params)
        self._values = _values(registry, request, params)
        self._may_ask = budget is None
        self._authorizer: Authorizer | None = None
        self._variables = {
            str(item["name"]): str(item["expression"]) for item in children(spec, "variables")
        }
        self._broken: dict[str, str] = {}

    def of_messages(self) -> _Evaluation:
        """The same for messages, from the same budget."""
        return _Evaluation(*self._about, budget=self._budget)

    def is_met(self) -> bool:
        """Whether the conditions of the policy hold.

        Raises:
            CelError: one has no value, and none is false.
        """
        problems: list[str] = []
        for condition in children(self._spec, "matchConditions"):
            try:
                if self.value(str(condition["expression"])) is not True:
                    return False
            except cel.OutOfBudget:
                raise
            except cel.CelError as error:
                problems.append(str(error))
        if problems:
            raise cel.CelError(problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")
        return True

    def value(self, expression: str) -> Any:
        """What an expression is.

        Raises:
            CelError: it has no value.
        """
        try:
            return self._value(expression)
        except cel.OutOfBudget:
            raise
        except cel.CelError as error:
            words = f"expression '{expression}' resulted in error: {error}"
            raise cel.CelError(words) from None

    def _value(self, expression: str) -> Any:
        for name in _variables_named(expression):
            self._settle(name)
        try:
            found = self._evaluated(expression)
        except cel.CelError as error:
            broken = self._broken.get(str(error).removeprefix("no such key: "))
            self._check_cost()
            raise cel.CelError(broken) if broken else error from None
        self._check_cost()
        return found

    def _evaluated(self, expression: str) -> Any:
        authorizer = self._authorizer
        if authorizer is None and self._may_ask and "authorizer" in expression:
            registry, _, request, _ = self._about
            authorizer = self._authorizer = _authorizer(registry, request)
        if authorizer is None:
            return cel.evaluate(expression, self._values, budget=self._budget)
        authorizer.begin()
        return cel.evaluate(expression, self._values | authorizer.values, authorizer.functions)

    def _check_cost(self) -> None:
        if self._authorizer is None:
            return
        if self._authorizer.is_spent:
            raise cel.OutOfBudget
        if self._authorizer.is_exceeded:
            raise cel.CelError(cel.COST_EXCEEDED)

    def _settle(self, name: str) -> None:
        expression = self._variables.pop(name, None)  # one that speaks of itself has no value
        if expression is None:
            return
        try:
            self._values["variables"][name] = self._value(expression)
        except cel.OutOfBudget:
            raise
        except cel.CelError as error:
            self._broken[name] = f'composited variable "{name}" fails to evaluate: {error}'


@lru_cache(maxsize=1024)
def _variables_named(expression: str) -> Sequence[str]:
    if "variables" not in expression:
        return ()
    selects = (
        node["select"] for node in descendants(cel.parse(expression).root) if "select" in node
    )
    named = (each["field"] for each in selects if qualified_name(each["operand"]) == "variables")
    return tuple(dict.fromkeys(named))


_MESSAGE_MAX = 5 * 1024  # MaxEvaluatedMessageExpressionSizeBytes


def _authorizer(registry: Objects, request: Request) -> Authorizer:
    resource, metadata = request.kind.resource, request.body["metadata"]
    about = Attempt(
        "",
        resource.group,
        resource.plural,
        request.subresource,
        str(metadata.get("namespace") or ""),
        str(metadata.get("name") or ""),
    )
    return Authorizer(request.user, about, partial(permission, registry))


def _values(registry: Objects, request: Request, params: Any) -> dict[str, Any]:
    namespace = request.body["metadata"].get("namespace")
    return {
        "object": request.new,
        "oldObject": request.old,
        "request": request.wire(),
        "params": params,
        "namespaceObject": registry.get(names.NAMESPACES, namespace) if namespace else None,
        "variables": {},
    }
