"""Machines of a simulated cloud whose Nodes are kept alive by KWOK on somebody else's Kubernetes.

The machines, their quotas, faults and ledger are those of ``providers.simulated``; what differs is
the node side: Node objects that carry KWOK's annotation, so that KWOK's controller renews their
leases and plays their pods (ADR 0009). Knows what the simulated cloud knows. Refuses to touch a
Node without its own labels, and to write what the cluster writes itself: pod addresses, leases,
pods.
"""
