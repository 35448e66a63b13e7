"""Errors on the wire: the known messages, and one table from error to status and shape.

Two shapes come from the same host: the ARM front door wraps (``{"error": {…}}``), the AKS
resource provider is flat (``{"code", "details", "message", "subcode"}``). Front-door codes are
wrapped wherever they occur; any other code has the shape of the provider that the route is of.

Source of texts and statuses: facts error_codes.json (``confidence`` beside each).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from poolwright.model import errors
from poolwright.model.errors import ErrorDetail, PoolwrightError, Refused


class Shape(Enum):
    """How an error body looks."""

    WRAPPED = "wrapped"
    FLAT = "flat"


class AuthenticationFailed(Refused):
    """The caller could not be identified (401)."""

    default_code = "AuthenticationFailed"


class Forbidden(Refused):
    """The caller may not do this (403)."""

    default_code = "AuthorizationFailed"


class MethodNotAllowed(Refused):
    """The path exists, the method does not (405)."""

    default_code = "MethodNotAllowed"


class Throttled(Refused):
    """Too many requests (429). ``retry_after`` is in whole seconds."""

    default_code = "TooManyRequests"

    def __init__(self, message: str, *, code: str | None = None, retry_after: int = 1) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after


STATUS_BY_CLASS: Mapping[type[PoolwrightError], int] = {
    AuthenticationFailed: 401,
    Forbidden: 403,
    MethodNotAllowed: 405,
    Throttled: 429,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Precondition: 412,
    errors.Expired: 410,
    errors.InvalidRequest: 400,
    errors.Immutable: 400,
    errors.Unsupported: 400,
    errors.FeatureNotRegistered: 400,
    errors.QuotaExceeded: 400,
    errors.NoCapacity: 409,
    errors.Refused: 400,
    errors.Transient: 503,
    errors.Unknown: 503,
}
"""Status of an error whose code says nothing else; the nearest class counts."""

STATUS_BY_CODE: Mapping[str, int] = {
    "RequestTimeout": 408,
    "RequestEntityTooLarge": 413,
    "UnsupportedMediaType": 415,
    "EtagMismatch": 409,
}
"""Codes whose status their class does not tell."""

FRONT_DOOR_CODES = frozenset(
    {
        "AuthenticationFailed",
        "AuthorizationFailed",
        "BadHostHeader",
        "ExpiredAuthenticationToken",
        "FeatureNotFound",
        "InvalidApiVersionParameter",
        "InvalidAuthenticationToken",
        "InvalidRequestContent",
        "InvalidRequestUri",
        "InvalidResourceGroup",
        "InvalidResourceGroupLocation",
        "InvalidResourceLocation",
        "InvalidResourceNamespace",
        "InvalidResourceType",
        "InvalidSubscriptionId",
        "LocationNotAvailableForResourceGroup",
        "LocationNotAvailableForResourceType",
        "LocationRequired",
        "MethodNotAllowed",
        "MissingApiVersionParameter",
        "MissingSubscription",
        "MissingSubscriptionRegistration",
        "NoRegisteredProviderFound",
        "ParentResourceNotFound",
        "RequestEntityTooLarge",
        "RequestTimeout",
        "ResourceGroupBeingDeleted",
        "ResourceGroupNotFound",
        "ResourceNotFound",
        "SubscriptionNotFound",
        "SubscriptionRequestsThrottled",
        "UnsupportedMediaType",
    }
)
"""Codes that the ARM front door raises for every provider; always wrapped."""


@dataclass(frozen=True, slots=True)
class KnownError:
    """A message of the wire. Calling it with its names makes the error to raise."""

    code: str
    error: type[Refused]
    text: str
    target: str | None = None

    def __call__(self, **names: object) -> Refused:
        """The error, with the names filled in."""
        return self.error(self.text.format(**names), code=self.code, target=self.target)


def status_of(error: PoolwrightError) -> int:
    """The HTTP status of an error."""
    by_code = STATUS_BY_CODE.get(error.code)
    if by_code is not None:
        return by_code
    return next(STATUS_BY_CLASS[kind] for kind in type(error).__mro__ if kind in STATUS_BY_CLASS)


def shown(error: PoolwrightError) -> PoolwrightError:
    """The error as a client may see it: what happened inside is not for them.

    A lost race on a record (as opposed to a client's own If-Match) is AKS's preempted operation;
    what is not known to have been applied, or cannot be done now, is one unavailable service.
    """
    if isinstance(error, errors.Precondition) and error.code != ETAG_MISMATCH.code:
        return OPERATION_PREEMPTED()
    if isinstance(error, errors.Transient | errors.Unknown):
        retry_after = error.retry_after if isinstance(error, errors.Transient) else None
        return errors.Transient(
            "The service is temporarily unavailable. Please try again.", retry_after=retry_after
        )
    return error


def _entry(detail: ErrorDetail) -> dict[str, Any]:
    entry: dict[str, Any] = {"code": detail.code, "message": detail.message}
    if detail.target is not None:
        entry["target"] = detail.target
    return entry


def wire_error(error: PoolwrightError, shape: Shape) -> dict[str, Any]:
    """The body of an error answer in the given shape; front-door codes are always wrapped."""
    details = [_entry(detail) for detail in error.details]
    if shape is Shape.WRAPPED or error.code in FRONT_DOOR_CODES:
        body = _entry(error.detail())
        if details:
            body["details"] = details
        return {"error": body}
    flat: dict[str, Any] = {
        "code": error.code,
        "details": details or None,
        "message": error.message,
        "subcode": "",
    }
    if error.target is not None:
        flat["target"] = error.target
    return flat


# --- the front door's messages (known-text or documented unless another source is named) ------

MISSING_API_VERSION = KnownError(
    "MissingApiVersionParameter",
    errors.InvalidRequest,
    "The api-version query parameter (?api-version=) is required for all requests.",
)
INVALID_API_VERSION = KnownError(
    "InvalidApiVersionParameter",
    errors.InvalidRequest,
    "The api-version '{version}' is invalid. The supported versions are '{supported}'.",
)
NO_REGISTERED_PROVIDER = KnownError(
    "NoRegisteredProviderFound",
    errors.InvalidRequest,
    "No registered resource provider found for location '{location}' and API version '{version}' "
    "for type '{type}'. The supported api-versions are '{supported}'. The supported locations "
    "are '{locations}'.",
)
INVALID_RESOURCE_TYPE = KnownError(
    "InvalidResourceType",
    errors.NotFound,
    "The resource type '{type}' could not be found in the namespace '{namespace}' for api version "
    "'{version}'.",
)
INVALID_RESOURCE_NAMESPACE = KnownError(
    "InvalidResourceNamespace",
    errors.NotFound,
    "The resource namespace '{namespace}' is invalid.",
)
INVALID_SUBSCRIPTION_ID = KnownError(
    "InvalidSubscriptionId",
    errors.InvalidRequest,
    "The provided subscription identifier '{subscription}' is malformed or invalid.",
)
SUBSCRIPTION_NOT_FOUND = KnownError(
    "SubscriptionNotFound",
    errors.NotFound,
    "The subscription '{subscription}' could not be found.",
)
RESOURCE_GROUP_NOT_FOUND = KnownError(
    "ResourceGroupNotFound",
    errors.NotFound,
    "Resource group '{resource_group}' could not be found.",
)
RESOURCE_NOT_FOUND = KnownError(  # recorded
    "ResourceNotFound",
    errors.NotFound,
    "The Resource '{type}/{name}' under resource group '{resource_group}' was not found. For more "
    "details please go to https://aka.ms/ARMResourceNotFoundFix",
)
PARENT_NOT_FOUND = KnownError(
    "ParentResourceNotFound",
    errors.NotFound,
    "Failed to perform '{verb}' on resource(s) of type '{type}', because the parent resource "
    "'{parent}' could not be found.",
)
AUTHORIZATION_MISSING = KnownError(
    "AuthenticationFailed",
    AuthenticationFailed,
    "Authentication failed. The 'Authorization' header is missing.",
)
INVALID_TOKEN = KnownError(
    "InvalidAuthenticationToken", AuthenticationFailed, "The access token is invalid."
)
EXPIRED_TOKEN = KnownError(
    "ExpiredAuthenticationToken",
    AuthenticationFailed,
    "The access token expiry UTC time '{expiry}' is earlier than current UTC time '{now}'.",
)
INVALID_CONTENT = KnownError(
    "InvalidRequestContent",
    errors.InvalidRequest,
    "The request content was invalid and could not be deserialized: '{detail}'.",
)
UNSUPPORTED_MEDIA_TYPE = KnownError(
    "UnsupportedMediaType",
    errors.InvalidRequest,
    "The content media type '{type}' is not supported. Only 'application/json' is supported.",
)
BODY_TOO_LARGE = KnownError(
    "RequestEntityTooLarge",
    errors.InvalidRequest,
    "The request content is larger than the limit of {limit} bytes.",
)
BODY_TOO_SLOW = KnownError(
    "RequestTimeout",
    errors.InvalidRequest,
    "The request content did not arrive within {seconds} seconds.",
)
BAD_HOST = KnownError(
    "BadHostHeader", errors.InvalidRequest, "The request's Host header is missing or malformed."
)
BAD_PATH = KnownError(
    "InvalidRequestUri", errors.InvalidRequest, "The request URI has invalid characters."
)
MISSING_SUBSCRIPTION = KnownError(
    "MissingSubscription",
    errors.NotFound,
    "The request did not have a subscription or a valid tenant level resource provider.",
)
METHOD_NOT_ALLOWED = KnownError(
    "MethodNotAllowed",
    MethodNotAllowed,
    "The http method '{method}' is not supported for the request path.",
)
LOCATION_REQUIRED = KnownError(
    "LocationRequired",
    errors.InvalidRequest,
    "The location property is required for this definition.",
    "location",
)
INVALID_RESOURCE_LOCATION = KnownError(
    "InvalidResourceLocation",
    errors.Conflict,
    "The resource '{name}' already exists in location '{location}' in resource group "
    "'{resource_group}'. A resource with the same name cannot be created in location '{other}'. "
    "Please select a new resource name.",
)
INVALID_RESOURCE_GROUP_LOCATION = KnownError(
    "InvalidResourceGroupLocation",
    errors.Conflict,
    "Invalid resource group location '{other}'. The Resource group already exists in location "
    "'{location}'.",
)
RESOURCE_GROUP_BEING_DELETED = KnownError(
    "ResourceGroupBeingDeleted",
    errors.Conflict,
    "The resource group '{resource_group}' is in deprovisioning state and cannot perform this "
    "operation.",
)
MISSING_REGISTRATION = KnownError(
    "MissingSubscriptionRegistration",
    errors.Conflict,
    "The subscription is not registered to use namespace '{namespace}'. See "
    "https://aka.ms/rps-not-found for how to register subscriptions.",
)
FEATURE_NOT_FOUND = KnownError(
    "FeatureNotFound", errors.NotFound, "The feature '{feature}' could not be found."
)

# --- the AKS resource provider's messages that more than one module raises --------------------

ETAG_MISMATCH = KnownError(
    "PreConditionFailed",
    errors.Precondition,
    "The condition of the request's {header} header is not met: the resource's eTag is not "
    "'{etag}'.",
)
OPERATION_PREEMPTED = KnownError(  # recorded
    "EtagMismatch",
    errors.Conflict,
    "Operation is not allowed: Another operation is in progress. Please refer "
    "https://aka.ms/aks/aksoperationpreempted to for more details.",
)
ENTITY_NOT_FOUND = KnownError("NotFound", errors.NotFound, "The entity was not found.")
CLUSTER_NOT_FOUND = KnownError(  # recorded
    "NotFound",
    errors.NotFound,
    "Could not find managed cluster resource: {cluster} in subscription: {subscription}, "
    "resourceGroup: {resource_group}.",
)
POOL_NOT_FOUND = KnownError(  # pattern of its siblings
    "NotFound",
    errors.NotFound,
    "Could not find agent pool resource: {pool} in subscription: {subscription}, resourceGroup: "
    "{resource_group}, managed cluster: {cluster}.",
)
