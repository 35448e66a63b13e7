"""A Kubernetes client over HTTP, and the indexed view (informer) of nodes, pods and budgets.

Knows ``ports`` and the loop's supervision. Refuses to know who the server is: a
transport is handed in, real or in process, and everything else is the same.
"""
