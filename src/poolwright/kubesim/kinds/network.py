"""Network policies, endpoints and endpoint slices, as objects.

Source of defaults, rules and columns: k8s.io/kubernetes pkg/apis/{networking,discovery,core} and
pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from poolwright.kubesim.kinds.cell import NONE, age_of, selector_text
from poolwright.kubesim.kinds.declare import all_of, defaults, needed, one_of, unchanged
from poolwright.kubesim.kinds.kind import Body, Column, ObjectKind
from poolwright.kubesim.kinds.network_rules import check_network_policy
from poolwright.model import kubernetes as names
from poolwright.model.json_value import Json, child, children

_AGE = Column("Age")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_SHOWN_MAX = 3


def _some(texts: Sequence[str], separator: str = ",") -> str:
    """The first few, and how many more there are."""
    shown = separator.join(texts[:_SHOWN_MAX])
    more = len(texts) - _SHOWN_MAX
    return f"{shown} + {more} more..." if more > 0 else shown or NONE


def _policy_types(body: Body) -> None:
    spec = body.setdefault("spec", {})
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", *(["Egress"] if spec.get("egress") else [])]


NETWORK_POLICY = ObjectKind(
    names.NETWORK_POLICIES,
    "networkpolicy",
    ("netpol",),
    columns=(Column("Pod-Selector"), _AGE),
    row=lambda body, now: (selector_text(child(body, "spec", "podSelector")), age_of(body, now)),
    default=defaults(
        {
            "spec.podSelector": {},
        },
        _policy_types,
        pointers={
            "spec.ingress[].ports[].protocol": "TCP",
            "spec.egress[].ports[].protocol": "TCP",
        },
    ),
    validate=all_of(check_network_policy),
    has_generation=True,
)


def _address_texts(subset: Json) -> Iterator[str]:
    addresses = [str(a.get("ip", "")) for a in children(subset, "addresses")]
    ports = children(subset, "ports")
    if not ports:
        yield from addresses
    for port in ports:
        for address in addresses:
            host = f"[{address}]" if ":" in address else address
            yield f"{host}:{port.get('port')}"


ENDPOINTS = ObjectKind(
    names.ENDPOINTS,
    "endpoints",
    ("ep",),
    columns=(Column("Endpoints"), _AGE),
    row=lambda body, now: (
        _some([text for subset in children(body, "subsets") for text in _address_texts(subset)]),
        age_of(body, now),
    ),
    default=defaults({"subsets[].ports[].protocol": "TCP"}),
    validate=all_of(
        needed("subsets[].addresses[].ip", "subsets[].ports[].port"),
        one_of("subsets[].ports[].protocol", _PROTOCOLS),
    ),
    created_by_put=True,
)

ENDPOINT_SLICE = ObjectKind(
    names.ENDPOINT_SLICES,
    "endpointslice",
    columns=(Column("AddressType"), Column("Ports"), Column("Endpoints"), _AGE),
    row=lambda body, now: (
        body.get("addressType", ""),
        _some([str(port.get("port", "*")) for port in children(body, "ports")]),
        _some([a for e in children(body, "endpoints") for a in e.get("addresses") or ()]),
        age_of(body, now),
    ),
    default=defaults({"endpoints": [], "ports[].name": "", "ports[].protocol": "TCP"}),
    validate=all_of(
        needed("addressType", "endpoints[].addresses"),
        one_of("addressType", ("FQDN", "IPv4", "IPv6")),
        one_of("ports[].protocol", _PROTOCOLS),
        unchanged("addressType"),
    ),
    has_generation=True,
)
