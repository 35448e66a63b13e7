"""The one loop that every controller of every room runs in.

Keyed queue with coalesced wake-ups, world-time wake-ups, leases, back-off, bounded concurrency and
supervision; the only place that catches broadly. Knows ``ports`` (clock, and the store for its
leases). Refuses to know what is reconciled: a key is hashable and prints itself, nothing more.
"""
