"""A Kubernetes client over HTTP, and the indexed view (informer) of nodes, pods and budgets.

Knows ``ports`` and the loop's supervision. Refuses to know whether the server is simulated: a
transport is handed in, real or in process, and everything else is the same.
"""
