"""What the embedded cluster's own scheduler and workload controllers decide.

Responsibility: from the objects as observed and the time, the actions of kube-scheduler and
kube-controller-manager, in their words. May know: ``model`` and ``plan.fit``. Refuses: to read or
write an object itself.
"""
