"""The embedded Kubernetes: an API server for what node pools meet, and its own controllers.

Responsibility: discovery, CRUD, watch, patch, apply, tables, eviction, logs and exec for many small
clusters under one ASGI application; the registry of objects that its controllers stand on.

May know: ``plan.kubernetes`` (what controllers decide), ``ports`` (`Store`, `Kubelet`, `Clock`,
`Identity`, `ControlPlanes`), ``reconcile``.

Refuses: to know agent pools, machines or clouds; to wake anybody who did not ask.
"""
