"""The variable ``authorizer`` of admission policies: may somebody do something?

As in `cel_library`, a value of a type of Kubernetes is a map with one member that says what it
is. What decides is given to each evaluation; the rest is the same for all.

Source: k8s.io/apiserver pkg/cel/library/authz.go (functions, errors), cost.go (costs),
pkg/apis/cel/config.go (budgets).
"""

# The runtime calls these functions with values of the types that their rows declare.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cel_expr_python import cel

from poolwright.kubesim import rules
from poolwright.kubesim.user import Attempt, User

Decide = Callable[[User, Attempt], str | None]
"""Why somebody may do something; None: they may not."""

COST = 350_000
EXPRESSION_COST_MAX = 1_000_000
POLICY_COST_MAX = 10_000_000

_T = cel.Type
_BOOL, _STRING = _T.BOOL, _T.STRING
_OPAQUE = _T.Map(_STRING, _T.DYN)
_AUTHORIZER, _PATH, _GROUP, _RESOURCE = "authorizer", "pathCheck", "groupCheck", "resourceCheck"
_DECISION = "decision"

_Value = dict[str, Any]


def _inside(value: _Value, *kinds: str) -> _Value:
    """What a value of one of these types holds.

    Raises:
        ValueError: it is of another type.
    """
    held = next((value[kind] for kind in kinds if kind in value), None)
    if held is None:
        raise ValueError("no such overload")
    return held


def _with(kind: str, becomes: str, member: str, *, required: bool = False) -> Callable[..., _Value]:
    """A function that adds its argument to what a value holds."""

    def add(value: _Value, text: str) -> _Value:
        held = _inside(value, kind)
        if required and not text.strip():
            raise ValueError(f"{member} must not be empty")
        return {becomes: {**held, member: text}}

    return add


def _service_account(value: _Value, namespace: str, name: str) -> _Value:
    _inside(value, _AUTHORIZER)
    if any(rules.dns_subdomain(name)):
        raise ValueError("Invalid service account name")
    if any(rules.dns_label(namespace)):
        raise ValueError("Invalid service account namespace")
    groups = ("serviceaccounts", f"serviceaccounts:{namespace}", "authenticated")
    user = f"system:serviceaccount:{namespace}:{name}"
    return {_AUTHORIZER: {"user": user, "groups": [f"system:{group}" for group in groups]}}


def _said(member: str) -> Callable[..., Any]:
    return lambda value: _inside(value, _DECISION)[member]


_ROWS: Sequence[tuple[str, Sequence[cel.Type], cel.Type, Callable[..., Any] | None]] = (
    ("path", [_STRING], _OPAQUE, _with(_AUTHORIZER, _PATH, "path", required=True)),
    ("group", [_STRING], _OPAQUE, _with(_AUTHORIZER, _GROUP, "group")),
    ("serviceAccount", [_STRING, _STRING], _OPAQUE, _service_account),
    ("resource", [_STRING], _OPAQUE, _with(_GROUP, _RESOURCE, "resource", required=True)),
    *(
        (name, [_STRING], _OPAQUE, _with(_RESOURCE, _RESOURCE, name))
        for name in ("subresource", "namespace", "name", "fieldSelector", "labelSelector")
    ),
    ("check", [_STRING], _OPAQUE, None),
    ("allowed", [], _BOOL, _said("allowed")),
    ("errored", [], _BOOL, _said("errored")),
    ("error", [], _STRING, _said("error")),
    ("reason", [], _STRING, _said("reason")),
)


def library() -> cel.CelExtension:
    """The functions, for an environment; ``check`` comes with an evaluation."""
    functions: list[cel.FunctionDecl] = []
    for name, parameters, result, function in _ROWS:
        row = (f"authorizer_{name}", result, [_OPAQUE, *parameters], True)
        overload = cel.Overload(*row) if function is None else cel.Overload(*row, function)
        functions.append(cel.FunctionDecl(name, [overload]))
    return cel.CelExtension("authorizer", functions)


class Authorizer:
    """Answers the checks of one policy, and counts what they cost."""

    def __init__(self, user: Mapping[str, Any], attempt: Attempt, decide: Decide) -> None:
        self._decide = decide
        who = {"user": user.get("username", ""), "groups": list(user.get("groups") or ())}
        about = {
            "group": attempt.group, "resource": attempt.resource, "namespace": attempt.namespace,
            "subresource": attempt.subresource, "name": attempt.name,
        }  # fmt: skip
        self.values = {
            "authorizer": {_AUTHORIZER: who},
            "authorizer.requestResource": {_RESOURCE: {**who, **about}},
        }
        self.functions = (cel.Function("check", [_OPAQUE, _STRING], True, self._check, _OPAQUE),)
        self._checks = 0
        self._checks_before = 0

    def begin(self) -> None:
        """Another expression is evaluated."""
        self._checks_before = self._checks

    @property
    def is_exceeded(self) -> bool:
        """Whether the expression asked more than one may."""
        return (self._checks - self._checks_before) * COST > EXPRESSION_COST_MAX

    @property
    def is_spent(self) -> bool:
        """Whether the policy asked more than one may."""
        return self._checks * COST > POLICY_COST_MAX

    def _check(self, value: _Value, verb: str) -> _Value:
        held = _inside(value, _PATH, _RESOURCE)
        self._checks += 1
        if self.is_exceeded or self.is_spent:
            raise ValueError("actual cost limit exceeded")
        members = ("group", "resource", "subresource", "namespace", "name", "path")
        attempt = Attempt(verb, *(str(held.get(member) or "") for member in members))
        reason = self._decide(User(held["user"], tuple(held["groups"])), attempt)
        decision = {"allowed": reason is not None, "reason": reason or ""}
        return {_DECISION: {**decision, "errored": False, "error": ""}}
