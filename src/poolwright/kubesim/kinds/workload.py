"""Workloads: deployments, daemon sets, replica sets, jobs, and budgets."""

from __future__ import annotations

from poolwright.kubesim.kinds.kind import ObjectKind
from poolwright.model import kubernetes as names
from poolwright.model.kubernetes import Resource

CONTROLLER_REVISIONS = Resource("apps", "v1", "controllerrevisions", "ControllerRevision")

CONTROLLER_REVISION = ObjectKind(CONTROLLER_REVISIONS, "controllerrevision")
DAEMON_SET = ObjectKind(
    names.DAEMON_SETS, "daemonset", ("ds",), ("all",), ("status",), has_generation=True
)
DEPLOYMENT = ObjectKind(
    names.DEPLOYMENTS, "deployment", ("deploy",), ("all",), ("scale", "status"), has_generation=True
)
REPLICA_SET = ObjectKind(
    names.REPLICA_SETS, "replicaset", ("rs",), ("all",), ("scale", "status"), has_generation=True
)
JOB = ObjectKind(names.JOBS, "job", (), ("all",), ("status",), has_generation=True)
POD_DISRUPTION_BUDGET = ObjectKind(
    names.POD_DISRUPTION_BUDGETS,
    "poddisruptionbudget",
    ("pdb",),
    (),
    ("status",),
    has_generation=True,
)
