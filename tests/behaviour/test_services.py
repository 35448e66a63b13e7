"""Services get ports on nodes that nobody else has, and lose what their type has no use for."""

from __future__ import annotations

import pytest

NODE_PORTS = range(30000, 32768)


@pytest.fixture
def services(namespace):
    return f"/api/v1/namespaces/{namespace}/services"


def service(name, *ports, **spec):
    ports = [{"name": f"p{n}", **port} for n, port in enumerate(ports or [{"port": 80}])]
    return {"metadata": {"name": name}, "spec": {"selector": {"a": "b"}, **spec, "ports": ports}}


def refusal(world, services, body):
    status = world.refused(world.ask("POST", services, body), 422, "Invalid")
    (cause,) = status["details"]["causes"]
    return cause["field"], cause["message"]


def test_every_port_gets_one_on_the_nodes(world, services):
    made = world.create(services, service("a", {"port": 80}, {"port": 81}, type="NodePort"))
    numbers = [port["nodePort"] for port in made["spec"]["ports"]]
    assert len(set(numbers)) == 2
    assert all(number in NODE_PORTS for number in numbers)
    taken = service("b", {"port": 80, "nodePort": numbers[0]}, type="NodePort")
    field, message = refusal(world, services, taken)
    assert field == "spec.ports[0].nodePort"
    assert message.endswith("provided port is already allocated")
    world.delete(f"{services}/a")
    assert world.create(services, taken)["spec"]["ports"][0]["nodePort"] == numbers[0]


def test_protocols_of_a_port_share_a_number(world, services):
    ports = [{"port": 53}, {"port": 53, "protocol": "UDP"}]
    made = world.create(services, service("dns", *ports, type="NodePort"))
    assert len({port["nodePort"] for port in made["spec"]["ports"]}) == 1


def test_a_number_out_of_range(world, services):
    body = service("a", {"port": 80, "nodePort": 80}, type="NodePort")
    assert refusal(world, services, body) == (
        "spec.ports[0].nodePort",
        "Invalid value: 80: provided port is not in the valid range."
        " The range of valid ports is 30000-32767",
    )


def test_a_balancer_may_do_without_and_asks_nodes_where_it_must(world, services):
    spec = {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False}
    made = world.create(services, service("without", **spec))["spec"]
    assert "nodePort" not in made["ports"][0]
    spec = {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}
    made = world.create(services, service("local", **spec))["spec"]
    assert made["healthCheckNodePort"] in NODE_PORTS
    assert made["allocateLoadBalancerNodePorts"] is True
    changed = {"spec": {"externalTrafficPolicy": "Cluster"}}
    after = world.patch(f"{services}/local", changed)["spec"]
    assert "healthCheckNodePort" not in after
    assert after["ports"] == made["ports"]


def test_a_type_takes_its_members_along(world, services):
    world.create(services, service("a", type="LoadBalancer"))
    plain = world.patch(f"{services}/a", {"spec": {"type": "ClusterIP"}})["spec"]
    gone = {"allocateLoadBalancerNodePorts", "externalTrafficPolicy"}
    assert not gone & set(plain)
    assert "nodePort" not in plain["ports"][0]
    again = world.patch(f"{services}/a", {"spec": {"type": "NodePort"}})["spec"]
    assert again["ports"][0]["nodePort"] in NODE_PORTS
    assert again["clusterIP"] == plain["clusterIP"]
    named = {"spec": {"type": "ExternalName", "externalName": "x.example"}}
    assert "clusterIP" not in world.patch(f"{services}/a", named)["spec"]
    back = world.patch(f"{services}/a", {"spec": {"type": "ClusterIP", "externalName": None}})
    assert back["spec"]["clusterIP"]


def test_sticky_sessions_last_three_hours(world, services):
    made = world.create(services, service("a", sessionAffinity="ClientIP"))["spec"]
    assert made["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}
    after = world.patch(f"{services}/a", {"spec": {"sessionAffinity": "None"}})["spec"]
    assert "sessionAffinityConfig" not in after


def test_an_ingress_gets_the_class_that_is_the_default(world, namespace):
    networking = "/apis/networking.k8s.io/v1"
    said = {"ingressclass.kubernetes.io/is-default-class": "true"}
    for name, noted in (("story-a", {}), ("story-b", said)):
        made = {"metadata": {"name": name, "annotations": noted}}
        world.create(f"{networking}/ingressclasses", {**made, "spec": {"controller": "a.b/c"}})
    backend = {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}
    old = {"kubernetes.io/ingress.class": "x"}
    path = f"{networking}/namespaces/{namespace}/ingresses"

    def named_by_default():
        tried = world.ask("POST", path, {"metadata": {"name": "t"}, "spec": backend}, dryRun="All")
        return tried.json()["spec"].get("ingressClassName") == "story-b"

    try:
        world.until(named_by_default)
        for noted, named, gets in (
            ({}, {"ingressClassName": "other"}, "other"),
            (old, {}, None),
        ):
            metadata = {"generateName": "i", "annotations": noted}
            made = world.create(path, {"metadata": metadata, "spec": {**backend, **named}})
            assert made["spec"].get("ingressClassName") == gets
    finally:
        for name in ("story-a", "story-b"):
            world.delete(f"{networking}/ingressclasses/{name}")
