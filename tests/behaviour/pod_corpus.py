"""Pod specs that are odd or wrong in one way each: what is put into a good container or spec."""

from __future__ import annotations

from typing import Any

POD_FAULTS: dict[str, dict[str, Any]] = {
    "env two sources": {
        "container": {
            "env": [
                {
                    "name": "A",
                    "valueFrom": {
                        "fieldRef": {"fieldPath": "metadata.name"},
                        "secretKeyRef": {"name": "a", "key": "b"},
                    },
                }
            ]
        }
    },
    "env value and from": {
        "container": {
            "env": [
                {
                    "name": "A",
                    "value": "x",
                    "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}},
                }
            ]
        }
    },
    "env bad fieldpath": {
        "container": {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.foo"}}}]}
    },
    "env bad name": {"container": {"env": [{"name": "A=B"}]}},
    "env empty from": {"container": {"env": [{"name": "A", "valueFrom": {}}]}},
    "envFrom empty": {"container": {"envFrom": [{}]}},
    "resourceFieldRef bad": {
        "container": {
            "env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.foo"}}}]
        }
    },
    "init probe": {
        "spec": {
            "initContainers": [
                {"name": "i", "image": "x", "livenessProbe": {"exec": {"command": ["a"]}}}
            ]
        }
    },
    "init lifecycle": {
        "spec": {
            "initContainers": [
                {"name": "i", "image": "x", "lifecycle": {"preStop": {"exec": {"command": ["a"]}}}}
            ]
        }
    },
    "init restart Never": {
        "spec": {"initContainers": [{"name": "i", "image": "x", "restartPolicy": "Never"}]}
    },
    "container restartPolicy": {"container": {"restartPolicy": "Always"}},
    "dup container init": {"spec": {"initContainers": [{"name": "a", "image": "x"}]}},
    "two probes": {
        "container": {"livenessProbe": {"exec": {"command": ["a"]}, "tcpSocket": {"port": 1}}}
    },
    "no handler probe": {"container": {"livenessProbe": {"periodSeconds": 1}}},
    "liveness success 2": {
        "container": {"livenessProbe": {"exec": {"command": ["a"]}, "successThreshold": 2}}
    },
    "probe neg": {
        "container": {"livenessProbe": {"exec": {"command": ["a"]}, "timeoutSeconds": -1}}
    },
    "probe tgps readiness": {
        "container": {
            "readinessProbe": {"exec": {"command": ["a"]}, "terminationGracePeriodSeconds": 5}
        }
    },
    "limits<requests": {
        "container": {"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}}
    },
    "unknown res": {"container": {"resources": {"limits": {"foo": "1"}}}},
    "hugepages alone": {"container": {"resources": {"limits": {"hugepages-2Mi": "2Mi"}}}},
    "ephemeral ok": {"container": {"resources": {"limits": {"ephemeral-storage": "2Mi"}}}},
    "claims unknown": {"container": {"resources": {"claims": [{"name": "x"}]}}},
    "resourceClaims both": {
        "spec": {
            "resourceClaims": [
                {"name": "g", "resourceClaimName": "a", "resourceClaimTemplateName": "b"}
            ]
        }
    },
    "resourceClaims none": {"spec": {"resourceClaims": [{"name": "g"}]}},
    "privileged noescal": {
        "container": {"securityContext": {"privileged": True, "allowPrivilegeEscalation": False}}
    },
    "runAsUser neg": {"spec": {"securityContext": {"runAsUser": -1}}},
    "seccomp localhost none": {
        "spec": {"securityContext": {"seccompProfile": {"type": "Localhost"}}}
    },
    "seccomp bad": {"spec": {"securityContext": {"seccompProfile": {"type": "X"}}}},
    "sysctl bad": {"spec": {"securityContext": {"sysctls": [{"name": "A b", "value": "x"}]}}},
    "hostPID+share": {"spec": {"hostPID": True, "shareProcessNamespace": True}},
    "hostNetwork port": {
        "container": {"ports": [{"containerPort": 80, "hostPort": 81}]},
        "spec": {"hostNetwork": True},
    },
    "dup hostport": {
        "container": {
            "ports": [{"containerPort": 80, "hostPort": 81}, {"containerPort": 82, "hostPort": 81}]
        }
    },
    "dup port name": {
        "container": {
            "ports": [{"containerPort": 80, "name": "a"}, {"containerPort": 82, "name": "a"}]
        }
    },
    "port name long": {"container": {"ports": [{"containerPort": 80, "name": "aaaaaaaaaaaaaaaa"}]}},
    "hostIP bad": {"container": {"ports": [{"containerPort": 80, "hostIP": "x"}]}},
    "tol exists+value": {
        "spec": {"tolerations": [{"operator": "Exists", "key": "a", "value": "b"}]}
    },
    "tol no key equal": {"spec": {"tolerations": [{"operator": "Equal", "value": "b"}]}},
    "tol secs noexec": {
        "spec": {
            "tolerations": [{"operator": "Exists", "effect": "NoSchedule", "tolerationSeconds": 3}]
        }
    },
    "aff empty terms": {
        "spec": {
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}
                }
            }
        }
    },
    "aff bad op": {
        "spec": {
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [
                            {"matchExpressions": [{"key": "a", "operator": "Foo"}]}
                        ]
                    }
                }
            }
        }
    },
    "aff In none": {
        "spec": {
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [
                            {"matchExpressions": [{"key": "a", "operator": "In"}]}
                        ]
                    }
                }
            }
        }
    },
    "aff Gt x": {
        "spec": {
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [
                            {"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["x"]}]}
                        ]
                    }
                }
            }
        }
    },
    "aff field": {
        "spec": {
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [
                            {
                                "matchFields": [
                                    {"key": "metadata.foo", "operator": "In", "values": ["x"]}
                                ]
                            }
                        ]
                    }
                }
            }
        }
    },
    "aff weight 0": {
        "spec": {
            "affinity": {
                "nodeAffinity": {
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        {
                            "weight": 0,
                            "preference": {
                                "matchExpressions": [{"key": "a", "operator": "Exists"}]
                            },
                        }
                    ]
                }
            }
        }
    },
    "podaff no topo": {
        "spec": {
            "affinity": {
                "podAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": [{"labelSelector": {}}]
                }
            }
        }
    },
    "tsc dup": {
        "spec": {
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "a", "whenUnsatisfiable": "DoNotSchedule"},
                {"maxSkew": 1, "topologyKey": "a", "whenUnsatisfiable": "DoNotSchedule"},
            ]
        }
    },
    "tsc skew0": {
        "spec": {
            "topologySpreadConstraints": [
                {"maxSkew": 0, "topologyKey": "a", "whenUnsatisfiable": "DoNotSchedule"}
            ]
        }
    },
    "tsc minDomains any": {
        "spec": {
            "topologySpreadConstraints": [
                {
                    "maxSkew": 1,
                    "minDomains": 2,
                    "topologyKey": "a",
                    "whenUnsatisfiable": "ScheduleAnyway",
                }
            ]
        }
    },
    "tsc whenbad": {
        "spec": {
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "a", "whenUnsatisfiable": "X"}
            ]
        }
    },
    "dns None": {"spec": {"dnsPolicy": "None"}},
    "dns bad ns": {"spec": {"dnsConfig": {"nameservers": ["x"]}}},
    "hostalias bad": {"spec": {"hostAliases": [{"ip": "x", "hostnames": ["a"]}]}},
    "hostname bad": {"spec": {"hostname": "A_B"}},
    "subdomain bad": {"spec": {"subdomain": "A_B"}},
    "nodeName bad": {"spec": {"nodeName": "A_B"}},
    "nodeSelector bad": {"spec": {"nodeSelector": {"a b": "c"}}},
    "serviceAccount missing": {"spec": {"serviceAccountName": "nosuch"}},
    "serviceAccount bad": {"spec": {"serviceAccountName": "A_"}},
    "restartPolicy bad": {"spec": {"restartPolicy": "X"}},
    "activeDeadline 0": {"spec": {"activeDeadlineSeconds": 0}},
    "tgps neg": {"spec": {"terminationGracePeriodSeconds": -1}},
    "vol two": {"spec": {"volumes": [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/x"}}]}},
    "vol dup": {
        "spec": {"volumes": [{"name": "v", "emptyDir": {}}, {"name": "v", "emptyDir": {}}]}
    },
    "vol hostPath type": {
        "spec": {"volumes": [{"name": "v", "hostPath": {"path": "/x", "type": "Foo"}}]}
    },
    "vol hostPath dots": {"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/x/../y"}}]}},
    "vol secret noname": {"spec": {"volumes": [{"name": "v", "secret": {}}]}},
    "vol cm item path": {
        "spec": {
            "volumes": [
                {"name": "v", "configMap": {"name": "a", "items": [{"key": "a", "path": "../x"}]}}
            ]
        }
    },
    "vol mode": {
        "spec": {"volumes": [{"name": "v", "configMap": {"name": "a", "defaultMode": 9999}}]}
    },
    "vol pvc none": {"spec": {"volumes": [{"name": "v", "persistentVolumeClaim": {}}]}},
    "vol name bad": {"spec": {"volumes": [{"name": "V_", "emptyDir": {}}]}},
    "vol emptydir medium": {"spec": {"volumes": [{"name": "v", "emptyDir": {"medium": "X"}}]}},
    "vol emptydir neg": {"spec": {"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "-1"}}]}},
    "vol projected dup": {
        "spec": {
            "volumes": [
                {
                    "name": "v",
                    "projected": {
                        "sources": [
                            {"configMap": {"name": "a", "items": [{"key": "a", "path": "x"}]}},
                            {"secret": {"name": "a", "items": [{"key": "a", "path": "x"}]}},
                        ]
                    },
                }
            ]
        }
    },
    "vol token exp": {
        "spec": {
            "volumes": [
                {
                    "name": "v",
                    "projected": {
                        "sources": [{"serviceAccountToken": {"path": "x", "expirationSeconds": 10}}]
                    },
                }
            ]
        }
    },
    "mount subpath ..": {
        "container": {"volumeMounts": [{"name": "v", "mountPath": "/a", "subPath": "../x"}]},
        "spec": {"volumes": [{"name": "v", "emptyDir": {}}]},
    },
    "mount abs subpath": {
        "container": {"volumeMounts": [{"name": "v", "mountPath": "/a", "subPath": "/x"}]},
        "spec": {"volumes": [{"name": "v", "emptyDir": {}}]},
    },
    "mount colon": {
        "container": {"volumeMounts": [{"name": "v", "mountPath": "/a:b"}]},
        "spec": {"volumes": [{"name": "v", "emptyDir": {}}]},
    },
    "mount bidir": {
        "container": {
            "volumeMounts": [{"name": "v", "mountPath": "/a", "mountPropagation": "Bidirectional"}]
        },
        "spec": {"volumes": [{"name": "v", "emptyDir": {}}]},
    },
    "mount subPath+Expr": {
        "container": {
            "volumeMounts": [{"name": "v", "mountPath": "/a", "subPath": "x", "subPathExpr": "y"}]
        },
        "spec": {"volumes": [{"name": "v", "emptyDir": {}}]},
    },
    "device": {
        "container": {"volumeDevices": [{"name": "v", "devicePath": "/a"}]},
        "spec": {"volumes": [{"name": "v", "emptyDir": {}}]},
    },
    "image space": {"container": {"image": " b"}},
    "tmp policy": {"container": {"terminationMessagePolicy": "X"}},
    "tty etc": {"container": {"stdin": True, "tty": True}},
    "ephemeral": {"spec": {"ephemeralContainers": [{"name": "e", "image": "x"}]}},
    "priority set": {"spec": {"priority": 5}},
    "preemptionPolicy": {"spec": {"preemptionPolicy": "X"}},
    "runtimeClass missing": {"spec": {"runtimeClassName": "nosuch"}},
    "overhead": {"spec": {"overhead": {"cpu": "1"}}},
    "os windows w/ linux field": {"spec": {"os": {"name": "windows"}, "hostPID": True}},
    "os bad": {"spec": {"os": {"name": "beos"}}},
    "readinessGate bad": {"spec": {"readinessGates": [{"conditionType": "a b"}]}},
    "gates dup": {"spec": {"schedulingGates": [{"name": "a.b/c"}, {"name": "a.b/c"}]}},
    "gates+node": {"spec": {"schedulingGates": [{"name": "a.b/c"}], "nodeName": "x"}},
    "imagePullSecrets empty": {"spec": {"imagePullSecrets": [{}]}},
    "resize bad": {
        "container": {"resizePolicy": [{"resourceName": "foo", "restartPolicy": "NotRequired"}]}
    },
    "pod-level resources": {"spec": {"resources": {"limits": {"cpu": "1"}}}},
    "lifecycle two": {
        "container": {
            "lifecycle": {"preStop": {"exec": {"command": ["a"]}, "sleep": {"seconds": 1}}}
        }
    },
    "lifecycle none": {"container": {"lifecycle": {"preStop": {}}}},
    "lifecycle sleep big": {"container": {"lifecycle": {"preStop": {"sleep": {"seconds": 100}}}}},
    "caps": {
        "container": {
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"add": ["SYS_ADMIN"]},
            }
        }
    },
    "procMount": {"container": {"securityContext": {"procMount": "Unmasked"}}},
    "hostUsers+hostNetwork": {"spec": {"hostUsers": False, "hostNetwork": True}},
    "no containers": {"spec": {"containers": []}},
    "schedulerName bad": {"spec": {"schedulerName": "A B"}},
    **{
        f"pod resources {name}": {
            "spec": {"resources": of_pod},
            "container": {"resources": of_container},
        }
        for name, of_pod, of_container in (
            ("limits", {"limits": {"cpu": "1", "memory": "1Gi"}}, {}),
            ("of a device", {"limits": {"nvidia.com/gpu": "1"}}, {}),
            ("of a disk", {"limits": {"ephemeral-storage": "1Gi"}}, {}),
            ("unknown", {"limits": {"foo": "1"}}, {}),
            ("above", {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}, {}),
            ("negative", {"requests": {"cpu": "-1"}}, {}),
            ("limit passed", {"limits": {"cpu": "1"}}, {"limits": {"cpu": "2"}}),
            ("request passed", {"requests": {"cpu": "1"}}, {"requests": {"cpu": "2"}}),
            ("limit asked", {"limits": {"cpu": "1"}}, {"requests": {"cpu": "2"}}),
            ("memory", {"requests": {"memory": "1Gi"}}, {"limits": {"memory": "2Gi"}}),
        )
    },
    "pod resources on windows": {
        "spec": {"os": {"name": "windows"}, "resources": {"limits": {"cpu": "1"}}}
    },
    **{
        f"hostnameOverride {name!r} {more}": {"spec": {"hostnameOverride": name, **more}}
        for name, more in (
            ("a.b.c", {}),
            ("A_B", {}),
            ("", {}),
            ("a" * 65, {}),
            ("abc", {"hostNetwork": True}),
            ("abc", {"setHostnameAsFQDN": True}),
        )
    },
    **{
        f"iscsi {members}": {
            "spec": {
                "volumes": [{"name": "v", "iscsi": {"targetPortal": "p", "lun": 0, **members}}]
            }
        }
        for members in (
            {"iqn": "iqn.2001-04.com.example:storage.disk2.sys1.xyz"},
            {"iqn": "foo"},
            {"iqn": "iqn.20"},
            {"iqn": "eui.02"},
            {"iqn": "iqn.2001-04.com.example", "lun": 256},
            {"iqn": "iqn.2001-04.com.example", "chapAuthSession": True},
        )
    },
    "stopSignal of init": {
        "spec": {
            "initContainers": [{"name": "i", "image": "x", "lifecycle": {"stopSignal": "SIGINT"}}]
        }
    },
    "probe header": {
        "container": {"livenessProbe": {"httpGet": {"port": 80, "httpHeaders": [{"name": "a b"}]}}}
    },
    "port name of capitals": {"container": {"ports": [{"containerPort": 80, "name": "HTTP"}]}},
}
