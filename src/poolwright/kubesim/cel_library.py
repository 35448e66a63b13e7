"""Kubernetes' own functions in CEL: lists, regular expressions, URLs, quantities, addresses,
versions and formats.

The runtime takes functions over its own types only; so a value of a type of Kubernetes (a
quantity, a URL, …) is a map with one member that says what it is. Its static type is a map, too.
Source: k8s.io/apiserver pkg/cel/library (functions, errors).
"""

# The runtime calls these functions with values of the types that their rows declare.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false

from __future__ import annotations

import datetime as dt
import ipaddress
import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from fractions import Fraction
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

import re2
from cel_expr_python import cel

from poolwright.kubesim import rules
from poolwright.kubesim.cel_value import equal, frozen
from poolwright.model.quantity import parse_quantity

_T = cel.Type
_BOOL, _INT, _STRING, _DOUBLE, _DYN = _T.BOOL, _T.INT, _T.STRING, _T.DOUBLE, _T.DYN
_OPAQUE = _T.Map(_STRING, _DYN)
_LIST, _MAP = _T.List(_DYN), _T.Map(_DYN, _DYN)
_STRINGS = _T.List(_STRING)

_Opaque = dict[str, Any]
_Map = dict[Any, Any]
_QUANTITY, _URL, _IP, _CIDR = "quantity", "url", "ip", "cidr"
_SEMVER, _FORMAT, _OPTIONAL = "semver", "format", "optional"


def _is(test: Callable[..., Any]) -> Callable[..., bool]:
    """Whether something can be read."""

    def check(*args: Any) -> bool:
        try:
            test(*args)
        except ValueError:
            return False
        return True

    return check


def _inside(value: _Opaque, kind: str) -> Any:
    """What a value of a type holds.

    Raises:
        ValueError: it is of another type.
    """
    if kind not in value or len(value) != 1:
        raise ValueError("no such overload")
    return value[kind]


# Lists


def _sum(items: list[Any]) -> Any:
    if items and isinstance(items[0], dt.timedelta):
        return sum(items, dt.timedelta())
    return sum(items)


def _extreme(name: str, choose: Callable[[list[Any]], Any]) -> Callable[[list[Any]], Any]:
    def found(items: list[Any]) -> Any:
        if not items:
            raise ValueError(f"{name} called on empty list")
        return choose(items)

    return found


def _is_sorted(items: list[Any]) -> bool:
    return all(items[place] <= items[place + 1] for place in range(len(items) - 1))


def _index(items: list[Any], wanted: Any) -> int:
    return next((place for place, item in enumerate(items) if equal(item, wanted)), -1)


def _last_index(items: list[Any], wanted: Any) -> int:
    places = range(len(items) - 1, -1, -1)
    return next((place for place in places if equal(items[place], wanted)), -1)


def _slice(items: list[Any], start: int, end: int) -> list[Any]:
    wrong = f"cannot slice({start}, {end}), "
    if start < 0 or end < 0:
        raise ValueError(f"{wrong}negative indexes not supported")
    if start > end:
        raise ValueError(f"{wrong}start index must be less than or equal to end index")
    if end > len(items):
        raise ValueError(f"{wrong}list is length {len(items)}")
    return items[start:end]


def _flat(items: list[Any], depth: int = 1) -> list[Any]:
    if depth < 0:
        raise ValueError("level must be non-negative")
    if not depth:
        return items
    return [
        inner
        for item in items
        for inner in (_flat(item, depth - 1) if isinstance(item, list) else [item])
    ]


def _sorted(items: list[Any]) -> list[Any]:
    try:
        return sorted(items)
    except TypeError:
        raise ValueError("list elements must have the same type") from None


def _distinct(items: list[Any]) -> list[Any]:
    _spend(2 * len(items) ** 2)
    first: dict[Hashable, Any] = {}
    for item in items:
        first.setdefault(frozen(item), item)
    return list(first.values())


def _range(count: int) -> list[int]:
    _spend(count)
    return list(range(count))


def _contains_all(items: list[Any], wanted: list[Any]) -> bool:
    _spend(len(items) * len(wanted))
    return set(map(frozen, wanted)) <= set(map(frozen, items))


