"""What roles gather, and that nobody grants what they do not have."""

from __future__ import annotations

import json

import pytest

RBAC = "rbac.authorization.k8s.io"
API = f"/apis/{RBAC}/v1"
AGGREGATE = f"{RBAC}/aggregate-to-"


@pytest.fixture
def mine(world, namespace):
    """Names of cluster roles, which go with the test."""
    names = [f"{namespace}-{n}" for n in "abc"]
    yield names
    for name in names:
        world.ask("DELETE", f"{API}/clusterroles/{name}")


def binding(name, reference):
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name},
        "roleRef": reference,
        "subjects": [{"kind": "User", "name": "eve", "apiGroup": RBAC}],
    }


def role(name, *rules, kind="Role"):
    body = {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": {"name": name}}
    return {**body, "rules": list(rules)}


READ = ["get", "list"]
WRITE = ["create", "get", "update", "patch"]


@pytest.fixture
def acting(world, namespace):
    """Lets somebody act who may do some things to roles and bindings, and read a few others."""

    def with_(*verbs):
        path = f"{API}/namespaces/{namespace}"
        given = [{"apiGroups": [RBAC], "resources": ["roles", "rolebindings"], "verbs": verbs}]
        given.append({"apiGroups": [""], "resources": ["pods", "*/scale"], "verbs": READ})
        named = {"resources": ["secrets"], "resourceNames": ["a", "b"], "verbs": ["get"]}
        given.append({"apiGroups": [""], **named})
        world.create(f"{path}/roles", {"metadata": {"name": "writer"}, "rules": given})
        reference = {"apiGroup": RBAC, "kind": "Role", "name": "writer"}
        world.create(f"{path}/rolebindings", binding("writer", reference))

        def act(body, verb="create"):
            words = f"{verb} --as=eve -f -"
            said = world.kubectl(words, stdin=json.dumps(body), namespace=namespace)
            return said.err.strip() or said.out.strip()

        return act

    return with_


@pytest.fixture
def eve(acting):
    return acting(*WRITE)


def test_star_is_every_verb(acting):
    """Who may do everything to roles may escalate, and bind."""
    eve = acting("*")
    every = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    assert eve(role("all", every)) == "role.rbac.authorization.k8s.io/all created"
    reference = {"apiGroup": RBAC, "kind": "Role", "name": "all"}
    made = "rolebinding.rbac.authorization.k8s.io/all created"
    assert eve(binding("all", reference)) == made


HELD = [
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "get"]},
    {"apiGroups": [""], "resources": ["replicationcontrollers/scale"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["b"], "verbs": ["get"]},
]
LACKED = {
    "verbs": ({"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "watch", "delete"]},),
    "everything": ({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},),
    "names": (
        {
            "apiGroups": [""],
            "resources": ["secrets"],
            "resourceNames": ["b", "c"],
            "verbs": ["get"],
        },
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]},
    ),
    "several": (
        {"apiGroups": ["", "apps"], "resources": ["pods", "nodes"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["watch"]},
        {"apiGroups": [""], "resources": ["pods/log", "x/scale"], "verbs": ["get"]},
    ),
}
TOLD = {
    "verbs": ['{APIGroups:[""], Resources:["pods"], Verbs:["watch" "delete"]}'],
    "everything": ['{APIGroups:["*"], Resources:["*"], Verbs:["*"]}'],
    "names": [
        '{APIGroups:[""], Resources:["secrets"], ResourceNames:["c"], Verbs:["get"]}',
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}',
    ],
    "several": [
        '{APIGroups:[""], Resources:["nodes"], Verbs:["get" "list" "watch"]}',
        '{APIGroups:[""], Resources:["pods/log"], Verbs:["get"]}',
        '{APIGroups:["apps"], Resources:["nodes"], Verbs:["get" "list"]}',
        '{APIGroups:["apps"], Resources:["pods"], Verbs:["get" "list"]}',
    ],
    "cluster-admin": [
        '{APIGroups:["*"], Resources:["*"], Verbs:["*"]}',
        '{NonResourceURLs:["*"], Verbs:["*"]}',
    ],
}


