"""What people type at kubectl, story by story: ``{node}`` is a node, ``{namespace}`` its own."""

from __future__ import annotations

import json
from dataclasses import dataclass

from behaviour.manifests import IMAGE, config_map, deployment, pod


@dataclass(frozen=True, slots=True)
class Step:
    """A command and what it reads. A quiet one only settles things: its output is not compared."""

    words: str
    stdin: str = ""
    quiet: bool = False


def step(words: str, *manifests: dict, quiet: bool = False) -> Step:
    return Step(words, "\n---\n".join(json.dumps(item) for item in manifests), quiet)


def quiet(words: str) -> Step:
    return Step(words, quiet=True)


def web(replicas: int = 2, image: str = IMAGE, **labels: str) -> dict:
    body = deployment("web", replicas)
    body["spec"]["template"]["spec"]["containers"][0]["image"] = image
    body["metadata"]["labels"] = {"app": "web", **labels}
    return body


def with_members(body: dict, **members) -> dict:
    return {**body, **members}


ROLLED_OUT = quiet("rollout status deployment/web --timeout=60s")

STORIES: dict[str, tuple[Step, ...]] = {
    "create": (
        step("create configmap settings --from-literal=color=red --from-literal=size=2"),
        step("create secret generic login --from-literal=user=ann"),
        step("create serviceaccount robot"),
        step("create quota few --hard=pods=10,requests.cpu=4"),
        step("create role reader --verb=get,list --resource=pods,configmaps"),
        step("create rolebinding readers --role=reader --serviceaccount={namespace}:robot"),
        step("create deployment web --image=registry.k8s.io/pause:3.10 --replicas=0"),
        step("create job once --image=registry.k8s.io/pause:3.10"),
        step("create cronjob daily --image=registry.k8s.io/pause:3.10 --schedule='0 0 * * *'"),
        step("create pdb guard --selector=app=web --min-available=1"),
        step("create service clusterip plain --tcp=80:8080"),
        step("create configmap settings --from-literal=color=blue"),
        step("get configmap settings"),
        step("get configmap settings -o yaml"),
        step("get secret login -o jsonpath={.data.user}"),
        step("get role,rolebinding"),
        step("get quota few"),
        step("get deployment,pdb,cronjob"),
        step("get service plain"),
        step("get serviceaccounts"),
        step("describe configmap settings"),
        step("describe secret login"),
        step("describe role reader"),
        step("describe rolebinding readers"),
        step("describe service plain"),
        step("describe serviceaccount robot"),
        step("delete configmap/settings secret/login"),
        step("delete configmap settings"),
        step("delete cronjob --all"),
    ),
    "pods": (
        step("run single --image=registry.k8s.io/pause:3.10 --restart=Never"),
        step("wait --for=condition=Ready pod/single --timeout=60s"),
        step("get pod single"),
        step("get pod single -o wide"),
        step("get pods --show-labels"),
        step("get pod single -o name"),
        step("get pods -l run=single -o custom-columns=NAME:.metadata.name,PHASE:.status.phase"),
        step("get pods --field-selector=status.phase=Running -o name"),
        step("get pods --field-selector=spec.nodeName=none"),
        step("label pod single tier=front"),
        step("label pod single tier=back"),
        step("label pod single tier=back --overwrite"),
        step("annotate pod single note=hello"),
        step("label pod single tier-"),
        step("get events --field-selector=reason=Scheduled -o custom-columns=M:.message"),
        step("delete pod single --wait=true --timeout=60s"),
        step("get pods"),
        step("create -f -", pod("gone", nodeSelector={"nowhere": "true"})),
        quiet("wait --for=jsonpath={.status.conditions[0].reason}=Unschedulable pod/gone"),
        step("get pod gone"),
        step("describe pod gone"),
        step("delete pod gone"),
    ),
    "rollout": (
        step("create -f -", web()),
        ROLLED_OUT,
        step("get deployment web"),
        step("get deployment web -o wide"),
        step("describe deployment web"),
        step("scale deployment web --replicas=3"),
        ROLLED_OUT,
        step("scale deployment web --replicas=1 --current-replicas=9"),
        step("get rs"),
        step("set image deployment/web c=registry.k8s.io/pause:3.9"),
        ROLLED_OUT,
        step("rollout history deployment/web"),
        step("rollout history deployment/web --revision=1"),
        step("set env deployment/web A=1"),
        step("set resources deployment/web --limits=cpu=200m"),
        ROLLED_OUT,
        step("set resources deployment/web --limits=cpu=10m"),
        step("rollout undo deployment/web --to-revision=1"),
        step("rollout pause deployment/web"),
        step("rollout pause deployment/web"),
        step("rollout resume deployment/web"),
        step("rollout restart deployment/web"),
        quiet("rollout status deployment/web --timeout=60s"),
        step("rollout status deployment/web"),
        step("autoscale deployment web --min=1 --max=3 --cpu=50%"),
        step("get hpa web"),
        step("expose deployment web --port=80 --target-port=8080"),
        step("get endpoints web", quiet=True),
        step("delete deployment web --cascade=foreground --timeout=60s"),
        step("get deployment web"),
    ),
    "apply": (
        step("apply -f -", config_map("shared", a="1")),
        step("apply -f -", config_map("shared", a="1")),
        step("apply -f -", config_map("shared", a="2", b="1")),
        step("get configmap shared -o jsonpath={.data}"),
        step("diff -f -", config_map("shared", a="3", b="1")),
        step("diff -f -", config_map("shared", a="2", b="1")),
        step("apply --server-side -f -", config_map("served", a="1")),
        step("apply --server-side -f -", config_map("served", a="1")),
        step("apply --server-side --field-manager=bob -f -", config_map("served", a="2")),
        step(
            "apply --server-side --field-manager=bob --force-conflicts -f -",
            config_map("served", a="2"),
        ),
        step("apply --server-side --dry-run=server -f -", config_map("ghost", a="1")),
        step("apply --dry-run=client -f -", config_map("ghost", a="1")),
        step("get configmap ghost"),
        step("apply -f -", web(0), config_map("second")),
        step("apply -f -", with_members(web(0), spec={**web(0)["spec"], "replica": 1})),
        step("apply --validate=false -f -", with_members(web(0), colour="red")),
        step("apply -f -", {"apiVersion": "v1", "kind": "Widget", "metadata": {"name": "x"}}),
        step("apply -f -", {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {}}),
        step("replace -f -", config_map("shared", z="26")),
        step("get configmap shared -o jsonpath={.data}"),
        step("apply view-last-applied deployment/web -o json"),
        step("get configmap served --show-managed-fields -o jsonpath={..manager}"),
        step("delete -f -", config_map("shared"), config_map("served")),
        step("delete --ignore-not-found -f -", config_map("shared")),
    ),
    "patch": (
        step("create -f -", web(0)),
        step('patch deployment web -p {"spec":{"paused":true}}'),
        step('patch deployment web -p {"spec":{"paused":true}}'),
        step('patch deployment web --type=merge -p {"metadata":{"labels":{"x":"y"}}}'),
        step(
            "patch deployment web --type=json "
            '-p [{"op":"replace","path":"/spec/replicas","value":0}]'
        ),
        step('patch deployment web --type=json -p [{"op":"remove","path":"/spec/nothing"}]'),
        step('patch deployment web -p {"spec":{"replicas":"many"}}'),
        step('patch deployment web -p {"spec":{"replicas":-1}}'),
        step('patch deployment web -p {"spec":{"selector":{"matchLabels":{"a":"b"}}}}'),
        step('patch deployment web --subresource=scale --type=merge -p {"spec":{"replicas":0}}'),
        step('patch deployment nothing -p {"spec":{"paused":true}}'),
        step("get deployment web -o jsonpath={.metadata.labels}{.spec.paused}"),
    ),
    "errors": (
        step("get pod nothing"),
        step("get pods nothing another"),
        step("get widgets"),
        step("get pods -l a=b=c"),
        step("get pods --field-selector=spec.color=red"),
        step("get pods -o yellow"),
        step("delete pod nothing"),
        step("describe pod nothing"),
        step("logs nothing"),
        step("exec nothing -- ls"),
        step("scale deployment nothing --replicas=1"),
        step("rollout status deployment/nothing"),
        step("create configmap Bad_Name"),
        step("label node {node} bad/label/key=1"),
        step("label node {node} key=-bad-"),
        step("taint node {node} key=value:Sometimes"),
        step("create -f -", pod("UPPER")),
        step("create -f -", pod("none", containers=[])),
        step("create -f -", pod("twice", containers=[{"name": "c", "image": IMAGE}] * 2)),
        step("create -f -", pod("odd", restartPolicy="Sometimes")),
        step("create -f -", pod("owned", serviceAccountName="nobody")),
        step("create -f -", pod("first", priorityClassName="nothing")),
        step(
            "create -f -",
            pod(
                "much",
                containers=[
                    {
                        "name": "c",
                        "image": IMAGE,
                        "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}},
                    }
                ],
            ),
        ),
        step("create -f -", {"kind": "Pod", "metadata": {"name": "x"}}),
        step("create namespace default"),
        step("delete namespace kube-system"),
        step("get --raw /api/v1/nothing"),
        step("get --raw /apis/nothing/v1"),
        step("get configmaps -n nowhere"),
        step("create configmap x -n nowhere"),
        step("wait --for=condition=Ready pod/nothing --timeout=1s"),
        step("create token nobody"),
        step("auth can-i"),
    ),
    "explain": (
        step("explain pod"),
        step("explain pod.spec.tolerations"),
        step("explain deployment.spec.strategy --recursive"),
        step("explain nodes.spec.taints"),
        step("explain pdb.spec"),
        step("explain configmap.data"),
        step("explain pod.spec.nothing"),
        step("explain widget"),
        step("explain job --api-version=batch/v1", quiet=True),
        step("explain tokenreviews.spec.audiences"),
        step("explain subjectaccessreviews.spec.resourceAttributes.verb"),
        step("explain selfsubjectaccessreviews.spec.nonResourceAttributes"),
        step("explain localsubjectaccessreviews.status.allowed"),
    ),
    "scale": (
        step("create -f -", web(0)),
        quiet("wait --for=jsonpath={.status.observedGeneration}=1 deployment/web"),
        step("get deployment web --subresource=scale"),
        step("get deployment web --subresource=scale -o wide"),
        step("get deployment web --subresource=scale -o jsonpath={.kind}"),
    ),
    "auth": (
        step("auth can-i create pods"),
        step("auth can-i get pods --as=system:serviceaccount:{namespace}:default"),
        step("auth can-i get nothing"),
        step("auth can-i --list --as=system:serviceaccount:{namespace}:default"),
        step("auth whoami -o jsonpath={.kind}"),
        step("create role r --verb=get --resource=pods --resource-name=one"),
        step("create rolebinding r --role=r --user=ann"),
        quiet("auth can-i get pod/one --as=ann"),
        step("auth can-i get pod/one --as=ann"),
        step("auth can-i get pod/two --as=ann"),
        step("get pod two --as=ann"),
        step("get pods --as=ann"),
        step("delete node {node} --as=ann"),
    ),
    "nodes": (
        step("taint node {node} color=red:NoSchedule"),
        step("taint node {node} color=red:NoSchedule"),
        step("taint node {node} color=blue:NoSchedule --overwrite"),
        step("taint node {node} color-"),
        step("taint node {node} color-"),
        step("cordon {node}"),
        step("cordon {node}"),
        step("get node {node} -o jsonpath={.spec.unschedulable}"),
        step("uncordon {node}"),
        step("create -f -", pod("bare", nodeName="{node}")),
        quiet("wait --for=condition=Ready pod/bare --timeout=60s"),
        step("drain {node} --ignore-daemonsets --pod-selector=app=bare"),
        step("drain {node} --ignore-daemonsets --pod-selector=app=bare --force --timeout=60s"),
        step("get pod bare"),
        step("uncordon {node}"),
        step("label node {node} color=red"),
        step("get nodes -l color=red -o name"),
        step("label node {node} color-"),
    ),
    "policy": (
        step("create quota few --hard=pods=1"),
        quiet("wait --for=jsonpath={.status.used.pods}=0 quota/few --timeout=30s"),
        step("run one --image=registry.k8s.io/pause:3.10"),
        step("run two --image=registry.k8s.io/pause:3.10"),
        step("describe quota few"),
        step("create priorityclass {namespace} --value=10 --description=low"),
        step("get priorityclass {namespace}"),
        step("describe priorityclass {namespace}"),
        step("delete priorityclass {namespace}"),
        step("create poddisruptionbudget guard --selector=run=one --min-available=1"),
        quiet("wait --for=jsonpath={.status.expectedPods}=1 pdb/guard --timeout=30s"),
        quiet("wait --for=condition=Ready pod/one --timeout=30s"),
        step("get pdb guard"),
        step("describe pdb guard"),
    ),
}
