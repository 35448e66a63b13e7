"""Everything about a request that is not a property: tokens, versions, paths, bodies, headers."""

from __future__ import annotations

import json
import random
import re

import pytest

from arm_aks.world import CLUSTER, GROUP, KEY, NEWEST, SUBSCRIPTION, cluster_body, run
from poolwright.arm.routing import Access
from poolwright.arm.settings import ArmSettings
from poolwright.arm.tokens import TokenKeys
from poolwright.model.limits import (
    MAX_PODS_MAX,
    MAX_PODS_MIN,
    OS_DISK_GB_MAX,
    OS_DISK_GB_MIN,
    POOL_NAME_WINDOWS_MAX,
    POOL_NAMES_RESERVED,
    TAG_NAME_MAX,
    TAG_VALUE_MAX,
    TAGS_MAX,
    TODAY,
)

from .cases import Case, Tally, ask

SEED = 20261121
NAMES = {
    "subscription": SUBSCRIPTION,
    "resource_group": "rg1",
    "cluster": "c1",
    "pool": "nodepool1",
    "location": "eastus",
    "namespace": "Microsoft.ContainerService",
    "feature": "ManagedGPUExperiencePreview",
    "configuration": "default",
}
READS_NO_BODY = ("subscriptionFeatureRegistrations/{feature}",)
"""Writes that need nothing but their path."""
POOL = f"{CLUSTER}/agentPools/np"
HOSTILE_NAMES = (
    "%2e%2e", "..%2f..%2fetc%2fpasswd", "%00", "a%00b", "%ff%fe", "%F0%9F%9A%80", "a" * 300,
    "a" * 5000, "%20", "'%20OR%201=1--", "%25s%25n", "{pool}", "$(id)", "%0d%0aX-Evil:%201",
    "%u0041", "%", "-", "_", "con", "null", "\u00e9", "%E2%80%AE", "*", "a;b", "a%3fb", "a%23b",
)  # fmt: skip


def filled(template, **names):
    return re.sub(r"\{(\w+)\}", lambda m: {**NAMES, **names}.get(m[1], "x1"), template)


def signed(**claims):
    now = 1_800_000_000
    base = {"aud": "https://localhost:8443", "tid": ArmSettings().tenant, "exp": now, "nbf": 0}
    return TokenKeys.from_pem(KEY).sign({**base, **claims})


BAD_TOKENS = {
    "no scheme": ("tttt", "InvalidAuthenticationToken"),
    "basic": ("Basic dDp0", "InvalidAuthenticationToken"),
    "empty": ("", "InvalidAuthenticationToken"),
    "only a scheme": ("Bearer", "InvalidAuthenticationToken"),
    "no JWT": ("Bearer abc", "InvalidAuthenticationToken"),
    "dots": ("Bearer ...", "InvalidAuthenticationToken"),
    "no algorithm": ("Bearer eyJhbGciOiJub25lIn0.e30.", "InvalidAuthenticationToken"),
    "huge": (f"Bearer {'a' * 20000}", "InvalidAuthenticationToken"),
    "not ASCII": ("Bearer ü", "InvalidAuthenticationToken"),
    "expired": (f"Bearer {signed(exp=1)}", "ExpiredAuthenticationToken"),
    "another tenant": (f"Bearer {signed(tid='x')}", "InvalidAuthenticationToken"),
    "another audience": (f"Bearer {signed(aud='device')}", "InvalidAuthenticationToken"),
    "not begun": (f"Bearer {signed(nbf=10**11)}", "InvalidAuthenticationToken"),
    "a list of audiences": (f"Bearer {signed(aud=['a', {}])}", "InvalidAuthenticationToken"),
    "a forged signature": (f"Bearer {signed()[:-8]}AAAAAAAA", "InvalidAuthenticationToken"),
}
BAD_VERSIONS = ("yesterday", "2024-13-01", "2024-1-1", "2024-01-01-", "%00", "2024-01-01'--", "日")


