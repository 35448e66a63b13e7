"""Policies of admission in CEL, and what binds them.

Source of defaults, rules and columns: k8s.io/kubernetes pkg/apis/admissionregistration and
pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from poolwright.kubesim.kinds.cell import age_of, selector_text
from poolwright.kubesim.kinds.declare import (
    all_of,
    defaults,
    needed,
    one_of,
    starts_with_status,
)
from poolwright.kubesim.kinds.kind import Column, ObjectKind
from poolwright.kubesim.kinds.policy_expressions import check_expressions
from poolwright.kubesim.status import Cause, invalid, required
from poolwright.model import kubernetes as names
from poolwright.model.json_value import child, children

_AGE = Column("Age")
_MATCH: dict[str, Any] = {
    "matchPolicy": "Equivalent",
    "namespaceSelector": {},
    "objectSelector": {},
}
_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")


def _param_kind(body: Mapping[str, Any]) -> str:
    kind = child(body, "spec").get("paramKind")
    return f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else "<unset>"


def _check_rules(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    if child(new, "spec").get("matchConstraints") is None:
        yield required("spec.matchConstraints")
    elif not children(new, "spec", "matchConstraints", "resourceRules"):
        yield required("spec.matchConstraints.resourceRules")


def _check_purpose(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    spec = child(new, "spec")
    if not spec.get("validations") and not spec.get("auditAnnotations"):
        where = "validations or auditAnnotations must contain at least one item"
        yield required("spec.validations", where)
        yield required("spec.auditAnnotations", where)


ADMISSION_POLICY = ObjectKind(
    names.ADMISSION_POLICIES,
    "validatingadmissionpolicy",
    categories=("api-extensions",),
    subresources=("status",),
    columns=(
        Column(
            "Validations",
            "integer",
            description="Validations indicates the number of validation rules defined in this"
            " configuration",
        ),
        Column(
            "ParamKind",
            description="ParamKind specifies the kind of resources used to parameterize this"
            " policy",
        ),
        _AGE,
    ),
    row=lambda body, now: (
        len(children(body, "spec", "validations")),
        _param_kind(body),
        age_of(body, now),
    ),
    default=defaults(
        {
            "spec.failurePolicy": "Fail",
            **{f"spec.matchConstraints.{name}": value for name, value in _MATCH.items()},
            "spec.matchConstraints.resourceRules[].scope": "*",
            "spec.matchConstraints.excludeResourceRules[].scope": "*",
        },
        only_in=("spec.matchConstraints",),
    ),
    prepare=starts_with_status({}),
    validate=all_of(
        one_of("spec.failurePolicy", ("Fail", "Ignore")),
        one_of("spec.matchConstraints.matchPolicy", ("Equivalent", "Exact")),
        one_of("spec.matchConstraints.resourceRules[].scope", ("*", "Cluster", "Namespaced")),
        one_of("spec.matchConstraints.resourceRules[].operations[]", _OPERATIONS),
        needed(
            "spec.matchConstraints.resourceRules[].operations",
            "spec.matchConstraints.resourceRules[].apiGroups",
            "spec.matchConstraints.resourceRules[].apiVersions",
            "spec.matchConstraints.resourceRules[].resources",
        ),
        _check_rules,
        check_expressions,
        _check_purpose,
    ),
    has_generation=True,
)


def _check_actions(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    actions = child(new, "spec").get("validationActions") or ()
    if not actions:
        yield required("spec.validationActions", "at least one validation action is required")
    if "Deny" in actions and "Warn" in actions:
        yield invalid(
            "spec.validationActions",
            list(actions),
            "must not contain both Deny and Warn (repeating the same validation failure"
            " information in the API response and headers serves no purpose)",
        )


def _param_ref(body: Mapping[str, Any]) -> str:
    reference = child(body, "spec", "paramRef")
    if reference.get("name"):
        return f"{reference.get('namespace') or '*'}/{reference['name']}"
    return selector_text(reference["selector"]) if reference.get("selector") else "<unset>"


def _binding_row(body: Mapping[str, Any], now: datetime) -> Sequence[Any]:
    return (child(body, "spec").get("policyName", ""), _param_ref(body), age_of(body, now))


ADMISSION_POLICY_BINDING = ObjectKind(
    names.ADMISSION_POLICY_BINDINGS,
    "validatingadmissionpolicybinding",
    categories=("api-extensions",),
    columns=(
        Column(
            "PolicyName",
            description="PolicyName indicates the policy definition which the policy binding"
            " binded to",
        ),
        Column(
            "ParamRef",
            description="ParamRef indicates the param resource which sets the configuration param",
        ),
        _AGE,
    ),
    row=_binding_row,
    default=defaults(
        {
            **{f"spec.matchResources.{name}": value for name, value in _MATCH.items()},
            "spec.matchResources.resourceRules[].scope": "*",
        },
        only_in=("spec.matchResources",),
    ),
    validate=all_of(
        needed("spec.policyName"),
        _check_actions,
        one_of("spec.validationActions[]", ("Audit", "Deny", "Warn")),
    ),
    has_generation=True,
)
