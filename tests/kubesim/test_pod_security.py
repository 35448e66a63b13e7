"""What Pod Security says of pods: the answers of a kube-apiserver 1.36, and what is told when."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .in_process import MERGE, pod, run

RECORDED = json.loads((Path(__file__).parent / "pod_security_answers.json").read_text())
LATEST = RECORDED["answers"]["latest"]
LABEL = "pod-security.kubernetes.io/"
ESCALATION = (
    'allowPrivilegeEscalation != false (container "main" must set'
    " securityContext.allowPrivilegeEscalation=false)"
)


async def labelled(call, name="secure", **labels):
    body = {"metadata": {"name": name, "labels": {LABEL + k: v for k, v in labels.items()}}}
    return await call("POST", "/api/v1/namespaces", body)


async def relabelled(call, name="secure", **labels):
    labels = {LABEL + key.replace("_", "-"): value for key, value in labels.items()}
    path = f"/api/v1/namespaces/{name}"
    return await call("PATCH", path, {"metadata": {"labels": labels}}, content_type=MERGE)


def warned(answer):
    return [value for key, value in answer.headers if key == "warning"]


@pytest.mark.parametrize("version", list(RECORDED["answers"]))
def test_each_pod_is_answered_as_by_a_real_api_server(version):
    async def test(call):
        await labelled(call)
        wrong = []
        for level in ("baseline", "restricted"):
            assert (await relabelled(call, enforce=level, enforce_version=version)).status == 200
            answers = RECORDED["answers"][version].get(level) or LATEST[level]
            for name, text in answers.items():
                body = json.loads(json.dumps(RECORDED["pods"][name]))
                body["metadata"]["name"] = "x"
                answer = await call("POST", "/api/v1/namespaces/secure/pods?dryRun=All", body)
                said = answer.body["message"] if answer.status == 403 else ""
                head = f'pods "x" is forbidden: violates PodSecurity "{level}:{version}": '
                if said != (head + text if text else "") or answer.status not in (201, 403):
                    wrong.append((level, name, answer.body.get("message"), text))
        assert not wrong, wrong

    run(test)


def test_pods_and_templates_are_warned_of():
    async def test(call):
        await labelled(call, warn="baseline")
        bad = pod("bad")
        bad["spec"]["hostNetwork"] = True
        text = 'would violate PodSecurity \\"baseline:latest\\": host namespaces (hostNetwork=true)'
        answer = await call("POST", "/api/v1/namespaces/secure/pods", bad)
        assert (answer.status, warned(answer)) == (201, [f'299 - "{text}"'])
        template = {"metadata": {"labels": {"app": "d"}}, "spec": bad["spec"]}
        spec = {"selector": {"matchLabels": {"app": "d"}}, "template": template}
        path = "/apis/apps/v1/namespaces/secure/deployments"
        answer = await call("POST", path, {"metadata": {"name": "d"}, "spec": spec})
        assert (answer.status, warned(answer)) == (201, [f'299 - "{text}"'])
        scale = {"spec": {"replicas": 2}}
        answer = await call("PATCH", f"{path}/d", scale, content_type=MERGE)
        assert warned(answer) == [f'299 - "{text}"']
        answer = await call("PATCH", f"{path}/d/scale", scale, content_type=MERGE)
        assert (answer.status, warned(answer)) == (200, [])
        job = {"metadata": {"name": "j"}, "spec": {"schedule": "@daily", "jobTemplate": {"spec": {
            "template": {"spec": {**bad["spec"], "restartPolicy": "Never"}}
        }}}}  # fmt: skip
        answer = await call("POST", "/apis/batch/v1/namespaces/secure/cronjobs", job)
        assert (answer.status, warned(answer)) == (201, [f'299 - "{text}"'])

    run(test)


def test_an_update_of_a_pod_is_judged_where_its_images_change():
    async def test(call):
        await labelled(call)
        path = "/api/v1/namespaces/secure/pods"
        await call("POST", path, pod("old"))
        await relabelled(call, enforce="restricted")
        note = {"metadata": {"annotations": {"a": "b"}}}
        assert (await call("PATCH", f"{path}/old", note, content_type=MERGE)).status == 200
        image = {"spec": {"containers": [{"name": "main", "image": "busybox:2"}]}}
        strategic = "application/strategic-merge-patch+json"
        answer = await call("PATCH", f"{path}/old", image, content_type=strategic)
        assert answer.status == 403
        head = 'pods "old" is forbidden: violates PodSecurity "restricted:latest": '
        assert answer.body["message"].startswith(head + ESCALATION)

    run(test)


def test_labels_are_judged_and_pods_that_are_there_told_of():
    async def test(call):
        answer = await labelled(call, enforce="strict", **{"warn-version": "1.30"})
        assert answer.status == 422
        assert answer.body["message"] == (
            'Namespace "secure" is invalid: [metadata.labels[pod-security.kubernetes.io/enforce]: '
            'Invalid value: "strict": must be one of privileged, baseline, restricted, '
            "metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: "
            '"1.30": must be "latest" or "v1.x"]'
        )
        await labelled(call)
        path = "/api/v1/namespaces/secure/pods"
        for name in ("c", "b", "a"):
            bad = pod(name)
            bad["spec"]["hostPID"] = True
            await call("POST", path, bad)
        alone = pod("alone")
        alone["spec"]["hostPID"] = True
        alone["spec"]["containers"][0]["securityContext"] = {"privileged": True}
        await call("POST", path, alone)
        assert warned(await relabelled(call, enforce="baseline")) == [
            '299 - "existing pods in namespace \\"secure\\" violate the new PodSecurity enforce'
            ' level \\"baseline:latest\\""',
            '299 - "a (and 2 other pods): host namespaces"',
            '299 - "alone: host namespaces, privileged"',
        ]
        assert warned(await relabelled(call, enforce="baseline", audit="restricted")) == []
        assert warned(await relabelled(call, enforce="privileged")) == []
        answer = await relabelled(call, audit="all")
        assert (answer.status, answer.body["reason"]) == (422, "Invalid")

    run(test)