def front_door(routes):
    rng = random.Random(SEED)
    for route in routes:
        if route.access is Access.PUBLIC:
            continue
        path, own = filled(route.template), route.versions
        version = own[-1] if own else "2024-11-01"
        about = f"{route.method} {route.template[-60:]}"
        for name, (value, code) in rng.sample(sorted(BAD_TOKENS.items()), 4):
            yield Case(
                f"{about}: token: {name}", route.method, path, version=version,
                headers={"authorization": value}, codes=(code,), status=401,
            )  # fmt: skip
        bad = "InvalidApiVersionParameter" if own is None else "NoRegisteredProviderFound"
        for value in rng.sample(BAD_VERSIONS, 3):
            yield Case(
                f"{about}: api-version {value}", route.method, path, version=value,
                codes=(bad,), status=400,
            )  # fmt: skip
        yield Case(
            f"{about}: no api-version", route.method, path, version="",
            codes=("MissingApiVersionParameter",), status=400,
        )  # fmt: skip
        yield Case(
            f"{about}: an unknown method", "BREW", path, version=version,
            codes=("MethodNotAllowed",), status=405,
        )  # fmt: skip
        yield Case(
            f"{about}: below it nothing", route.method, f"{path}/x/y/z/nothing", version=version,
            codes=None, status=400 if path == "/subscriptions" else 404,
        )  # fmt: skip
        for host in ("", "a b", "evil\x7f", "localhost:8443/x", "x" * 70000):
            yield Case(
                f"{about}: host {host[:9]!r}", route.method, path, version=version,
                headers={"host": host}, codes=("BadHostHeader",), status=400,
            )  # fmt: skip
        if "{subscription}" in route.template:
            yield Case(
                f"{about}: no GUID", route.method, filled(route.template, subscription="nope"),
                version=version, codes=("InvalidSubscriptionId",), status=400,
            )  # fmt: skip
            other = filled(route.template, subscription=SUBSCRIPTION.replace("1", "9"))
            yield Case(
                f"{about}: another subscription", route.method, other, version=version,
                codes=("SubscriptionNotFound",), status=404,
            )  # fmt: skip


def hostile_paths(routes):
    rng = random.Random(SEED + 1)
    for route in routes:
        version = route.versions[-1] if route.versions else "2024-11-01"
        holes = re.findall(r"\{(\w+)\}", route.template)
        for hole in holes:
            for value in rng.sample(HOSTILE_NAMES, 4):
                path = filled(route.template, **{hole: value})
                yield Case(f"{hole}={value[:20]}", route.method, path, version=version, codes=None)


RAW = (
    b"", b" ", b"{", b"}", b"[", b"[]", b"null", b"true", b"7", b'"x"', b"{]", b'{"a"}',
    b'{"a":1,}', b"{'a':1}", b'{"a":NaN}', b'{"a":Infinity}', b'{"a":1e999}', b"\xff\xfe{}",
    b"\xef\xbb\xbf{}", b'{"a":"\xff"}', b'{"a":"\\ud800"}', b'{"a":"\\u12"}', b"{} {}",
    b'{"a":01}', b'{"a":\x00}', b'{"a":"\x01"}', b"<xml/>", b"a=b&c=d", b"[" * 100_000,
    b'{"a":' * 50_000, b"[" * 5000 + b"]" * 5000, b'{"properties":[]}', b'{"properties":"x"}',
    b'{"properties":7}', b'{"properties":' + b'{"a":' * 3000 + b"1" + b"}" * 3001,
)  # fmt: skip


def bodies(routes):
    for route in routes:
        if route.method not in {"PUT", "PATCH"} or route.access is Access.PUBLIC:
            continue
        version = route.versions[-1] if route.versions else "2024-11-01"
        path = filled(route.template)
        about = f"{route.method} {route.template[-50:]}"
        for raw in RAW:
            codes = None
            if raw in RAW[:29] and raw not in (b"null", b"{} {}") and not _is_object(raw):
                codes = ("InvalidRequestContent", "ResourceNotFound")
            if route.template.endswith(READS_NO_BODY):
                codes = None
            yield Case(f"{about}: {raw[:20]!r}", route.method, path, version=version, raw=raw,
                       codes=codes)  # fmt: skip


