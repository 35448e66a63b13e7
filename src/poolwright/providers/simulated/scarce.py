"""What the simulated cloud refuses: quota, restricted sizes and injected failures.

Pure decisions over a `Scarcity` and the vCPUs in use. Codes and messages: facts
data/error_codes.json; the rest of a message that the facts cut short is Azure's public wording.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from poolwright.model.catalog import VmSize, vm_size, vm_sizes
from poolwright.model.errors import (
    ErrorDetail,
    InvalidRequest,
    NoCapacity,
    PoolwrightError,
    QuotaExceeded,
)
from poolwright.model.machine import MachineRequest
from poolwright.model.scarcity import InjectedFailure, Restriction, Scarcity, Usage

TOTAL = "cores"
LOW_PRIORITY = "lowPriorityCores"

_GUIDANCE = (
    "Read more about improving likelihood of allocation success at "
    "http://aka.ms/allocation-guidance"
)


@dataclass(frozen=True, slots=True)
class FailureRow:
    """A failure that can be asked for: when it strikes and what it says.

    Without a ``step`` the call is refused with ``error``; with one, the machine fails there.
    """

    message: str
    step: str = ""
    error: type[PoolwrightError] = NoCapacity
    exit_code: int = 0


_EXTENSION = (
    "VM has reported a failure when processing extension 'vmssCSE' (publisher "
    "'Microsoft.Azure.Extensions' and type 'CustomScript'). Error message: 'Enable failed: "
    "failed to execute command: command terminated with exit status={exit_code}\n[stdout]\n"
    "{step}\n[stderr]\n'. More information on troubleshooting is available at "
    "https://aka.ms/VMExtensionCSELinuxTroubleshoot. "
)

FAILURES: Mapping[str, FailureRow] = {
    "QuotaExceeded": FailureRow(
        "Operation could not be completed as it results in exceeding approved {family} Cores "
        "quota. Additional details - Deployment Model: Resource Manager, Location: {region}, "
        "Current Limit: {limit}, Current Usage: {used}, Additional Required: {required}, "
        "(Minimum) New Limit Required: {minimum}. Setup Alerts when Quota reaches threshold. "
        "Learn more at https://aka.ms/quotamonitoringalerting . Submit a request for Quota "
        "increase by specifying parameters listed in the ‘Details’ section for deployment to "
        "succeed. Please read more about quota limits at "
        "https://docs.microsoft.com/en-us/azure/azure-supportability/per-vm-quota-requests",
        error=QuotaExceeded,
    ),
    "SkuNotAvailable": FailureRow(
        "The requested VM size for resource 'Following SKUs have failed for Capacity "
        "Restrictions: {vm_size}' is currently not available in location '{region}'. Please try "
        "another size or deploy to a different location or different zone. See "
        "https://aka.ms/azureskunotavailable for details.",
        error=InvalidRequest,
    ),
    "AllocationFailed": FailureRow(
        "Allocation failed. We do not have sufficient capacity for the requested VM size in "
        "this region. " + _GUIDANCE,
        step="allocate",
    ),
    "ZonalAllocationFailed": FailureRow(
        "Allocation failed. We do not have sufficient capacity for the requested VM size "
        "{vm_size} in zone {zone}. " + _GUIDANCE,
        step="allocate",
    ),
    "OverconstrainedAllocationRequest": FailureRow(
        "Allocation failed. VM(s) with the following constraints cannot be allocated, because "
        "the condition is too restrictive. Please remove some constraints and try again. "
        "Constraints applied are:\n  - VM Size",
        step="allocate",
    ),
    "OverconstrainedZonalAllocationRequest": FailureRow(
        "Allocation failed. VM(s) with the following constraints cannot be allocated, because "
        "the condition is too restrictive. Please remove some constraints and try again. "
        "Constraints applied are:\n  - Availability Zone\n  - VM Size",
        step="allocate",
    ),
    "VMExtensionProvisioningError": FailureRow(_EXTENSION, step="kubelet", exit_code=50),
    "OSProvisioningTimedOut": FailureRow(
        "OS Provisioning for VM '{name}' did not finish in the allotted time. The VM may still "
        "finish provisioning successfully. Please check provisioning state later.",
        step="boot",
    ),
    "NodesNotReady": FailureRow(
        "Not all nodes reached Ready state. Expected: 1, Actual: 0", step="kubelet"
    ),
}


def bootstrap_failure(step: str, exit_code: int) -> ErrorDetail:
    """What a machine says whose bootstrap script failed at a step.

    Exit codes: facts gpu-stack §0.6.
    """
    return ErrorDetail(
        "VMExtensionProvisioningError", _EXTENSION.format(step=step, exit_code=exit_code)
    )


def check_known(scarcity: Scarcity) -> None:
    """Refuse failures whose code the table does not have.

    Raises:
        InvalidRequest: an unknown code, or a number out of range.
    """
    for failure in scarcity.failures:
        if failure.code not in FAILURES:
            known = ", ".join(sorted(FAILURES))
            raise InvalidRequest(
                f"Unknown failure code '{failure.code}'. Known codes: {known}.",
                target="failures.code",
            )
        if failure.every < 1 or (failure.times is not None and failure.times < 0):
            raise InvalidRequest(
                "'every' must be at least 1 and 'times' at least 0.", target="failures"
            )


def quota_family(size: VmSize, *, spot: bool) -> str:
    """The quota that a machine of the size counts against, beside the regional total."""
    return LOW_PRIORITY if spot else size.family


def quota_limit(scarcity: Scarcity, region: str, family: str) -> int:
    """The limit of a family in a region."""
    family = family.lower()
    for key in (f"{region.lower()}/{family}", f"*/{family}"):
        if key in scarcity.quotas:
            return scarcity.quotas[key]
    return scarcity.default_quota


def check_quota(
    scarcity: Scarcity, used: Mapping[str, int], region: str, size: VmSize, *, spot: bool
) -> None:
    """Whether one more machine fits; ``used`` is vCPUs by family in lower case.

    Raises:
        QuotaExceeded: it does not.
    """
    for family in (TOTAL, quota_family(size, spot=spot)):
        limit, now = quota_limit(scarcity, region, family), used.get(family.lower(), 0)
        if now + size.vcpus > limit:
            text = "Total Regional" if family == TOTAL else family
            message = FAILURES["QuotaExceeded"].message.format(
                family=text,
                region=region,
                limit=limit,
                used=now,
                required=size.vcpus,
                minimum=now + size.vcpus,
            )
            raise QuotaExceeded(message)


def _restricts(restriction: Restriction, request: MachineRequest) -> bool:
    return (
        restriction.vm_size.lower() == request.vm_size.lower()
        and restriction.region.lower() in {"", request.region.lower()}
        and (not restriction.zones or request.zone in restriction.zones)
    )


def check_restrictions(scarcity: Scarcity, request: MachineRequest) -> None:
    """Whether the region offers the size.

    Raises:
        InvalidRequest: it does not (code ``SkuNotAvailable``).
    """
    if any(_restricts(restriction, request) for restriction in scarcity.restrictions):
        raise _refusal("SkuNotAvailable", request)


def _refusal(code: str, request: MachineRequest) -> PoolwrightError:
    row = FAILURES[code]
    return row.error(failure_message(code, request), code=code, target="sku.name")


def failure_message(code: str, request: MachineRequest) -> str:
    """What a failure of the table says about this request; quota is that of a subscription that
    has none of the size's family.
    """
    row = FAILURES[code]
    size = vm_size(request.vm_size)
    assert size is not None  # asked before
    return row.message.format(
        family=quota_family(size, spot=request.spot),
        region=request.region,
        limit=0,
        used=0,
        required=size.vcpus,
        minimum=size.vcpus,
        vm_size=request.vm_size,
        zone=request.zone or "1",
        name=request.name,
        step=row.step,
        exit_code=row.exit_code,
    )


def _matches(failure: InjectedFailure, request: MachineRequest) -> bool:
    return (
        failure.vm_size.lower() in {"", request.vm_size.lower()}
        and failure.region.lower() in {"", request.region.lower()}
        and failure.pool.lower() in {"", request.pool.lower()}
    )


def strike(
    failures: Sequence[InjectedFailure], request: MachineRequest
) -> tuple[tuple[InjectedFailure, ...], str]:
    """Count a create against the injected failures: their new state, and the code of the first
    that strikes (empty: none).

    A failure strikes at every n-th match, as long as its ``times`` last.
    """
    code, after = "", list[InjectedFailure]()
    for failure in failures:
        if code or not _matches(failure, request):
            after.append(failure)
            continue
        seen = failure.seen + 1
        due = seen % failure.every == 0
        if due and (failure.times is None or seen // failure.every <= failure.times):
            code = failure.code
        after.append(replace(failure, seen=seen))
    return tuple(after), code


def refusal(code: str, request: MachineRequest) -> PoolwrightError | None:
    """The error of a failure that refuses the call, or None if it strikes the machine."""
    return None if FAILURES[code].step else _refusal(code, request)


def usages(scarcity: Scarcity, used: Mapping[str, int], region: str) -> list[Usage]:
    """The region's quota as lists show it: the total first, then families by name."""
    families = {size.family.lower(): size.family for size in vm_sizes().values()}
    names = [TOTAL, LOW_PRIORITY, *(families[key] for key in sorted(families))]
    return [
        Usage(name, used.get(name.lower(), 0), quota_limit(scarcity, region, name))
        for name in names
    ]
