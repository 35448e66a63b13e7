"""Volumes for claims, claims of pods, and the words of pods that wait for them."""

# pyright: basic, reportAttributeAccessIssue=false
from __future__ import annotations

from poolwright.model.kubernetes import (
    PERSISTENT_VOLUME_CLAIMS,
    RESOURCE_CLAIM_TEMPLATES,
    RESOURCE_CLAIMS,
)
from poolwright.model.node import Node
from poolwright.model.pod import Pod
from poolwright.plan.kubernetes.action import (
    BindPod,
    CreateObject,
    DeleteObject,
    PatchObject,
    RecordEvent,
    SetCondition,
    merged,
)
from poolwright.plan.kubernetes.claim_making import plan_claims_of_pod
from poolwright.plan.kubernetes.pod_claims import UNBOUND, device_flaw, volume_flaw
from poolwright.plan.kubernetes.scheduler import Scheduler
from poolwright.plan.kubernetes.volume import plan_claim, plan_volume

NOW = {"volumeBindingMode": "Immediate"}
LATER = {"volumeBindingMode": "WaitForFirstConsumer"}


def storage_class(name="fast", **more):
    return {"metadata": {"name": name}, "provisioner": "disk.csi.azure.com", **NOW, **more}


def claim(name="c", class_name: str | None = "fast", size="1Gi", **status):
    spec = {
        "accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem",
        "resources": {"requests": {"storage": size}},
    }  # fmt: skip
    if class_name is not None:
        spec["storageClassName"] = class_name
    meta = {"name": name, "namespace": "ns", "uid": f"uid-{name}"}
    return {"metadata": meta, "spec": spec, "status": {"phase": "Pending", **status}}


def volume(name, size="1Gi", class_name="fast", **spec):
    return {
        "metadata": {"name": name, "uid": f"uid-{name}"},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem",
            "capacity": {"storage": size}, "storageClassName": class_name, **spec,
        },
        "status": {"phase": "Available"},
    }  # fmt: skip


def settled(wire, classes, volumes=(), node=""):
    """A claim and the volumes after as many steps as it takes."""
    there = list(volumes)
    for _ in range(6):
        named = next((c for c in classes if c["metadata"]["name"] == wanted(wire)), None)
        for action in plan_claim(wire, named, there, node, in_use=bool(node)).actions:
            if isinstance(action, CreateObject):
                there.append(merged(action.body, {"metadata": {"uid": "made"}}))
            elif isinstance(action, PatchObject):
                if action.target.resource == PERSISTENT_VOLUME_CLAIMS:
                    wire = merged(wire, action.patch)
                else:
                    there = [
                        merged(v, action.patch)
                        if v["metadata"]["name"] == action.target.name
                        else v
                        for v in there
                    ]
    return wire, there


def wanted(wire):
    return wire["spec"].get("storageClassName")


def test_a_claim_of_a_class_gets_a_volume_made_for_it():
    wire, volumes = settled(claim(), [storage_class()])
    (made,) = volumes
    assert made["metadata"]["name"] == wire["spec"]["volumeName"] == "pvc-uid-c"
    assert wire["status"] == {
        "phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"},
    }  # fmt: skip
    assert wire["metadata"]["annotations"]["pv.kubernetes.io/bind-completed"] == "yes"
    assert made["spec"]["claimRef"]["uid"] == "uid-c"
    assert made["spec"]["persistentVolumeReclaimPolicy"] == "Delete"