def _is_object(raw):
    try:
        return isinstance(json.loads(raw), dict)
    except (ValueError, RecursionError):
        return False


def media_types():
    body = {"properties": {"count": 1}}
    for name in ("text/plain", "application/xml", "", "x" * 3000, "application/x-www-form-urlenc"):
        case = Case(
            f"content type {name[:20]!r}",
            "PUT",
            POOL,
            raw=json.dumps(body).encode(),
            headers={"content-type": name},
            codes=("UnsupportedMediaType",),
            status=415,
        )
        yield case
    huge = b'{"properties":{"nodeLabels":{"a":"' + b"x" * (4 * 1024 * 1024) + b'"}}}'
    yield Case(
        "a body of 4 MiB", "PUT", POOL, raw=huge, codes=("RequestEntityTooLarge",), status=413
    )


def pool(name, properties, code="InvalidParameter", target=None, path=""):
    properties = {"count": 1, "vmSize": "Standard_D4s_v5", **properties}
    return Case(
        f"{name[:30]} {str(properties)[-80:]}",
        "PUT",
        path or f"{CLUSTER}/agentPools/{name}",
        {"properties": properties},
        NEWEST,
        codes=(code,) if code else (),
        status=400 if code else None,
        target=target,
    )


def limits():
    name = "agentPoolProfile.name"
    for bad in ("1a", "a-b", "a_b", "a" * 13, "a.b", "a%20b", "%C3%A9", *POOL_NAMES_RESERVED):
        yield pool(bad, {}, target=name)
    windows = {"osType": "Windows", "osSKU": "Windows2022"}
    yield pool("w" * (POOL_NAME_WINDOWS_MAX + 1), windows, target=name)
    yield pool("w" * POOL_NAME_WINDOWS_MAX, windows, code=None)
    yield pool("a" * 12, {}, code=None)
    for row, low, high in (
        ("count", 0, TODAY.nodes_per_pool),
        ("maxPods", MAX_PODS_MIN, MAX_PODS_MAX),
        ("osDiskSizeGB", OS_DISK_GB_MIN, OS_DISK_GB_MAX),
    ):
        for value in (low - 1, high + 1, -(2**31), 2**31 - 1):
            yield pool("np", {row: value}, target=f"agentPoolProfile.{row}")
        for value in (low, high):
            yield pool("np", {row: value}, code=None)
    yield pool("np", {"mode": "System", "count": 0}, target="agentPoolProfile.count")
    length = "InvalidTagNameLength"
    yield pool("np", {"tags": {f"t{n}": "" for n in range(TAGS_MAX + 1)}}, "TooManyTags", "tags")
    yield pool("np", {"tags": {f"t{n}": "" for n in range(TAGS_MAX)}}, None)
    yield pool("np", {"tags": {"x" * (TAG_NAME_MAX + 1): ""}}, length, "tags")
    yield pool("np", {"tags": {"x": "y" * (TAG_VALUE_MAX + 1)}}, "InvalidTagValueLength", "tags")
    yield pool("np", {"tags": {"": "y"}}, length, "tags")
    yield pool("np", {"tags": {"a<b": "y"}}, "InvalidTagNameCharacters", "tags")
    yield pool("np", {"vmSize": "Standard_Nope"}, "VMSizeNotSupported", "agentPoolProfile.vmSize")
    yield pool("np", {"vmSize": "🚀"}, "VMSizeNotSupported", "agentPoolProfile.vmSize")
    for labels in ({"-a": "b"}, {"a": "-"}, {"a": "x" * 64}, {"": ""}, {"a b": "c"}, {"é": "c"}):
        yield pool("np", {"nodeLabels": labels}, target=None)
    for taint in ("", "a", "a=b", "a=b:Nope", ":NoSchedule", "=b:NoSchedule", "a=b:c:NoSchedule"):
        yield pool("np", {"nodeTaints": [taint]}, target="agentPoolProfile.nodeTaints")
    for zone in ("0", "4", "", "x"):
        yield pool("np", {"availabilityZones": [zone]}, target="agentPoolProfile.availabilityZones")
    clusters = f"{GROUP}/providers/Microsoft.ContainerService/managedClusters"
    for bad in ("-a", "a-", "_", "a" * 64, "a.b", "%C3%A9"):
        yield Case(
            f"cluster {bad}",
            "PUT",
            f"{clusters}/{bad}",
            cluster_body(),
            NEWEST,
            codes=("InvalidParameter",),
            status=400,
            target="resourceName",
        )
    for bad in ("-a", "a-", "a.b", "a" * 55, "é"):
        yield Case(
            f"dnsPrefix {bad}",
            "PUT",
            f"{clusters}/c3",
            cluster_body({"dnsPrefix": bad}),
            NEWEST,
            codes=("InvalidParameter",),
            status=400,
            target="dnsPrefix",
        )


