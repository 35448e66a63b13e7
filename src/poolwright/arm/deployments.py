"""Template deployments at a resource group: accept, validate, show and cancel them.

The body of az is not strict JSON (`poolwright.arm.template.text`). What an accepted deployment
does is in `poolwright.arm.deployment_controller`.

Source: facts aks-api §5.9.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from poolwright.arm.context import ArmContext
from poolwright.arm.errors import INVALID_CONTENT, KnownError
from poolwright.arm.operations import polling_headers, wire_time
from poolwright.arm.records import RESOURCE_GROUP
from poolwright.arm.request import ArmRequest
from poolwright.arm.response import ArmResponse, listing
from poolwright.arm.routing import Route
from poolwright.arm.template.expansion import Surroundings, Template
from poolwright.arm.template.language import TemplateError
from poolwright.arm.template.text import TextError, read_text
from poolwright.model import errors
from poolwright.model.cluster_key import subscription_scope
from poolwright.model.json_value import Json, child
from poolwright.model.managed_cluster import DocumentSpec, DocumentStatus
from poolwright.model.record import Kind, Stored
from poolwright.ports.store import Create, Delete, Update

DEPLOYMENT: Kind[DocumentSpec, DocumentStatus] = Kind("Deployment", DocumentSpec, DocumentStatus)
"""Named ``resource group/deployment`` in lower case. Body: ``template``, ``parameters``, ``mode``,
``resource_group``, ``endpoint``, ``correlation``, ``operation``. State: ARM's provisioning state
of a deployment; ``detail["resources"]`` maps ids to ``state``, ``status_code`` and ``error``."""

Deployment = Stored[DocumentSpec, DocumentStatus]

TERMINAL = frozenset({"Succeeded", "Failed", "Canceled"})
DEPLOYMENT_ROOT = (
    "/subscriptions/{subscription}/resourceGroups/{resource_group}"
    "/providers/Microsoft.Resources/deployments"
)
_OPERATIONS = (
    "/subscriptions/{subscription}/resourceGroups/{resource_group}/deployments/{deployment}"
)
_NAME = re.compile(r"[-\w._()]{1,64}")  # source: ARM naming rules

DEPLOYMENT_NOT_FOUND = KnownError(  # known-text
    "DeploymentNotFound", errors.NotFound, "Deployment '{deployment}' could not be found."
)
INVALID_NAME = KnownError(
    "InvalidDeploymentName",
    errors.InvalidRequest,
    "The provided deployment name '{deployment}' is invalid. Deployment names can only include "
    "letters, digits, '-', '.', '_' and parentheses, and have at most 64 characters.",
)
NOT_RUNNING = KnownError(
    "DeploymentCannotBeCancelled",
    errors.Conflict,
    "The deployment '{deployment}' cannot be canceled in state '{state}'.",
)
IS_ACTIVE = KnownError(  # known-text
    "DeploymentActive",
    errors.Conflict,
    "Unable to edit or replace deployment '{deployment}': previous deployment from '{since}' is "
    "still active. Please see https://aka.ms/arm-deploy for usage details.",
)


def record_name(resource_group: str, deployment: str) -> str:
    """The record's name."""
    return f"{resource_group}/{deployment}".lower()


def read_deployment(request: ArmRequest) -> Json:
    """``properties`` of the body, read leniently.

    Raises:
        InvalidRequest: unreadable, or no template in it.
    """
    try:
        text = request.raw_body.decode("utf-8-sig")
        body = read_text(text)
    except (TextError, UnicodeDecodeError) as error:
        raise INVALID_CONTENT(detail=str(error)) from None
    properties = child({"body": body}, "body", "properties")
    if not isinstance(properties.get("template"), Mapping):
        raise errors.InvalidRequest(
            "The deployment's properties must have a 'template'; 'templateLink' is not supported.",
            code="InvalidRequestContent",
            target="properties.template",
        )
    mode = properties.get("mode", "Incremental")
    if str(mode).lower() not in {"incremental", "complete"}:
        raise INVALID_CONTENT(detail=f"the mode '{mode}' is not Incremental or Complete")
    return properties


