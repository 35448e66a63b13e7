"""What is wrong with an address, a network, a host name or a path that a field holds.

Source: k8s.io/apimachinery v0.36 pkg/util/validation (ip.go, validation.go) and
k8s.io/kubernetes pkg/apis/core/validation (ValidateEndpointIP).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from poolwright.kubesim.rules import dns_subdomain
from poolwright.kubesim.status import Cause, invalid, required

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_ADDRESS = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
_NETWORK = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
_LEADING = re.compile(r"(?<![0-9a-fA-F:])0+(?=[0-9])")
"""Zeros before a decimal number: some read them as octal."""


def _mapped(address: Address) -> bool:
    return isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None


def parse_address(text: str) -> Address | None:
    """The address that a text says, zeros before a number left out."""
    try:
        return ipaddress.ip_address(text if ":" in text else _LEADING.sub("", text))
    except ValueError:
        return None


def parse_network(text: str) -> Network | None:
    """The network that a text says; bits beyond its prefix do not count."""
    head, sign, length = text.partition("/")
    address = parse_address(head)
    if address is None or not sign or not (length.isascii() and length.isdigit()):
        return None
    if len(length) > 4 or int(length) > address.max_prefixlen:
        return None
    return ipaddress.ip_network((address, int(length)), strict=False)


def check_address(text: str, path: str) -> Iterator[Cause]:
    """Broken rules of an address (IsValidIPForLegacyField)."""
    found = parse_address(text)
    if found is None:
        yield invalid(path, text, _ADDRESS)
    elif ":" not in text and _LEADING.search(text):
        yield invalid(path, text, "must not have leading 0s")
    elif _mapped(found):
        yield invalid(path, text, "must not be an IPv4-mapped IPv6 address")


def check_network(text: str, path: str) -> Iterator[Cause]:
    """Broken rules of a network (IsValidCIDRForLegacyField)."""
    found = parse_network(text)
    head, _, length = text.partition("/")
    if found is None:
        yield invalid(path, text, _NETWORK)
    elif (":" not in head and _LEADING.search(head)) or str(int(length)) != length:
        yield invalid(path, text, "must not have leading 0s in IP or prefix length")
    elif _mapped(found.network_address):
        yield invalid(path, text, "must not have an IPv4-mapped IPv6 address")
    elif found.network_address != parse_address(head):
        yield invalid(path, text, "must not have bits set beyond the prefix length")


_SPECIAL = (
    ("is_loopback", "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
    ("is_link_local", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
)
_LOCAL_GROUPS = (ipaddress.ip_network("224.0.0.0/24"), ipaddress.ip_network("ff02::/16"))


def check_common_address(text: str, path: str) -> Iterator[Cause]:
    """An address that others can reach (ValidateEndpointIP)."""
    problems = list(check_address(text, path))
    found = parse_address(text)
    yield from problems
    if problems or found is None:
        return
    if found.is_unspecified:
        yield invalid(path, text, f"may not be unspecified ({text})")
    for attribute, why in _SPECIAL:
        if getattr(found, attribute):
            yield invalid(path, text, why)
    if any(found in group for group in _LOCAL_GROUPS if group.version == found.version):
        why = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
        yield invalid(path, text, why)


_WILDCARD_FORMAT = r"\*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_WILDCARD = re.compile(_WILDCARD_FORMAT)
_WILDCARD_TEXT = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which"
    " must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric"
    f" character (e.g. '*.example.com', regex used for validation is '{_WILDCARD_FORMAT}')"
)


def check_host(text: str, path: str) -> Iterator[Cause]:
    """Broken rules of the name of a host, which may begin with ``*.``."""
    if "*" not in text:
        for problem in dns_subdomain(text):
            yield invalid(path, text, problem)
        return
    if len(text) > 253:
        yield invalid(path, text, "must be no more than 253 bytes")
    if not _WILDCARD.fullmatch(text):
        yield invalid(path, text, _WILDCARD_TEXT)


_PATH_FORMAT = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"
_PATH = re.compile(_PATH_FORMAT)


def check_domain_path(text: str, path: str) -> Iterator[Cause]:
    """Broken rules of a path that begins with a domain (IsDomainPrefixedPath)."""
    domain, _, rest = text.partition("/")
    if not text:
        yield required(path)
    elif not domain or not rest:
        yield invalid(path, text, 'must be a domain-prefixed path (such as "acme.io/foo")')
    else:
        for problem in dns_subdomain(domain):
            yield invalid(path, domain, problem)
        if not _PATH.fullmatch(rest):
            why = f"Invalid path (regex used for validation is '{_PATH_FORMAT}')"
            yield invalid(path, rest, why)