def odd_bodies():
    twice = b'{"properties":{"count":1,"count":2,"vmSize":"Standard_D4s_v5"}}'
    yield Case("a member given twice", "PUT", POOL, raw=twice, reads={"count": 2})
    for text in ("\u202e", "\u0000", "\ufffe", "\U0001f680", "a\u0301", "\x7f", "\r\n", "\t"):
        for field in ("nodeLabels", "tags"):
            yield Case(
                f"{field} with {text!r}",
                "PUT",
                POOL,
                {"properties": {field: {text: text}}},
                codes=None,
            )
    for header in (
        "if-match",
        "if-none-match",
        "akshttpcustomfeatures",
        "commandname",
        "x-ms-client-request-id",
        "x-ms-correlation-request-id",
        "accept-language",
        "user-agent",
        "x-forwarded-host",
        "transfer-encoding",
        "expect",
        "range",
    ):
        for value in ("", "\xff", "*", '"', "W/", "a" * 60000, "1,2,,3", "é", "null", ", ,"):
            headers = {header: value, "x-ms-return-client-request-id": "true"}
            yield Case(f"{header}: {value[:9]!r}", "GET", CLUSTER, headers=headers, codes=None)
            yield Case(
                f"{header}: {value[:9]!r}",
                "PUT",
                POOL,
                {"properties": {"count": 1}},
                headers=headers,
                codes=None,
            )
    for query in (
        "$filter=%27",
        "$top=-1",
        "$top=x",
        "$skiptoken=%00",
        "$expand=%ff",
        "&&&===",
        "api-version=2020-01-01&api-version=x",
        "a" * 20000,
    ):
        for path in (
            GROUP,
            CLUSTER,
            f"/subscriptions/{SUBSCRIPTION}/resources",
            f"/subscriptions/{SUBSCRIPTION}/resourcegroups",
        ):
            yield Case(f"query {query[:20]}", "GET", f"{path}?{query}", codes=None)


GROUPS = {
    "front door": front_door,
    "hostile paths": hostile_paths,
    "bodies": bodies,
    "media types": lambda _: media_types(),
    "limits": lambda _: limits(),
    "odd bodies": lambda _: odd_bodies(),
}


@pytest.mark.parametrize("group", GROUPS)
def test_requests(group):
    tally = Tally()

    async def story(world):
        await world.cluster()
        await world.feature()
        for case in GROUPS[group](world.app.routes):
            answer = await ask(world, case, tally)
            if answer is not None and case.method != "GET" and answer.status < 300:
                await world.settle()
                if "/agentPools/" in case.path:
                    await world.delete(case.path)
                    await world.settle()
                if (await world.get(CLUSTER)).status != 200:
                    tally.problems.append(f"{case.about}: {case.method} {case.path}: took c1 away")
                    break

    run(story)
    tally.check()
    assert tally.asked >= 6
