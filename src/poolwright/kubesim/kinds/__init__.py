"""The kinds of the embedded cluster: one declaration each, gathered in one table.

To add a kind, write its declaration in a module here and name it in ``KINDS``.
"""

from __future__ import annotations

from poolwright.kubesim.kinds.access import (
    CLUSTER_ROLE,
    CLUSTER_ROLE_BINDING,
    ROLE,
    ROLE_BINDING,
)
from poolwright.kubesim.kinds.admission_policy import ADMISSION_POLICY, ADMISSION_POLICY_BINDING
from poolwright.kubesim.kinds.autoscaling import HORIZONTAL_POD_AUTOSCALER
from poolwright.kubesim.kinds.core import (
    CONFIG_MAP,
    EVENT,
    NAMESPACE,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
)
from poolwright.kubesim.kinds.cron_job import CRON_JOB
from poolwright.kubesim.kinds.custom import CUSTOM_RESOURCE_DEFINITION
from poolwright.kubesim.kinds.device import (
    DEVICE_CLASS,
    RESOURCE_CLAIM,
    RESOURCE_CLAIM_TEMPLATE,
    RESOURCE_SLICE,
)
from poolwright.kubesim.kinds.disruption import POD_DISRUPTION_BUDGET
from poolwright.kubesim.kinds.ingress import INGRESS, INGRESS_CLASS
from poolwright.kubesim.kinds.job import JOB
from poolwright.kubesim.kinds.kind import ObjectKind
from poolwright.kubesim.kinds.network import ENDPOINT_SLICE, ENDPOINTS, NETWORK_POLICY
from poolwright.kubesim.kinds.node import LEASE, NODE
from poolwright.kubesim.kinds.pod import POD
from poolwright.kubesim.kinds.quota import LIMIT_RANGE, RESOURCE_QUOTA
from poolwright.kubesim.kinds.scheduling import PRIORITY_CLASS, RUNTIME_CLASS
from poolwright.kubesim.kinds.stateful import (
    CONTROLLER_REVISION,
    POD_TEMPLATE,
    REPLICATION_CONTROLLER,
    STATEFUL_SET,
)
from poolwright.kubesim.kinds.volume import (
    PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM,
    STORAGE_CLASS,
)
from poolwright.kubesim.kinds.workload import (
    DAEMON_SET,
    DEPLOYMENT,
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
    LIMIT_RANGE,
    PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM,
    POD_TEMPLATE,
    PRIORITY_CLASS,
    REPLICATION_CONTROLLER,
    RESOURCE_QUOTA,
    RUNTIME_CLASS,
    STATEFUL_SET,
    STORAGE_CLASS,
    CRON_JOB,
    HORIZONTAL_POD_AUTOSCALER,
    NETWORK_POLICY,
    INGRESS,
    INGRESS_CLASS,
    ENDPOINTS,
    ENDPOINT_SLICE,
    CLUSTER_ROLE,
    CLUSTER_ROLE_BINDING,
    ROLE,
    ROLE_BINDING,
    DEVICE_CLASS,
    RESOURCE_CLAIM,
    RESOURCE_CLAIM_TEMPLATE,
    RESOURCE_SLICE,
    ADMISSION_POLICY,
    ADMISSION_POLICY_BINDING,
    CUSTOM_RESOURCE_DEFINITION,
)

BY_RESOURCE: dict[tuple[str, str], ObjectKind] = {
    (kind.resource.group, kind.resource.plural): kind for kind in KINDS
}
