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


_BACKEND = {"service": {"name": "s", "port": {"number": 80}}}
_SCOPE = {"scopeName": "PriorityClass", "operator": "In", "values": []}

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
        {"type": "NodePort", "clusterIP": "None"}, {"trafficDistribution": "X"})),
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
