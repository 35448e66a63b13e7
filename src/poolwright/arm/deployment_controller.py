"""Carrying a deployment out: PUT each resource once what it depends on is there.

It asks through the front door, as the user's own PUTs do, so that nothing can be deployed that
could not be put by hand. A crash anywhere is survived: a PUT that was sent already is sent again,
and saying the same twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from poolwright.arm.context import ArmContext
from poolwright.arm.deployments import DEPLOYMENT, TERMINAL, Deployment, surroundings_of
from poolwright.arm.errors import status_of
from poolwright.arm.response import ArmResponse
from poolwright.arm.template.expansion import Template, TemplateResource
from poolwright.arm.template.language import TemplateError
from poolwright.model.cluster_key import subscription_scope
from poolwright.model.errors import Conflict, ErrorDetail, NotFound, Refused
from poolwright.model.instant import Instant
from poolwright.model.json_value import Json, child
from poolwright.ports.store import Update

Perform = Callable[[str, str, Any, str], Awaitable[ArmResponse]]
"""Ask the front door as the server itself: method, path with query, content, base URL."""

_LOOK_AGAIN = timedelta(seconds=15)
"""World time between two looks at resources that are being made."""
_CLUSTERS_VERSION = "2026-08-01"


@dataclass(frozen=True, slots=True, order=True)
class DeploymentKey:
    """Identifies one deployment by its record."""

    subscription: str
    name: str

    def __str__(self) -> str:
        return f"{self.subscription}/{self.name}"


class DeploymentController:
    """Moves one deployment one step closer to its end."""

    name = "deployment"

    def __init__(self, context: ArmContext, perform: Perform) -> None:
        self._context = context
        self._perform = perform

    async def reconcile(self, key: DeploymentKey) -> Instant | None:
        """Look at what is being made, start what can be started, and end if all is done."""
        scope = subscription_scope(key.subscription)
        record = await self._context.store.get(scope, DEPLOYMENT, key.name)
        if record is None or record.status.state in TERMINAL:
            return None
        found: dict[str, Json] = {}
        entries: dict[str, dict[str, Any]] = {
            i: dict(e) for i, e in record.status.detail.get("resources", {}).items()
        }
        error: ErrorDetail | None = None
        outputs: dict[str, Any] = {}
        try:
            template = await self._template(key, record, found)
            await self._look(template, entries, found, record)
            await self._start(template, entries, record)
            if all(e["state"] == "Succeeded" for e in entries.values()) and len(entries) == len(
                template.resources
            ):
                if record.spec.body["mode"] == "Complete":
                    await self._remove_others(key, template, record)
                outputs = template.outputs()
        except TemplateError as refused:
            error = refused.detail()
        state, error = _verdict(record, entries, error)
        await self._record(scope, record, state, {"resources": entries, "outputs": outputs}, error)
        return None if state in TERMINAL else self._context.clock.now().world.after(_LOOK_AGAIN)

    async def _template(
        self, key: DeploymentKey, record: Deployment, found: dict[str, Json]
    ) -> Template:
        around = await surroundings_of(
            self._context,
            subscription=key.subscription,
            resource_group=record.spec.body["resource_group"],
            deployment=record.spec.name,
            endpoint=record.spec.body["endpoint"],
            found=found,
        )
        return Template(record.spec.body["template"], record.spec.body["parameters"], around)

    async def _look(
        self,
        template: Template,
        entries: dict[str, dict[str, Any]],
        found: dict[str, Json],
        record: Deployment,
    ) -> None:
        """Read the resources that were started; ``found`` serves ``reference()``."""
        for resource in template.resources:
            entry = entries.get(resource.id)
            if entry is None or entry["state"] == "Failed":
                continue
            body = await self._read(resource, record)
            if body is None:
                if entry["state"] == "Running":
                    entry |= _failure("ResourceNotFound", f"'{resource.id}' went away.")
                continue
            found[resource.id.lower()] = body
            state = str(child(body, "properties").get("provisioningState", "Succeeded"))
            if state in {"Failed", "Canceled"}:
                reason = child(body, "properties", "status", "provisioningError")
                entry |= _failure(
                    str(reason.get("code", "ResourceDeploymentFailure")),
                    str(reason.get("message") or _not_succeeded(state)),
                )
            else:
                entry["state"] = "Succeeded" if state == "Succeeded" else "Running"

    async def _read(self, resource: TemplateResource, record: Deployment) -> Json | None:
        target = f"{resource.id}?api-version={resource.api_version}"
        try:
            answer = await self._perform("GET", target, None, record.spec.body["endpoint"])
        except NotFound:
            return None
        return answer.content

    async def _start(
        self, template: Template, entries: dict[str, dict[str, Any]], record: Deployment
    ) -> None:
        if any(entry["state"] == "Failed" for entry in entries.values()):
            return
        for resource in template.resources:
            if resource.id in entries:
                continue
            needs = [entries.get(needed, {}).get("state") for needed in resource.depends_on]
            if any(state != "Succeeded" for state in needs):
                continue
            entry: dict[str, Any] = {"type": resource.type, "name": resource.name}
            target = f"{resource.id}?api-version={resource.api_version}"
            try:
                answer = await self._perform(
                    "PUT", target, template.body(resource), record.spec.body["endpoint"]
                )
            except Conflict:
                continue  # another operation runs on it: try at the next look
            except Refused as refused:
                entry |= _failure(refused.code, refused.message, refused.target)
                entry["status_code"] = str(status_of(refused))
            else:
                entry |= {
                    "state": "Running",
                    "status_code": "Created" if answer.status == 201 else "OK",
                }
            entries[resource.id] = entry

    async def _remove_others(
        self, key: DeploymentKey, template: Template, record: Deployment
    ) -> None:
        """Mode Complete: managed clusters that the template does not have go."""
        kept = {resource.id.lower() for resource in template.resources}
        endpoint = record.spec.body["endpoint"]
        version = f"?api-version={_CLUSTERS_VERSION}"
        group = record.spec.body["resource_group"]
        listed = await self._perform(
            "GET",
            f"/subscriptions/{key.subscription}/resourceGroups/{group}/providers/"
            f"Microsoft.ContainerService/managedClusters{version}",
            None,
            endpoint,
        )
        for cluster in listed.content["value"]:
            if cluster["id"].lower() not in kept:
                await self._perform("DELETE", f"{cluster['id']}{version}", None, endpoint)

    async def _record(
        self,
        scope: str,
        record: Deployment,
        state: str,
        detail: dict[str, Any],
        error: ErrorDetail | None,
    ) -> None:
        now = self._context.clock.now()
        begun = record.status.since or now.world
        started = record.status.detail.get("started_micros", begun.micros)
        seconds = (now.world.micros - int(started)) / 1_000_000
        status = replace(
            record.status,
            state=state,
            since_wall=now.wall if state != record.status.state else record.status.since_wall,
            error=error,
            detail={
                **detail,
                "started_micros": started,
                "duration": f"PT{seconds:.3f}S" if state in TERMINAL else "PT0S",
            },
        )
        if status == record.status:
            return
        await self._context.store.transact(
            scope, [Update(DEPLOYMENT, record.name, status=status, expect_revision=record.revision)]
        )


def _not_succeeded(state: str) -> str:
    return (
        "The resource write operation failed to complete successfully, because it reached terminal "
        f"provisioning state '{state}'."
    )


def _failure(code: str, message: str, target: str | None = None) -> dict[str, Any]:
    error: dict[str, Any] = {"code": code, "message": message}
    if target is not None:
        error["target"] = target
    return {"state": "Failed", "error": error}


def _verdict(
    record: Deployment, entries: dict[str, dict[str, Any]], error: ErrorDetail | None
) -> tuple[str, ErrorDetail | None]:
    """The deployment's state by its resources'; running ones are waited for before it fails."""
    states = {entry["state"] for entry in entries.values()}
    if error is not None:
        return "Failed", error
    if "Running" in states:
        return "Running", None
    if "Failed" in states:
        return "Failed", ErrorDetail(
            "DeploymentFailed",
            "At least one resource deployment operation failed. Please list deployment operations "
            "for details. Please see https://aka.ms/arm-deployment-operations for usage details.",
        )
    is_done = len(entries) == record.spec.body["resource_count"]
    return ("Succeeded" if is_done else "Running"), None