async def surroundings_of(
    context: ArmContext,
    *,
    subscription: str,
    resource_group: str,
    deployment: str,
    endpoint: str,
    found: Mapping[str, Json],
) -> Surroundings:
    """What a template may ask of the world; ``found`` are deployed resources by lower-case id."""
    record = await context.store.get(
        subscription_scope(subscription), RESOURCE_GROUP, resource_group.lower()
    )
    name = record.spec.name if record is not None else resource_group
    group = {
        "id": f"/subscriptions/{subscription}/resourceGroups/{name}",
        "name": name,
        "type": "Microsoft.Resources/resourceGroups",
        "location": record.spec.body.get("location", "") if record is not None else "",
        "tags": (record.spec.body.get("tags") if record is not None else None) or {},
        "properties": {"provisioningState": "Succeeded"},
    }
    return Surroundings(
        subscription=subscription,
        tenant=context.settings.tenant,
        resource_group=group,
        deployment=deployment,
        endpoint=endpoint,
        now=context.clock.now().wall,
        new_guid=context.identity.uid,
        reference=lambda identifier: found.get(identifier.lower()),
    )


async def expand(context: ArmContext, request: ArmRequest, properties: Json) -> Template:
    """The template of a request, with its parameters, in its surroundings.

    Raises:
        InvalidRequest: the deployment's name. TemplateError: the template.
    """
    if _NAME.fullmatch(request.names["deployment"]) is None:
        raise INVALID_NAME(deployment=request.names["deployment"])
    around = await surroundings_of(
        context,
        subscription=request.subscription,
        resource_group=request.resource_group,
        deployment=request.names["deployment"],
        endpoint=request.base_url,
        found={},
    )
    return Template(properties["template"], child(properties, "parameters"), around)


def _hash(template: Json) -> str:
    encoded = msgspec.json.encode(template, order="sorted")
    return str(int.from_bytes(hashlib.sha256(encoded).digest()[:8], "big"))


def wire_deployment(subscription: str, record: Deployment) -> dict[str, Any]:
    """The resource as ARM shows it."""
    body, status = record.spec.body, record.status
    group = body["resource_group"]
    properties: dict[str, Any] = {
        "templateHash": _hash(body["template"]),
        "parameters": body["shown_parameters"],
        "mode": body["mode"],
        "provisioningState": status.state,
        "timestamp": wire_time(status.since_wall or record.created_at),
        "duration": status.detail.get("duration", "PT0S"),
        "correlationId": body["correlation"],
        "providers": body["providers"],
        "dependencies": body["dependencies"],
    }
    if status.state == "Succeeded":
        properties["outputs"] = status.detail.get("outputs", {})
        properties["outputResources"] = [{"id": i} for i in status.detail.get("resources", {})]
    if status.error is not None:
        properties["error"] = wire_failure(record)
    return {
        "id": f"/subscriptions/{subscription}/resourceGroups/{group}/providers/"
        f"Microsoft.Resources/deployments/{record.spec.name}",
        "name": record.spec.name,
        "type": "Microsoft.Resources/deployments",
        "properties": properties,
    }


def wire_failure(record: Deployment) -> dict[str, Any]:
    """``error`` of a failed deployment, with the resources' errors as details."""
    error = record.status.error
    assert error is not None
    failed = record.status.detail.get("resources", {}).values()
    details = [entry["error"] for entry in failed if entry.get("error")]
    return {"code": error.code, "message": error.message, "details": details}


def _described(template: Template) -> dict[str, Any]:
    """Providers and dependencies, as the answer to a PUT lists them."""
    namespaces: dict[str, list[str]] = {}
    for resource in template.resources:
        namespace, _, kind = resource.type.partition("/")
        if kind not in namespaces.setdefault(namespace, []):
            namespaces[namespace].append(kind)
    return {
        "providers": [
            {
                "namespace": namespace,
                "resourceTypes": [{"resourceType": kind, "locations": [None]} for kind in kinds],
            }
            for namespace, kinds in namespaces.items()
        ],
        "dependencies": [
            {
                "dependsOn": [{"id": needed} for needed in resource.depends_on],
                "id": resource.id,
                "resourceType": resource.type,
                "resourceName": resource.name,
            }
            for resource in template.resources
            if resource.depends_on
        ],
    }


