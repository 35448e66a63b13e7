"""Machine providers, one folder each: who turns a request for a machine into a node.

Knows ``model``, ``ports`` and ``reconcile``. Refuses policy: it never decides how many machines
there should be, which to take away or when; it never reads agent pools or operations.
"""
