"""Specs that are well formed and wrong: the rules of each kind but pods, one or two a request."""

from __future__ import annotations

from typing import Any

_POD = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "b"}]}}
_ONCE = {**_POD, "spec": {**_POD["spec"], "restartPolicy": "Never"}}
_WORKLOAD = {"selector": {"matchLabels": {"a": "b"}}, "template": _POD}
_CPU = "cpu"


def _rolling(**members: Any) -> dict[str, Any]:
    return {"type": "RollingUpdate", "rollingUpdate": members}


def _codes(**members: Any) -> dict[str, Any]:
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1], **members}}
    return {"podFailurePolicy": {"rules": [rule]}}


def _indexes(text: str, **more: Any) -> dict[str, Any]:
    rules = [{"succeededIndexes": text, **more}]
    return {"completionMode": "Indexed", "completions": 9, "successPolicy": {"rules": rules}}


def _peer(**members: Any) -> dict[str, Any]:
    return {"ingress": [{"from": [members]}]}


def _resource(**target: Any) -> dict[str, Any]:
    return {"metrics": [{"type": "Resource", "resource": {"name": _CPU, "target": target}}]}


def _limit(kind: str, **members: Any) -> dict[str, Any]:
    return {"limits": [{"type": kind, **members}]}


def _path(**members: Any) -> dict[str, Any]:
    return {"rules": [{"host": "a.b", "http": {"paths": [members]}}]}


_BALANCED: dict[str, Any] = {"type": "LoadBalancer"}
_LOCAL = {**_BALANCED, "externalTrafficPolicy": "Local"}
_NAMED = {"type": "ExternalName", "externalName": "a.b"}
_OPEN = {"type": "NodePort"}


def _sticky(seconds: int) -> dict[str, Any]:
    config = {"clientIP": {"timeoutSeconds": seconds}}
    return {"sessionAffinity": "ClientIP", "sessionAffinityConfig": config}


def _target(port: str) -> dict[str, Any]:
    return {"ports": [{"port": 80, "targetPort": port}]}


def _ports(*numbers: int) -> dict[str, Any]:
    ports = [{"name": f"p{n}", "port": 80 + n} for n in range(len(numbers))]
    return {"ports": [{**port, "nodePort": n} for port, n in zip(ports, numbers, strict=True)]}


SERVICES: dict[str, tuple[dict[str, Any], tuple[dict[str, Any], ...]]] = {
    "inside": ({"clusterIP": "10.0.0.200"}, (
        {"clusterIP": "10.0.0.77"}, {"clusterIP": "None"}, {"clusterIPs": ["10.0.0.77"]},
        {"clusterIP": None}, {"clusterIP": "10.0.0.77", "clusterIPs": ["10.0.0.77"]},
        {"ipFamilies": ["IPv6"]}, {"ipFamilies": ["IPv4", "IPv6"]},
        {"ipFamilyPolicy": "RequireDualStack"}, {"ports": []}, _ports(31123),
        {"externalTrafficPolicy": "Local"},
        {"healthCheckNodePort": 31123}, {"loadBalancerClass": "a.b/c"},
        {"allocateLoadBalancerNodePorts": True}, {**_OPEN, **_ports(31121)},
        {**_NAMED, "clusterIP": ""}, {"type": "ExternalName"}, _sticky(0))),
    "open": ({**_OPEN, **_ports(31121, 31122)}, (
        _ports(31122, 31121), _ports(31123), {"type": "ClusterIP", **_ports(31123)},
        {"type": "ClusterIP", "externalTrafficPolicy": "Local"}, {"type": "ClusterIP"}, _NAMED)),
    "balanced": ({**_LOCAL, "healthCheckNodePort": 31124, "loadBalancerClass": "a.b/c"}, (
        {"healthCheckNodePort": 31125}, {"loadBalancerClass": None}, {"loadBalancerClass": "d.e/f"},
        {"type": "NodePort", "loadBalancerClass": "d.e/f"}, {"externalTrafficPolicy": "Cluster"},
        {"externalTrafficPolicy": "Cluster", "healthCheckNodePort": 31125},
        {"loadBalancerSourceRanges": ["x"]}, {"type": "ClusterIP"})),
    "named": (_NAMED, (
        {"externalName": ""}, {"clusterIP": "10.0.0.77"},
        {"type": "ClusterIP", "externalName": None},
        {**_OPEN, **_ports(31121)})),
    "headless": ({"clusterIP": "None"}, (
        {"clusterIP": "10.0.0.77"}, {"clusterIP": None}, _OPEN, {"ports": []},
        {"ipFamilies": ["IPv6"]})),
}  # fmt: skip
"""Services that are there, and changes of each."""