def told(what, name, doing="creating"):
    return "\n".join(
        [
            f'Error from server (Forbidden): error when {doing} "STDIN": {name} is forbidden: user'
            ' "eve" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not'
            " currently held:",
            *TOLD[what],
        ]
    )


def test_what_somebody_has_they_may_give(eve):
    assert eve(role("held", *HELD)) == "role.rbac.authorization.k8s.io/held created"


@pytest.mark.parametrize("name", LACKED)
def test_what_somebody_lacks_they_may_not_give(eve, name):
    assert eve(role("more", *LACKED[name])) == told(name, f'roles.{RBAC} "more"')


def test_a_role_that_somebody_lacks_they_may_not_bind(world, namespace, eve):
    cluster = {"apiGroup": RBAC, "kind": "ClusterRole", "name": "cluster-admin"}
    assert eve(binding("top", cluster)) == told("cluster-admin", f'rolebindings.{RBAC} "top"')
    missing = {**cluster, "name": "nobody-has-this"}
    assert eve(binding("none", missing)) == (
        'Error from server (NotFound): error when creating "STDIN":'
        ' rolebindings.rbac.authorization.k8s.io "nobody-has-this" not found'
    )
    own = {"apiGroup": RBAC, "kind": "Role", "name": "writer"}
    assert eve(binding("own", own)) == "rolebinding.rbac.authorization.k8s.io/own created"
    path = f"{API}/namespaces/{namespace}"
    bind = {"apiGroups": [RBAC], "resources": ["clusterroles"], "verbs": ["bind"]}
    named = {**bind, "resourceNames": ["cluster-admin"]}
    world.create(f"{path}/roles", {"metadata": {"name": "binder"}, "rules": [named]})
    world.create(f"{path}/rolebindings", binding("b", {**own, "name": "binder"}))
    made = "rolebinding.rbac.authorization.k8s.io/top created"
    world.until(lambda: eve(binding("top", cluster)) == made)


def test_a_role_that_grows_is_held_against_its_writer(eve):
    assert eve(role("held", *HELD)).endswith("created")
    assert eve(role("held", HELD[0]), "replace").endswith("replaced")
    assert eve(role("held", *LACKED["everything"]), "replace") == told(
        "everything", f'roles.{RBAC} "held"', "replacing"
    )


@pytest.mark.parametrize("level", ["view", "edit", "admin"])
def test_the_roles_for_users_gather_others(world, level):
    given = world.get(f"{API}/clusterroles/{level}")
    (selector,) = given["aggregationRule"]["clusterRoleSelectors"]
    assert selector == {"matchLabels": {AGGREGATE + level: "true"}}
    part = world.get(f"{API}/clusterroles/system:aggregate-to-{level}")
    assert [rule for rule in part["rules"] if rule not in given["rules"]] == []


def test_a_role_gathers_what_is_labelled(world, mine):
    whole, part, other = mine
    label = f"example.com/{whole}"
    body = {
        "metadata": {"name": whole},
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {label: "yes"}}]},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
    }
    world.create(f"{API}/clusterroles", body)
    path = f"{API}/clusterroles/{whole}"
    rules = [[{"apiGroups": [""], "resources": [r], "verbs": ["get"]}] for r in ("pods", "nodes")]
    for name, given in zip((part, other), rules, strict=True):
        body = {"metadata": {"name": name, "labels": {label: "yes"}}, "rules": given}
        world.create(f"{API}/clusterroles", body)
    world.until(lambda: world.get(path)["rules"] == [*rules[0], *rules[1]])
    world.patch(f"{API}/clusterroles/{part}", {"metadata": {"labels": None}})
    world.until(lambda: world.get(path)["rules"] == rules[1])


def test_what_is_labelled_reaches_the_roles_for_users(world, mine):
    rule = {"apiGroups": ["example.com"], "resources": ["widgets"], "verbs": ["get"]}
    body = {"metadata": {"name": mine[0], "labels": {AGGREGATE + "view": "true"}}, "rules": [rule]}
    world.create(f"{API}/clusterroles", body)
    world.until(lambda: rule in world.get(f"{API}/clusterroles/view")["rules"])
    world.until(lambda: rule in world.get(f"{API}/clusterroles/admin")["rules"])
