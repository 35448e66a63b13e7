"""Speak Azure Resource Manager: routes, tokens, long-running operations, error shapes, ETags.

Knows ``plan`` (admission) and ``ports``. Refuses to touch machines or Kubernetes and to decide
anything: it reads and writes records of the store (``docs/contracts/records.md``), and others
carry out what was accepted.
"""
