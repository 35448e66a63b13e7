"""Kinds of records that belong to ``arm`` alone, kept in the scope of a subscription.

Names are in lower case; the casing that the user sent is in ``spec.name``.
"""

from __future__ import annotations

from poolwright.model.managed_cluster import DocumentSpec, DocumentStatus
from poolwright.model.record import Kind

RESOURCE_GROUP: Kind[DocumentSpec, DocumentStatus] = Kind(
    "ResourceGroup", DocumentSpec, DocumentStatus
)
"""Body: ``location``, ``tags``, ``managedBy``. State ``Succeeded`` or ``Deleting``; while
deleting, ``detail["operation"]`` is the operation that ends with it."""

FEATURE: Kind[DocumentSpec, DocumentStatus] = Kind("Feature", DocumentSpec, DocumentStatus)
"""Named ``namespace/feature``. State ``Registering`` or ``Unregistering``, with ``since``."""

PROVIDER: Kind[DocumentSpec, DocumentStatus] = Kind("Provider", DocumentSpec, DocumentStatus)
"""Named by namespace. State ``Registered`` or ``Unregistered``; absent: not registered."""