def _contains_any(items: list[Any], wanted: list[Any]) -> bool:
    _spend(len(items) * len(wanted))
    return not set(map(frozen, wanted)).isdisjoint(map(frozen, items))


# Maps


def _with(made: _Map, key: Any, value: Any) -> _Map:
    if key in made:
        raise ValueError(f"insert failed: key {key} already exists")
    return {**made, key: value}


def _with_all(made: _Map, more: _Map) -> _Map:
    for key in more:
        if key in made:
            raise ValueError(f"insert failed: key {key} already exists")
    return {**made, **more}


_COST_MAX = 1_000_000  # PerCallLimit, k8s.io/apiserver pkg/apis/cel/config.go


def _spend(cost: int) -> None:
    """Raise ValueError for one call that would take too long."""
    if cost > _COST_MAX:
        raise ValueError("operation cancelled: actual cost limit exceeded")


# Regular expressions


_QUIET = re2.Options()
_QUIET.log_errors = False


def _matches(text: str, pattern: str) -> list[str]:
    """In time that grows with the text alone, whatever the pattern."""
    try:
        return [str(found[0]) for found in re2.compile(pattern, options=_QUIET).finditer(text)]
    except re2.error as error:
        raise ValueError(f"Illegal regex: {error.args[0].decode()}") from None


def _find(text: str, pattern: str) -> str:
    return next(iter(_matches(text, pattern)), "")


def _find_some(text: str, pattern: str, limit: int) -> list[str]:
    found = _matches(text, pattern)
    return found if limit < 0 else found[:limit]


# URLs

_PORT = re.compile(r"^(\[[^\]]*\]|[^:\[\]]*)(:\d*)?$")


def _url(text: str) -> _Opaque:
    wrong = f'URL parse error during conversion from string: parse "{text}": '
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise ValueError(f"{wrong}{error}") from None
    if not text or not (text.startswith("/") or parts.scheme):
        raise ValueError(f"{wrong}invalid URI for request")
    host = parts.netloc.rpartition("@")[2]
    if " " in parts.netloc or not _PORT.match(host):
        raise ValueError(f"{wrong}invalid character in host name")
    return {_URL: text}


def _parts(url: _Opaque) -> Any:
    return urlsplit(_inside(url, _URL))


def _host(url: _Opaque) -> str:
    return _parts(url).netloc.rpartition("@")[2]


def _hostname(url: _Opaque) -> str:
    host = _host(url)
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _port(url: _Opaque) -> str:
    return _host(url).rpartition("]")[2].partition(":")[2]


def _query(url: _Opaque) -> dict[str, list[str]]:
    return parse_qs(_parts(url).query, keep_blank_values=True)


# Quantities

_QUANTITY_FORM = re.compile(r"^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$")


def _quantity(text: str) -> _Opaque:
    try:
        if _QUANTITY_FORM.match(text):
            return _exactly(parse_quantity(text))
    except (ValueError, ZeroDivisionError):
        pass
    raise ValueError(f"quantities must match the regular expression '{_QUANTITY_FORM.pattern}'")


def _exactly(value: Fraction) -> _Opaque:
    return {_QUANTITY: str(value)}


def _amount(value: _Opaque | int) -> Fraction:
    return Fraction(value if isinstance(value, int) else _inside(value, _QUANTITY))


def _as_integer(value: _Opaque) -> int:
    amount = _amount(value)
    if amount.denominator != 1:
        raise ValueError("cannot convert value to integer")
    return amount.numerator


def _sign(value: _Opaque) -> int:
    amount = _amount(value)
    return (amount > 0) - (amount < 0)


# Addresses


def _parsed_ip(text: str) -> Any:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        found = None
    if found is None or "%" in text or getattr(found, "ipv4_mapped", None):
        why = f'ParseAddr("{text}"): unable to parse IP'
        raise ValueError(f'IP Address "{text}" parse error during conversion from string: {why}')
    return found


def _ip(text: str) -> _Opaque:
    return {_IP: str(_parsed_ip(text))}


def _address(value: _Opaque | str) -> Any:
    return _parsed_ip(value if isinstance(value, str) else _inside(value, _IP))