_BACKEND = {"service": {"name": "s", "port": {"number": 80}}}
_SCOPE = {"scopeName": "PriorityClass", "operator": "In", "values": []}

_VOLUME: dict[str, Any] = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]}
_ON_HOST = {**_VOLUME, "hostPath": {"path": "/x"}}


def _made_of(kind: str, **members: Any) -> dict[str, Any]:
    return {"hostPath": None, kind: members}


def _on_nodes(*terms: Any) -> dict[str, Any]:
    return {"nodeAffinity": {"required": {"nodeSelectorTerms": [*terms]}}}


FAULTS: tuple[tuple[str, str, str, dict[str, Any], tuple[dict[str, Any], ...]], ...] = (
    ("deployments", "apps/v1", "Deployment", _WORKLOAD, (
        {"strategy": _rolling(maxUnavailable="150%")},
        {"template": {**_POD, "spec": {**_POD["spec"], "activeDeadlineSeconds": 5}}})),
    ("daemonsets", "apps/v1", "DaemonSet", _WORKLOAD, (
        {"updateStrategy": _rolling(maxUnavailable="101%")},)),
    ("statefulsets", "apps/v1", "StatefulSet", _WORKLOAD, (
        {"volumeClaimTemplates": [{"metadata": {"name": "v"}, "spec": {}}]},)),
    ("jobs", "batch/v1", "Job", {"template": _ONCE}, (
        {"backoffLimitPerIndex": 1}, {"maxFailedIndexes": 1, "completionMode": "Indexed"},
        {"selector": {"matchLabels": {"x": "y"}}}, {"podReplacementPolicy": "X"},
        {"managedBy": "foo"}, {"managedBy": "a_b/c d"}, {"managedBy": "example.com/x"},
        _codes(containerName="z"), _codes(values=[0]), _codes(values=[3, 1, 3]),
        _codes(values=[]), _codes(operator="X"), {"podFailurePolicy": {"rules": [{}]}},
        {**_codes(), "podReplacementPolicy": "TerminatingOrFailed"},
        {"successPolicy": {"rules": [{"succeededCount": 1}]}},
        _indexes("5-2"), _indexes("x"), _indexes(""), _indexes("0,,2"), _indexes("-1"),
        _indexes("1-2-3"), _indexes("0-999999999999"), _indexes("3,1"), _indexes("9"),
        _indexes("0-8"), _indexes("0-2", succeededCount=4), _indexes("0-2", succeededCount=10),
        {"completionMode": "Indexed", "completions": 200000, "backoffLimitPerIndex": 1,
         "parallelism": 20000})),
    ("cronjobs", "batch/v1", "CronJob",
     {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": _ONCE}}}, (
        {"timeZone": "Foo/Bar"}, {"timeZone": "Europe/Berlin"}, {"timeZone": ""},
        {"schedule": "99 * * * *"}, {"schedule": "5-2 * * * *"}, {"schedule": "*/0 * * * *"},
        {"schedule": "* * * foo *"}, {"schedule": "@never"}, {"schedule": "@every x"},
        {"schedule": "a b"}, {"schedule": "1-2-3 * * * *"}, {"schedule": "0 0 1 jan mon"})),
    ("services", "v1", "Service", {"ports": [{"port": 80}], "selector": {"a": "b"}}, (
        {"ports": [{"port": 80, "nodePort": 30000}]}, {"clusterIP": "1.2.3"},
        {"clusterIP": "192.168.1.1"}, {"type": "ExternalName"}, {"ipFamilies": ["IPv6"]},
        {"externalTrafficPolicy": "Local"}, {"ipFamilyPolicy": "RequireDualStack"},
        {"type": "LoadBalancer", "loadBalancerSourceRanges": ["x", "10.0.0.1/8"]},
        {"loadBalancerSourceRanges": ["10.0.0.0/8"]}, {"externalIPs": ["127.0.0.1", "01.2.3.4"]},
        {"type": "NodePort", "clusterIP": "None"}, {"trafficDistribution": "X"},
        {"healthCheckNodePort": 31111}, {**_BALANCED, "healthCheckNodePort": 31111},
        {**_LOCAL, "healthCheckNodePort": 70000}, {**_LOCAL, "healthCheckNodePort": -1},
        _sticky(0), _sticky(-1), _sticky(86401), _sticky(86400), {"sessionAffinity": "X"},
        {"externalTrafficPolicy": ""}, {"loadBalancerSourceRanges": []},
        {"allocateLoadBalancerNodePorts": False}, {"loadBalancerClass": "a.b/c"},
        {**_BALANCED, "loadBalancerClass": "a b"}, {**_BALANCED, "loadBalancerClass": ""},
        {"ipFamilies": ["IPv4", "IPv6"]}, {"ipFamilies": ["IPv4", "IPv4"]},
        {"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "PreferDualStack"},
        {"clusterIP": "None", "ipFamilies": ["IPv6"]}, {"clusterIP": "fd00::1"},
        {"clusterIP": "None", "ipFamilyPolicy": "RequireDualStack"},
        {"clusterIPs": ["10.0.0.9"]}, {"clusterIP": "10.0.0.9", "clusterIPs": ["10.0.0.8"]},
        {"clusterIP": "1.1.1.1", "clusterIPs": ["1.1.1.1", "1.1.1.2"]},
        {**_NAMED, "clusterIP": "10.0.0.9"}, {**_NAMED, "ipFamilies": ["IPv4"]},
        {**_NAMED, "externalName": "A_b"}, {**_NAMED, "internalTrafficPolicy": "Cluster"},
        {**_NAMED, "ports": [{"port": 80, "nodePort": 31111}]},
        {**_OPEN, "ports": [{"name": "a", "port": 80, "nodePort": 31111},
                            {"name": "b", "port": 81, "nodePort": 31111}]},
        _target("HTTP"), _target("A_B"), _target("80"), _target("a--b"), _target("-a"),
        {"ports": [{"port": 80, "appProtocol": "a b"}]}, {"ports": [{"port": 80}] * 2},
        {"externalIPs": ["1.2.3.4"]}, {"externalName": "a.b"},
        {"clusterIP": "None", "sessionAffinity": "ClientIP"})),
    ("persistentvolumes", "v1", "PersistentVolume", _ON_HOST, (
        {}, {"capacity": None}, {"capacity": {}}, {"capacity": {"cpu": "1"}},
        {"capacity": {"storage": "0"}}, {"capacity": {"storage": "-1"}},
        {"capacity": {"storage": "1Gi", "cpu": "1"}}, {"hostPath": None},
        {"nfs": {"server": "a", "path": "/b"}}, {"accessModes": []}, {"accessModes": ["X"]},
        {"accessModes": ["ReadWriteOncePod", "ReadWriteOnce"]}, {"volumeMode": "X"},
        {"persistentVolumeReclaimPolicy": "X"}, {"storageClassName": "A_"},
        {"persistentVolumeReclaimPolicy": "Recycle", "hostPath": {"path": "/"}},
        {"volumeAttributesClassName": ""}, {"volumeAttributesClassName": "a"},
        {"hostPath": {"path": "/a/../b"}}, _made_of("nfs", server="", path="b"),
        _made_of("local", path="/d"), {**_made_of("local", path=""), **_on_nodes({})},
        {"nodeAffinity": {}}, _on_nodes(),
        _on_nodes({"matchExpressions": [{"key": "a", "operator": "X"}]}),
        _on_nodes({"matchExpressions": [{"key": "a", "operator": "In"}]}),
        _made_of("csi", driver="", volumeHandle=""), _made_of("csi", driver="a_b"),
        _made_of("azureFile", secretName="", shareName="", secretNamespace=""),
        _made_of("azureDisk", diskName="d", diskURI="x"),
        {"capacity": None, "accessModes": [], "hostPath": None,
         "persistentVolumeReclaimPolicy": "X"})),
    ("poddisruptionbudgets", "policy/v1", "PodDisruptionBudget", {}, (
        {"minAvailable": 1, "maxUnavailable": 1}, {"minAvailable": "150%"})),
    ("horizontalpodautoscalers", "autoscaling/v2", "HorizontalPodAutoscaler",
     {"maxReplicas": 3, "scaleTargetRef":
        {"kind": "Deployment", "name": "a", "apiVersion": "apps/v1"}}, (
        {"metrics": [{"type": "Resource"}]}, {"metrics": [{"type": "Pods", "resource": {
            "name": _CPU, "target": {"type": "Utilization", "averageUtilization": 1}}}]},
        _resource(type="Utilization"), _resource(type="X", averageUtilization=0),
        _resource(type="Utilization", averageUtilization=5, averageValue="1"),
        {"behavior": {"scaleDown": {"selectPolicy": "X", "stabilizationWindowSeconds": 4000,
         "policies": [{"type": "X", "value": 0, "periodSeconds": 2000}]}}})),
    ("networkpolicies", "networking.k8s.io/v1", "NetworkPolicy", {"podSelector": {}}, (
        _peer(), _peer(ipBlock={"cidr": "x"}), _peer(ipBlock={"cidr": "10.0.0.1/8"}),
        _peer(ipBlock={"cidr": "10.0.0.0/8", "except": ["11.0.0.0/8", "10.0.0.0/8"]}),
        _peer(ipBlock={"cidr": "10.0.0.0/8"}, podSelector={}),
        {"ingress": [{"ports": [{"port": 80, "endPort": 70}, {"endPort": 5}]}]})),
    ("persistentvolumeclaims", "v1", "PersistentVolumeClaim",
     {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}, (
        {"accessModes": []}, {"accessModes": ["X"]}, {"resources": {}},
        {"accessModes": ["ReadWriteOncePod", "ReadWriteOnce"]},
        {"resources": {"requests": {"storage": "0"}}}, {"volumeMode": "X"})),
    ("resourcequotas", "v1", "ResourceQuota", {"hard": {"pods": "1"}}, (
        {"hard": {"services": "1"}, "scopes": ["BestEffort"]},
        {"scopes": ["BestEffort", "NotBestEffort"]},
        {"scopeSelector": {"matchExpressions": [_SCOPE]}},
        {"scopeSelector": {"matchExpressions": [
            {"scopeName": "BestEffort", "operator": "In", "values": ["x"]}]}})),
    ("limitranges", "v1", "LimitRange", {}, (
        _limit("Pod", default={_CPU: "2"}), _limit("PersistentVolumeClaim"),
        _limit("Container", maxLimitRequestRatio={_CPU: "0.5"}),
        _limit("Container", maxLimitRequestRatio={_CPU: "4"}, min={_CPU: "1"}, max={_CPU: "2"}))),
    ("ingresses", "networking.k8s.io/v1", "Ingress", {}, (
        {}, {"defaultBackend": _BACKEND}, {"rules": [{"host": "1.2.3.4"}]},
        {"rules": [{"host": "*.x"}, {"host": "a.*"}, {"host": "A"}]}, _path(backend=_BACKEND),
        _path(path="a/../b", pathType="Prefix", backend={}),
        _path(path="/a//b/.", pathType="Exact", backend={**_BACKEND, "resource": {}}),
        {"defaultBackend": {"service": {"name": "S", "port": {"number": 1, "name": "a"}}}})),
    ("ingressclasses", "networking.k8s.io/v1", "IngressClass", {"controller": "a.b/c"}, (
        {"controller": "x"}, {"controller": ""}, {"parameters": {"kind": "A", "name": "b"}},
        {"parameters": {"scope": "Namespace"}}, {"parameters": {"kind": "A", "name": "b",
         "scope": "X"}})),
)  # fmt: skip
"""Plural, version and kind; a spec that will do; and what is put into it."""

SECRETS: tuple[dict[str, Any], ...] = (
    {"type": "kubernetes.io/tls"}, {"type": "kubernetes.io/basic-auth"},
    {"type": "kubernetes.io/ssh-auth", "data": {"ssh-privatekey": ""}},
    {"type": "kubernetes.io/service-account-token"},
    *({"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": text}}
      for text in ("{", "", "[]", "{}", "x", '{"a":1}')),
)  # fmt: skip
