"""Carries out what was accepted: observes clusters and agent pools, acts on plans, records.

Knows ``plan``, ``ports`` and ``reconcile``. Refuses to decide (plans do) and to know any adapter:
machines, clusters, control planes, store and clock come in through ports.
"""

from poolwright.control.run import ControlSettings, run_control

__all__ = ["ControlSettings", "run_control"]