def _cidr(text: str) -> _Opaque:
    try:
        found = ipaddress.ip_interface(text) if "/" in text else None
    except ValueError:
        found = None
    if found is None or "%" in text or getattr(found, "ipv4_mapped", None):
        why = f'netip.ParsePrefix("{text}"): unable to parse'
        raise ValueError(f"network address parse error during conversion from string: {why}")
    return {_CIDR: found.with_prefixlen}


def _network(value: _Opaque | str) -> Any:
    text = _inside(_cidr(value) if isinstance(value, str) else value, _CIDR)
    return ipaddress.ip_network(text, strict=False)


def _contains_ip(outer: _Opaque, inner: _Opaque | str) -> bool:
    return _address(inner) in _network(outer)


def _contains_cidr(outer: _Opaque, inner: _Opaque | str) -> bool:
    one, other = _network(outer), _network(inner)
    return one.version == other.version and other.subnet_of(one)


def _text_of(value: _Opaque) -> str:
    return str(value[_IP] if _IP in value else _inside(value, _CIDR))


def _is_global(address: Any) -> bool:
    return not (
        address.is_unspecified
        or address.is_loopback
        or address.is_multicast
        or address.is_link_local
        or str(address) == "255.255.255.255"
    )


# Versions

_SEMVER_FORM = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z.-]+))?(?:\+([0-9A-Za-z.-]+))?"
)


def _semver(text: str, normalize: bool = False) -> _Opaque:
    if normalize:
        core, mark, rest = re.split(r"([-+]|$)", text.removeprefix("v"), maxsplit=1)
        numbers = [number.lstrip("0") or "0" for number in core.split(".")]
        text = ".".join([*numbers, "0", "0"][: max(3, len(numbers))]) + mark + rest
    if not _SEMVER_FORM.fullmatch(text):
        raise ValueError("No Major.Minor.Patch elements found")
    return {_SEMVER: text}


def _version(value: _Opaque) -> tuple[Any, ...]:
    """As it is ordered: a pre-release is before its release."""
    found = _SEMVER_FORM.fullmatch(_inside(value, _SEMVER))
    assert found is not None
    before = [
        (0, int(part), "") if part.isdigit() else (1, 0, part)
        for part in (found[4] or "").split(".")
    ]
    return (int(found[1]), int(found[2]), int(found[3]), not found[4], before if found[4] else [])


# Formats

_UUID_FORM = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
"""Source: k8s.io/kube-openapi pkg/validation/strfmt."""


def _formatted(name: str, check: Callable[[str], Any]) -> Callable[[str], Sequence[str]]:
    return lambda text: () if _is(check)(text) else (f"does not validate {name}",)


def _uuid(text: str) -> None:
    if not _UUID_FORM.fullmatch(text):
        raise ValueError(text)


def _date(text: str) -> None:
    dt.datetime.strptime(text, "%Y-%m-%d")  # noqa: DTZ007 - a date has no zone