def test_a_class_that_waits_does_so_until_a_pod_has_a_node():
    patient = storage_class(**LATER)
    wire, volumes = settled(claim(), [patient])
    assert (wire["status"]["phase"], volumes) == ("Pending", [])
    (told,) = plan_claim(claim(), patient, [], "", in_use=False).actions
    assert told.reason == "WaitForFirstConsumer"
    wire, _ = settled(claim(), [patient], node="n1")
    assert wire["status"]["phase"] == "Bound"
    assert wire["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] == "n1"


def test_what_stands_ready_is_bound_before_anything_is_made_and_the_smallest_that_suffices():
    ready = [
        volume("large", "9Gi"), volume("fits", "2Gi"), volume("small", "1Gi"),
        volume("other", "2Gi", "slow"), volume("taken", "2Gi", claimRef={"uid": "x", "name": "x"}),
    ]  # fmt: skip
    wire, _ = settled(claim(size="1500Mi"), [storage_class()], ready)
    assert wire["spec"]["volumeName"] == "fits"


def test_the_words_for_claims_that_get_nothing():
    (told,) = plan_claim(claim(class_name=""), None, [], "", in_use=False).actions
    assert (told.reason, told.type) == ("FailedBinding", "Normal")
    (told,) = plan_claim(claim(class_name="x"), None, [], "", in_use=False).actions
    assert told.reason == "ProvisioningFailed"
    assert told.message == 'storageclass.storage.k8s.io "x" not found'
    foreign = storage_class(provisioner="ebs.csi.aws.com")
    *_, told = plan_claim(claim(), foreign, [], "", in_use=False).actions
    assert told.reason == "ExternalProvisioning"


def test_a_volume_goes_with_its_claim_or_stays_as_its_policy_says():
    wire, (made,) = settled(claim(), [storage_class()])
    (bound,) = plan_volume(made, wire).actions
    assert bound.patch == {"status": {"phase": "Bound"}}
    (gone,) = plan_volume(made, None).actions
    assert isinstance(gone, DeleteObject)
    (gone,) = plan_volume(made, claim("c") | {"metadata": {"uid": "another"}}).actions
    assert isinstance(gone, DeleteObject)
    kept = merged(made, {"spec": {"persistentVolumeReclaimPolicy": "Retain"}})
    (released,) = plan_volume(kept, None).actions
    assert released.patch == {"status": {"phase": "Released"}}


def test_protection_lasts_as_long_as_the_use():
    held = merged(claim(), {"metadata": {
        "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["kubernetes.io/pvc-protection"],
    }})  # fmt: skip
    assert plan_claim(held, None, [], "n1", in_use=True).actions == ()
    (freed,) = plan_claim(held, None, [], "", in_use=False).actions
    assert freed.patch == {"metadata": {"finalizers": None}}
    assert volume_flaw(held, NOW) == 'persistentvolumeclaim "c" is being deleted'


def pod_of(**claims):
    return Pod("ns", "p", "u", "1", requests={"pods": 1}, **claims)


def scheduler(*nodes):
    made = Scheduler()
    for name in nodes:
        made.set_node(Node(name, name, "1", allocatable={"pods": 9}))
    return made


def said(plan):
    return [a.message for a in plan.actions if isinstance(a, SetCondition)]


def is_bound_by(plan):
    return any(isinstance(a, BindPod) for a in plan.actions)


def test_a_pod_waits_for_its_volume_claims_in_the_schedulers_words():
    made = scheduler("a", "b")
    made.set_pod(pod_of(volume_claims=("x",)))
    words = '0/2 nodes are available: persistentvolumeclaim "x" not found. not found'
    assert said(made.plan(9)) == [words]
    made.set_claim(PERSISTENT_VOLUME_CLAIMS, "ns/x", volume_flaw(claim("x"), NOW))
    assert said(made.plan(9)) == [f"0/2 nodes are available: {UNBOUND}. not found"]
    made.set_claim(PERSISTENT_VOLUME_CLAIMS, "ns/y", "")
    assert made.plan(9).actions == ()
    made.set_claim(PERSISTENT_VOLUME_CLAIMS, "ns/x", volume_flaw(claim("x", phase="Bound"), NOW))
    assert is_bound_by(made.plan(9))


def test_a_class_that_waits_for_the_pod_does_not_hold_it_back():
    made = scheduler("a")
    made.set_claim(PERSISTENT_VOLUME_CLAIMS, "ns/x", volume_flaw(claim("x"), LATER))
    made.set_pod(pod_of(volume_claims=("x",)))
    assert is_bound_by(made.plan(9))


def test_a_pod_that_goes_is_forgotten_by_its_claims():
    made = scheduler("a")
    made.set_pod(pod_of(volume_claims=("x",)))
    made.plan(9)
    made.remove_pod("ns/p")
    made.set_claim(PERSISTENT_VOLUME_CLAIMS, "ns/x", "")
    assert made.plan(9).actions == ()


def test_a_pod_waits_for_devices_and_silently_for_their_claim():
    made = scheduler("a", "b", "c")
    made.set_pod(pod_of(device_claims=("g",)))
    assert made.plan(9).actions == ()
    made.set_claim(RESOURCE_CLAIMS, "ns/g", device_flaw({"status": {}}))
    assert said(made.plan(9)) == [
        "0/3 nodes are available: 3 cannot allocate all claims. still not schedulable, preemption:"
        " 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
    ]
    made.set_claim(RESOURCE_CLAIMS, "ns/g", device_flaw({"status": {"allocation": {"x": 1}}}))
    assert is_bound_by(made.plan(9))


def test_the_claims_that_a_pod_brings_templates_of_are_made_and_told_in_its_status():
    pod = {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u"},
        "spec": {
            "volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {"a": 1}}}}],
            "resourceClaims": [
                {"name": "g", "resourceClaimTemplateName": "one"},
                {"name": "h", "resourceClaimTemplateName": "none"},
                {"name": "own", "resourceClaimName": "mine"},
            ],
        },
    }
    template = {"spec": {"spec": {"devices": {"requests": []}}}}

    def there(resource, name):
        return template if (resource, name) == (RESOURCE_CLAIM_TEMPLATES, "one") else None

    volume_claim, device_claim, refused = plan_claims_of_pod(pod, there, []).actions
    assert volume_claim.body["metadata"]["name"] == "p-v"
    assert device_claim.body["metadata"]["generateName"] == "p-g-"
    assert device_claim.body["spec"] == template["spec"]["spec"]
    assert isinstance(refused, RecordEvent)
    assert refused.reason == "FailedResourceClaimCreation"
    made = merged(device_claim.body, {"metadata": {"name": "p-g-x7k2f"}})
    patch = next(
        action for action in plan_claims_of_pod(pod, there, [made]).actions
        if isinstance(action, PatchObject)
    )  # fmt: skip
    told = [{"name": "g", "resourceClaimName": "p-g-x7k2f"}]
    assert patch.patch == {"status": {"resourceClaimStatuses": told}}
    wire = {**pod, "status": patch.patch["status"]}
    assert Pod.from_object(wire).device_claims == ("p-g-x7k2f", "", "mine")
    assert Pod.from_object(wire).volume_claims == ("p-v",)