async def _find(context: ArmContext, request: ArmRequest) -> Deployment:
    name = record_name(request.resource_group, request.names["deployment"])
    record = await context.store.get(subscription_scope(request.subscription), DEPLOYMENT, name)
    if record is None:
        raise DEPLOYMENT_NOT_FOUND(deployment=request.names["deployment"])
    return record


async def put_deployment(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """PUT: accept a deployment. 201 for a new name, 200 for one that ended before."""
    properties = read_deployment(request)
    template = await expand(context, request, properties)
    scope = subscription_scope(request.subscription)
    name = record_name(request.resource_group, request.names["deployment"])
    old = await context.store.get(scope, DEPLOYMENT, name)
    if old is not None and old.status.state not in TERMINAL:
        since = wire_time(old.status.since_wall or old.created_at)
        raise IS_ACTIVE(deployment=old.spec.name, since=since)
    now = context.clock.now()
    spec = DocumentSpec(
        name=request.names["deployment"],
        body={
            "template": properties["template"],
            "parameters": child(properties, "parameters"),
            "shown_parameters": template.parameters(),
            "mode": str(properties.get("mode", "Incremental")).capitalize(),
            "resource_group": request.resource_group,
            "endpoint": request.base_url,
            "correlation": request.request_id,
            "operation": str(int(context.identity.uid().replace("-", "")[:16], 16)),
            "resource_count": len(template.resources),
            **_described(template),
        },
    )
    status = DocumentStatus(state="Accepted", since=now.world, since_wall=now.wall)
    if old is None:
        uid = context.identity.uid()
        write = Create(DEPLOYMENT, name, uid, spec, status, now.wall)
    else:
        write = Update(DEPLOYMENT, name, spec, status, expect_revision=old.revision)
    commit = await context.store.transact(scope, [write])
    record = cast("Deployment", commit.records[0])
    follow = (
        f"{request.base_url}{request.path}/operationStatuses/{spec.body['operation']}"
        f"?api-version={request.api_version}"
    )
    return ArmResponse(
        201 if old is None else 200,
        wire_deployment(request.subscription, record),
        (("Azure-AsyncOperation", follow), *polling_headers(context)),
    )


async def validate_deployment(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """POST ``validate``: 200 with what would be deployed, 400 with the reason."""
    properties = read_deployment(request)
    template = await expand(context, request, properties)
    for resource in template.resources:
        try:
            template.body(resource)
        except TemplateError as error:
            if error.code != "ResourceNotFound":  # what it refers to may be deployed before it
                raise
    return ArmResponse(
        200,
        {
            "id": request.path.rpartition("/")[0],
            "name": request.names["deployment"],
            "type": "Microsoft.Resources/deployments",
            "properties": {
                "templateHash": _hash(properties["template"]),
                "parameters": template.parameters(),
                "mode": str(properties.get("mode", "Incremental")).capitalize(),
                "provisioningState": "Succeeded",
                "timestamp": wire_time(context.clock.now().wall),
                "duration": "PT0S",
                "correlationId": request.request_id,
                **_described(template),
                "validatedResources": [{"id": r.id} for r in template.resources],
            },
        },
    )


async def get_deployment(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET one."""
    record = await _find(context, request)
    return ArmResponse(200, wire_deployment(request.subscription, record))


async def head_deployment(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """HEAD: 204 if it is there."""
    await _find(context, request)
    return ArmResponse(204)


async def list_deployments(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET all of a resource group."""
    found, _ = await context.store.list(
        subscription_scope(request.subscription),
        DEPLOYMENT,
        prefix=f"{request.resource_group.lower()}/",
    )
    return listing([wire_deployment(request.subscription, record) for record in found])


async def delete_deployment(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """DELETE from the history; what was deployed stays."""
    scope = subscription_scope(request.subscription)
    name = record_name(request.resource_group, request.names["deployment"])
    record = await context.store.get(scope, DEPLOYMENT, name)
    if record is None:
        return ArmResponse(204)
    if record.status.state not in TERMINAL:
        since = wire_time(record.status.since_wall or record.created_at)
        raise IS_ACTIVE(deployment=record.spec.name, since=since)
    await context.store.transact(scope, [Delete(DEPLOYMENT, name, expect_uid=record.uid)])
    return ArmResponse(204)


async def cancel_deployment(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """POST ``cancel``: nothing further is started; what runs goes on."""
    record = await _find(context, request)
    if record.status.state in TERMINAL:
        raise NOT_RUNNING(deployment=record.spec.name, state=record.status.state)
    now = context.clock.now()
    status = DocumentStatus(
        state="Canceled", since=now.world, since_wall=now.wall, detail=record.status.detail
    )
    await context.store.transact(
        subscription_scope(request.subscription),
        [Update(DEPLOYMENT, record.name, status=status, expect_revision=record.revision)],
    )
    return ArmResponse(204)


async def export_template(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """POST ``exportTemplate``."""
    record = await _find(context, request)
    return ArmResponse(200, {"template": record.spec.body["template"]})


async def get_status(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET ``operationStatuses/{operation}``: only the state, and the error of a failed one."""
    record = await _find(context, request)
    if record.spec.body["operation"] != request.names["operation"]:
        raise DEPLOYMENT_NOT_FOUND(deployment=request.names["operation"])
    wire: dict[str, Any] = {"status": record.status.state}
    if record.status.error is not None:
        wire["error"] = wire_failure(record)
    headers = () if record.status.state in TERMINAL else polling_headers(context)
    return ArmResponse(200, wire, headers)


def _wire_operations(request: ArmRequest, record: Deployment) -> list[dict[str, Any]]:
    dependencies = record.status.detail.get("resources", {})
    root = request.path.partition("/operations")[0]
    result: list[dict[str, Any]] = []
    for identifier, entry in dependencies.items():
        operation = hashlib.sha256(identifier.encode()).hexdigest()[:16].upper()
        wire: dict[str, Any] = {
            "provisioningOperation": "Create",
            "provisioningState": entry["state"],
            "timestamp": wire_time(record.status.since_wall or record.created_at),
            "duration": "PT0S",
            "trackingId": record.spec.body["correlation"],
            "statusCode": entry.get("status_code", "OK"),
            "targetResource": {
                "id": identifier,
                "resourceType": entry["type"],
                "resourceName": entry["name"],
            },
        }
        if entry.get("error"):
            wire["statusMessage"] = {"error": entry["error"]}
        result.append(
            {"id": f"{root}/operations/{operation}", "operationId": operation, "properties": wire}
        )
    return result


async def list_operations(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET ``operations``: one per resource that was started."""
    return listing(_wire_operations(request, await _find(context, request)))


async def get_operation(context: ArmContext, request: ArmRequest) -> ArmResponse:
    """GET ``operations/{operation}``."""
    for wire in _wire_operations(request, await _find(context, request)):
        if wire["operationId"] == request.names["operation"].upper():
            return ArmResponse(200, wire)
    raise DEPLOYMENT_NOT_FOUND(deployment=request.names["operation"])


_ONE = f"{DEPLOYMENT_ROOT}/{{deployment}}"
ROUTES: tuple[Route, ...] = (
    Route("GET", DEPLOYMENT_ROOT, list_deployments),
    Route("GET", _ONE, get_deployment),
    Route("HEAD", _ONE, head_deployment),
    Route("PUT", _ONE, put_deployment),
    Route("DELETE", _ONE, delete_deployment),
    Route("POST", f"{_ONE}/validate", validate_deployment),
    Route("POST", f"{_ONE}/cancel", cancel_deployment),
    Route("POST", f"{_ONE}/exportTemplate", export_template),
    Route("GET", f"{_ONE}/operationStatuses/{{operation}}", get_status),
    Route("GET", f"{_ONE}/operations", list_operations),
    Route("GET", f"{_ONE}/operations/{{operation}}", get_operation),
    Route("GET", f"{_OPERATIONS}/operations", list_operations),
    Route("GET", f"{_OPERATIONS}/operations/{{operation}}", get_operation),
)