def _byte(text: str) -> None:
    if not re.fullmatch(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", text):
        raise ValueError(text)


def _prefix_of(check: Callable[[str], Sequence[str]]) -> Callable[[str], Sequence[str]]:
    """A prefix of generated names may end with a hyphen."""
    return lambda text: check(text.removesuffix("-") + ("a" if text.endswith("-") else ""))


_FORMATS: dict[str, Callable[[str], Sequence[str]]] = {
    "dns1123Label": rules.dns_label,
    "dns1123LabelPrefix": _prefix_of(rules.dns_label),
    "dns1123Subdomain": rules.dns_subdomain,
    "dns1123SubdomainPrefix": _prefix_of(rules.dns_subdomain),
    "dns1035Label": rules.dns_label_1035,
    "dns1035LabelPrefix": _prefix_of(rules.dns_label_1035),
    "qualifiedName": rules.qualified_name,
    "labelValue": rules.label_value,
    "uri": _formatted("uri", _url),
    "uuid": _formatted("uuid", _uuid),
    "byte": _formatted("byte", _byte),
    "date": _formatted("date", _date),
    "datetime": _formatted("datetime", dt.datetime.fromisoformat),
}


def _format(name: str) -> Callable[[], _Opaque]:
    return lambda: {_FORMAT: name}


def _named_format(name: str) -> _Opaque:
    return {_OPTIONAL: [{_FORMAT: name}] if name in _FORMATS else []}


def _validate(form: _Opaque, text: str) -> _Opaque:
    wrong = list(_FORMATS[_inside(form, _FORMAT)](text))
    return {_OPTIONAL: [wrong] if wrong else []}


def _value(optional: _Opaque) -> Any:
    held = _inside(optional, _OPTIONAL)
    if not held:
        raise ValueError("optional.none() dereference")
    return held[0]


# The table of functions


def _compared(one: _Opaque, other: _Opaque) -> int:
    first: Any
    second: Any
    first, second = (_version(each) if _SEMVER in one else _amount(each) for each in (one, other))
    return (first > second) - (first < second)


_Row = tuple[str, bool, Sequence[cel.Type], cel.Type, Callable[..., Any]]


def _members(kind: Sequence[cel.Type], result: cel.Type, **named: Callable[..., Any]) -> list[_Row]:
    return [(name, True, kind, result, function) for name, function in named.items()]


def _globals(kind: Sequence[cel.Type], result: cel.Type, **named: Callable[..., Any]) -> list[_Row]:
    return [(name, False, kind, result, function) for name, function in named.items()]


_ROWS: Iterable[_Row] = (
    *_members([_LIST], _DYN, sum=_sum, min=_extreme("min", min), max=_extreme("max", max)),
    *_members([_LIST], _BOOL, isSorted=_is_sorted),
    *_members([_LIST, _DYN], _INT, indexOf=_index, lastIndexOf=_last_index),
    *_members(
        [_LIST], _LIST,
        flatten=_flat, sort=_sorted, distinct=_distinct, reverse=lambda items: items[::-1],
    ),
    *_members([_LIST, _INT], _LIST, flatten=_flat),
    *_members([_LIST, _INT, _INT], _LIST, slice=_slice),
    ("lists.range", False, [_INT], _T.List(_INT), _range),
    *_globals(
        [_LIST, _LIST], _BOOL,
        **{
            "sets.contains": _contains_all,
            "sets.equivalent": lambda one, other: (
                _contains_all(one, other) and _contains_all(other, one)
            ),
            "sets.intersects": _contains_any,
        },
    ),
    *_members([_STRING, _STRING], _STRING, find=_find),
    *_members([_STRING, _STRING], _STRINGS, findAll=_matches),
    *_members([_STRING, _STRING, _INT], _STRINGS, findAll=_find_some),
    *_globals(
        [_STRING], _OPAQUE, url=_url, quantity=_quantity, ip=_ip, cidr=_cidr, semver=_semver
    ),
    *_globals([_STRING, _BOOL], _OPAQUE, semver=_semver),
    *_globals(
        [_STRING], _BOOL,
        isURL=_is(_url), isQuantity=_is(_quantity), isIP=_is(_ip), isCIDR=_is(_cidr),
        isSemver=_is(_semver),
    ),
    *_globals([_STRING, _BOOL], _BOOL, isSemver=_is(_semver)),
    ("ip.isCanonical", False, [_STRING], _BOOL, lambda text: str(_parsed_ip(text)) == text),
    *_members(
        [_OPAQUE], _STRING,
        getScheme=lambda url: _parts(url).scheme, getHost=_host, getHostname=_hostname,
        getPort=_port, getEscapedPath=lambda url: _parts(url).path,
    ),
    *_members([_OPAQUE], _T.Map(_STRING, _STRINGS), getQuery=_query),
    *_members(
        [_OPAQUE], _INT,
        sign=_sign, asInteger=_as_integer, family=lambda ip: _address(ip).version,
        prefixLength=lambda cidr: _network(cidr).prefixlen,
        major=lambda version: _version(version)[0], minor=lambda version: _version(version)[1],
        patch=lambda version: _version(version)[2],
    ),
    *_members([_OPAQUE], _DOUBLE, asApproximateFloat=lambda value: float(_amount(value))),
    *_members(
        [_OPAQUE], _BOOL,
        isInteger=_is(_as_integer),
        isUnspecified=lambda ip: _address(ip).is_unspecified,
        isLoopback=lambda ip: _address(ip).is_loopback,
        isLinkLocalUnicast=lambda ip: _address(ip).is_link_local,
        isLinkLocalMulticast=lambda ip: bool(
            _address(ip).is_multicast and re.match(r"224\.0\.0\.|ff.2:", str(_address(ip)))
        ),
        isGlobalUnicast=lambda ip: _is_global(_address(ip)),
        hasValue=lambda optional: bool(_inside(optional, _OPTIONAL)),
    ),
    *_members([_OPAQUE, _OPAQUE], _INT, compareTo=_compared),
    *_members(
        [_OPAQUE, _OPAQUE], _BOOL,
        isGreaterThan=lambda one, other: _compared(one, other) > 0,
        isLessThan=lambda one, other: _compared(one, other) < 0,
        containsIP=_contains_ip, containsCIDR=_contains_cidr,
    ),
    *_members([_OPAQUE, _STRING], _BOOL, containsIP=_contains_ip, containsCIDR=_contains_cidr),
    *(
        row
        for other in (_OPAQUE, _INT)
        for row in _members(
            [_OPAQUE, other], _OPAQUE,
            add=lambda one, other: _exactly(_amount(one) + _amount(other)),
            sub=lambda one, other: _exactly(_amount(one) - _amount(other)),
        )
    ),
    *_members(
        [_OPAQUE], _OPAQUE,
        ip=lambda cidr: _ip(_inside(cidr, _CIDR).partition("/")[0]),
        masked=lambda cidr: _cidr(str(_network(cidr))),
    ),
    *_members([_OPAQUE], _DYN, value=_value),
    *_members([_OPAQUE, _STRING], _OPAQUE, validate=_validate),
    *_globals([_OPAQUE], _STRING, string=_text_of),
    ("format.named", False, [_STRING], _OPAQUE, _named_format),
    *((f"format.{name}", False, [], _OPAQUE, _format(name)) for name in _FORMATS),
)  # fmt: skip


def library() -> cel.CelExtension:
    """All of them, for an environment."""
    return _extension("kubernetes", _ROWS)


def maps() -> cel.CelExtension:
    """The function with which a loop makes a map."""
    rows = [
        ("cel.@mapInsert", False, [_MAP, _DYN, _DYN], _MAP, _with),
        ("cel.@mapInsert", False, [_MAP, _MAP], _MAP, _with_all),
    ]
    return _extension("maps", rows)


def _extension(of: str, rows: Iterable[_Row]) -> cel.CelExtension:
    found: dict[str, list[cel.Overload]] = {}
    for place, (name, is_member, parameters, result, function) in enumerate(rows):
        overload = cel.Overload(f"{of}_{place}_{name}", result, parameters, is_member, function)
        found.setdefault(name, []).append(overload)
    functions = [cel.FunctionDecl(name, overloads) for name, overloads in found.items()]
    return cel.CelExtension(of, functions)


_PLAIN: Sequence[tuple[str, type]] = (
    ("BOOL", bool), ("INT", int), ("STRING", str), ("DOUBLE", float), ("LIST", list),
    ("MAP", dict),
)  # fmt: skip


_CONVERSIONS: Sequence[_Row] = (
    *_globals([_BOOL], _STRING, string=lambda value: str(value).lower()),
    *_globals([_INT], _STRING, string=str),
    *_globals([_STRING], _STRING, string=str),
    *_globals([_INT], _INT, int=int),
    *_globals([_INT], _DOUBLE, double=float),
    *_globals([_DOUBLE], _DOUBLE, double=float),
)
"""The runtime's own, where calling it would take longer than they do."""


def _plain_type(declared: cel.Type) -> type:
    name = declared.name()
    return next((plain for word, plain in _PLAIN if name.startswith(word)), object)


@cache
def _forms() -> Mapping[tuple[str, bool, int], list[tuple[list[type], Callable[..., Any]]]]:
    found: dict[tuple[str, bool, int], list[tuple[list[type], Callable[..., Any]]]] = {}
    for name, is_member, parameters, _, function in (*_CONVERSIONS, *_ROWS):
        form = ([_plain_type(each) for each in parameters], function)
        found.setdefault((name, is_member, len(parameters)), []).append(form)
    return found


def implementation(
    name: str, given: Sequence[Any], *, is_member: bool
) -> Callable[..., Any] | None:
    """The function of ours that takes these values; None if there is none."""
    for types, function in _forms().get((name, is_member, len(given)), ()):
        if all(isinstance(value, kind) for value, kind in zip(given, types, strict=True)):
            return function
    return None
