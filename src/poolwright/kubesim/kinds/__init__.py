"""The kinds of the embedded cluster: one declaration each, gathered in one table.

To add a kind, write its declaration in a module here and name it in ``KINDS``.
"""

from __future__ import annotations

from poolwright.kubesim.kinds.core import (
    CONFIG_MAP,
    EVENT,
    NAMESPACE,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
)
from poolwright.kubesim.kinds.kind import ObjectKind
from poolwright.kubesim.kinds.node import LEASE, NODE
from poolwright.kubesim.kinds.pod import POD
from poolwright.kubesim.kinds.workload import (
    CONTROLLER_REVISION,
    DAEMON_SET,
    DEPLOYMENT,
    JOB,
    POD_DISRUPTION_BUDGET,
    REPLICA_SET,
)

KINDS: tuple[ObjectKind, ...] = (
    CONFIG_MAP,
    EVENT,
    NAMESPACE,
    NODE,
    POD,
    SECRET,
    SERVICE_ACCOUNT,
    SERVICE,
    CONTROLLER_REVISION,
    DAEMON_SET,
    DEPLOYMENT,
    REPLICA_SET,
    JOB,
    LEASE,
    POD_DISRUPTION_BUDGET,
)

BY_RESOURCE: dict[tuple[str, str], ObjectKind] = {
    (kind.resource.group, kind.resource.plural): kind for kind in KINDS
}
