"""Pure decisions: from an observed world and the world's time to a plan.

Knows ``model``. Refuses to await, log, read a clock or draw randomness: every function here gives
the same answer for the same arguments, and every action says why (``because``).
"""
