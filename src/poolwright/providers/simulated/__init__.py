"""A simulated cloud: staged virtual machines with GPUs and kubelets, and its own ledger.

Knows a store (scopes ``cloud/<region>`` only), the clusters as their clients see them, a clock
and a source of identity. Refuses to know the control plane: what it does is a function of the
requests it accepted, world time, and the pods that a cluster binds to its nodes. All waits are
world time; nothing here reads a real clock.
"""
