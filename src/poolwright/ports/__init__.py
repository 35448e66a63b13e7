"""What we need from outside, as protocols: store, machines, Kubernetes, clock, identity.

Knows ``model``. Refuses to contain behaviour: each protocol says which errors of
``model.errors`` a call may raise, and cites the numbered rule of its contract in
``docs/contracts``.
"""
